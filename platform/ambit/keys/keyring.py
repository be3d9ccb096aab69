"""The tenants' wrapping keys: one file of mode 0600 per tenant, outside the database and its backups."""

from __future__ import annotations

import base64
import json
import os
import secrets
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from uuid import UUID

from django.conf import settings

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
    path = _path(tenant_id)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    text = json.dumps(
        {"current": 1, "wrapping": {"1": _fresh()}, "hashing": _fresh()},
    )
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)
        except FileExistsError:
            return
        _sync_directory(path.parent)
    finally:
        Path(temporary).unlink(missing_ok=True)


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


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
