"""Sign as Standard Webhooks 1.0.0 has it: HMAC-SHA256 over id, time and body. Pure.

The receiver drops a message whose id it has seen, and one that is too old. The library of the same
name adds a dependency for these lines and reads the machine's clock by itself.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os

PREFIX = "whsec_"
SECRET_BYTES = 32


def new_secret() -> str:
    """Return a secret as receivers' libraries take it."""
    return PREFIX + base64.b64encode(os.urandom(SECRET_BYTES)).decode()


def signed_headers(*, secret: str, message_id: str, sent_at: int, body: bytes) -> dict[str, str]:
    """Return the three headers of a message; sent_at: seconds since 1970."""
    key = base64.b64decode(secret.removeprefix(PREFIX))
    signed = f"{message_id}.{sent_at}.".encode() + body
    signature = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(sent_at),
        "webhook-signature": f"v1,{signature}",
    }
