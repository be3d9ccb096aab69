"""The key that signs what the audit log holds: one file of mode 0600 beside the tenants' keys.

It is made once. Where it is lost, nothing is signed until it is brought back: a new one would be no proof to anybody
who noted the old one.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings

from ambit.keys.durable import write_once
from ambit.keys.keyring import KeyUnavailable

FILE = "audit-signing.json"


def make_signing_key() -> None:
    """Make the key durably; one that exists is left as it is."""
    raw = Ed25519PrivateKey.generate().private_bytes_raw()
    write_once(_path(), json.dumps({"ed25519": base64.b64encode(raw).decode()}))


def signing_key() -> Ed25519PrivateKey:
    """Return the key; raise KeyUnavailable where there is none or the file is damaged."""
    try:
        raw = base64.b64decode(json.loads(_path().read_text())["ed25519"], validate=True)
        return Ed25519PrivateKey.from_private_bytes(raw)
    except FileNotFoundError:
        raise KeyUnavailable("no audit signing key in the keyring") from None
    except (OSError, ValueError, KeyError, TypeError):
        # Dropped, not chained: a parser's error may quote what it read.
        raise KeyUnavailable("the audit signing key cannot be read") from None


def _path() -> Path:
    return Path(settings.AMBIT_KEYRING_DIR) / FILE
