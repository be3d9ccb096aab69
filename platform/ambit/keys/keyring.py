"""The tenants' wrapping keys: one file of mode 0600 per tenant, outside the database and its backups."""

from __future__ import annotations

import base64
import json
import os
import secrets
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from uuid import UUID

from django.conf import settings

from ambit.keys.durable import remove, write_once

KEY_BYTES = 32


class KeyUnavailable(RuntimeError):
    """A tenant's key is not in the keyring; nothing of that tenant can be opened."""


@dataclass(frozen=True, slots=True)
class TenantKeys:
    """A tenant's keys: the current one wraps, all may unwrap, one more keys the hashes."""

    current: int
    wrapping: dict[int, bytes]
    hashing: bytes

    def __repr__(self) -> str:
        return f"TenantKeys(current={self.current})"


def create_tenant_keys(tenant_id: UUID) -> None:
    """Make a tenant's keys durably; keys that exist are left as they are."""
    text = json.dumps(
        {"current": 1, "wrapping": {"1": _fresh()}, "hashing": _fresh()},
    )
    write_once(_path(tenant_id), text)


def destroy_tenant_keys(tenant_id: UUID) -> bool:
    """Destroy a tenant's keys durably, for ever; return whether there were any."""
    return remove(_path(tenant_id))


def tenant_key_files(tenant_id: UUID) -> list[str]:
    """Return the names of files in the keyring that spell a tenant's id; raise OSError where it is not there."""
    spelled = (str(tenant_id), tenant_id.hex)
    names = os.listdir(settings.AMBIT_KEYRING_DIR)
    return sorted(name for name in names if any(one in name.lower() for one in spelled))


def tenant_keys(tenant_id: UUID) -> TenantKeys:
    """Return a tenant's keys; raise KeyUnavailable where there are none."""
    # Asked for each passage of an answer: a Path would take longer to make than the key to look up.
    path = os.path.join(settings.AMBIT_KEYRING_DIR, f"{tenant_id}.json")
    try:
        changed = os.stat(path).st_mtime_ns
    except OSError as error:
        raise KeyUnavailable(f"no key of tenant {tenant_id} in the keyring") from error
    return _load(path, changed)


@lru_cache(maxsize=4096)
def _load(path: str, changed: int) -> TenantKeys:
    found = json.loads(Path(path).read_text())
    return TenantKeys(
        current=int(found["current"]),
        wrapping={int(n): base64.b64decode(k) for n, k in found["wrapping"].items()},
        hashing=base64.b64decode(found["hashing"]),
    )


def _path(tenant_id: UUID) -> Path:
    return Path(settings.AMBIT_KEYRING_DIR) / f"{tenant_id}.json"


def _fresh() -> str:
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
