"""The key that signs what the audit log holds: one file of mode 0600 beside the tenants' keys.

It is made once. Where it is lost, nothing is signed until it is brought back: a new one would be no proof to anybody
who noted the old one.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings

from ambit.keys import protected
from ambit.keys.durable import write_once

FILE = "audit-signing.json"
CONTEXT = "ambit/audit-signing"


def make_signing_key() -> None:
    """Make the key durably; one that exists is left as it is. Raises KeyStoreDown."""
    if _path().exists():
        return
    raw = Ed25519PrivateKey.generate().private_bytes_raw()
    secrets = {"ed25519": base64.b64encode(raw).decode()}
    write_once(_path(), protected.written(secrets, context=CONTEXT))


def signing_key() -> Ed25519PrivateKey:
    """Return the key; raise KeyUnavailable where there is none or it does not open."""
    return protected.read(str(_path()), _parsed, context=CONTEXT)


def _parsed(said: dict[str, Any]) -> Ed25519PrivateKey:
    raw = base64.b64decode(said["ed25519"], validate=True)
    return Ed25519PrivateKey.from_private_bytes(raw)


def _path() -> Path:
    return Path(settings.AMBIT_KEYRING_DIR) / FILE
