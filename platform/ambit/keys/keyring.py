"""The tenants' wrapping keys: one file of mode 0600 per tenant, outside the database and its backups.

A file is plain, or protected by a key store (protected.py). Wrapping keys have versions: the current one
wraps, the older ones still open what they wrapped until nothing is left of it. The hashing key has none:
what it hashed is looked up by equality, and its plain values are kept nowhere to be hashed again.
"""

from __future__ import annotations

import base64
import os
import secrets
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings

from ambit.keys import durable, protected
from ambit.keys.protected import KEY_BYTES as KEY_BYTES
from ambit.keys.store import KeyUnavailable as KeyUnavailable


class KeyInUse(ValueError):
    """The current wrapping key of a tenant is not taken away."""


@dataclass(frozen=True, slots=True)
class TenantKeys:
    """A tenant's keys: the current one wraps, all may unwrap, one more keys the hashes."""

    current: int
    wrapping: dict[int, bytes]
    hashing: bytes
    # When a version was added, in seconds since 1970; of the first it is not noted.
    added_at: dict[int, float] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"TenantKeys(current={self.current})"


def create_tenant_keys(tenant_id: UUID) -> None:
    """Make a tenant's keys durably; keys that exist are left as they are. Raises KeyStoreDown."""
    path = _path(tenant_id)
    if path.exists():
        return
    keys = TenantKeys(current=1, wrapping={1: _fresh()}, hashing=_fresh())
    durable.write_once(path, protected.written(_said(keys), context=tenant_context(tenant_id)))


def tenant_key_files(tenant_id: UUID) -> list[str]:
    """Return the names of files in the keyring that spell a tenant's id; raise OSError where it is not there."""
    spelled = (str(tenant_id), tenant_id.hex)
    names = os.listdir(settings.AMBIT_KEYRING_DIR)
    return sorted(name for name in names if any(one in name.lower() for one in spelled))


def tenant_keys(tenant_id: UUID) -> TenantKeys:
    """Return a tenant's keys; raise KeyUnavailable where there are none or they do not open."""
    # Asked for each passage of an answer: a Path would take longer to make than the key to look up.
    path = os.path.join(settings.AMBIT_KEYRING_DIR, f"{tenant_id}.json")
    return protected.read(path, _parsed, context=tenant_context(tenant_id))


def has_tenant_keys(tenant_id: UUID) -> bool:
    """Say whether a tenant has a file in the keyring, whether or not it opens."""
    return _path(tenant_id).exists()


def add_wrapping_key(tenant_id: UUID) -> int:
    """Give a tenant a new wrapping key, durably, and return its version; raise KeyUnavailable.

    From here on every process wraps with it; a transaction that is under way may have wrapped before.
    """
    path = _path(tenant_id)
    with _changing(path):
        keys, store = _open(tenant_id)
        version = max(keys.wrapping) + 1
        grown = replace(
            keys,
            current=version,
            wrapping=keys.wrapping | {version: _fresh()},
            added_at=keys.added_at | {version: time.time()},
        )
        _replace(tenant_id, grown, store)
    return version


def remove_wrapping_keys(tenant_id: UUID, *, versions: Iterable[int]) -> None:
    """Destroy old wrapping keys for good: what they wrapped never opens again, here or in a backup.

    Raises KeyInUse for the current one, and KeyUnavailable.
    """
    gone = set(versions)
    path = _path(tenant_id)
    with _changing(path):
        keys, store = _open(tenant_id)
        if keys.current in gone:
            raise KeyInUse(f"version {keys.current} of tenant {tenant_id} is the current one")
        left = {n: key for n, key in keys.wrapping.items() if n not in gone}
        added_at = {n: at for n, at in keys.added_at.items() if n in left}
        _replace(tenant_id, replace(keys, wrapping=left, added_at=added_at), store)


def destroy_tenant_keys(tenant_id: UUID) -> bool:
    """Destroy all keys of a tenant durably; return whether there were any. No store is asked.

    From here on nothing of the tenant opens, in no process: each looks whether the file is still there.
    """
    path = _path(tenant_id)
    if not path.parent.is_dir():
        raise KeyUnavailable("the folder of the keyring is not there")
    with durable.changing(path.parent):
        found = durable.destroy(path)
    protected.forget(path)
    return found


def _open(tenant_id: UUID) -> tuple[TenantKeys, str]:
    said, store = protected.open_file(_path(tenant_id), context=tenant_context(tenant_id))
    try:
        return _parsed(said), store
    except (ValueError, KeyError, TypeError, AttributeError):
        raise KeyUnavailable(f"the keys of tenant {tenant_id} are damaged") from None


def _replace(tenant_id: UUID, keys: TenantKeys, store: str) -> None:
    path = _path(tenant_id)
    text = protected.written(_said(keys), context=tenant_context(tenant_id), store=store)
    durable.replace(path, text)
    protected.forget(path)


def _parsed(said: dict[str, Any]) -> TenantKeys:
    return TenantKeys(
        current=int(said["current"]),
        wrapping={int(n): base64.b64decode(k) for n, k in said["wrapping"].items()},
        hashing=base64.b64decode(said["hashing"]),
        added_at={int(n): float(at) for n, at in said.get("added_at", {}).items()},
    )


def _said(keys: TenantKeys) -> dict[str, Any]:
    said: dict[str, Any] = {
        "current": keys.current,
        "wrapping": {str(n): base64.b64encode(k).decode() for n, k in keys.wrapping.items()},
        "hashing": base64.b64encode(keys.hashing).decode(),
    }
    # As it always was for who never rotated.
    return said | ({"added_at": keys.added_at} if keys.added_at else {})


def _changing(path: Path) -> AbstractContextManager[None]:
    if not path.exists():
        raise KeyUnavailable(f"{path.name} is not in the keyring")
    return durable.changing(path.parent)


def tenant_context(tenant_id: UUID) -> str:
    """Return what a tenant's file is bound to in its store."""
    return f"ambit/tenant/{tenant_id}"


def _path(tenant_id: UUID) -> Path:
    return Path(settings.AMBIT_KEYRING_DIR) / f"{tenant_id}.json"


def _fresh() -> bytes:
    return secrets.token_bytes(KEY_BYTES)
