"""API keys: a prefix that says whose, the tenant's id, and a secret kept only as a keyed hash."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

from django.conf import settings

KeyKind = Literal["op", "svc", "mbr"]
_SHAPE = re.compile(r"ambit_(op|svc|mbr)_(?:([0-9a-f]{32})_)?([A-Za-z0-9]{43})")
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True, slots=True)
class PresentedKey:
    """A key as a caller presents it; the tenant it claims means nothing until the hash is found there."""

    kind: KeyKind
    tenant_id: UUID | None
    secret_hash: str = field(repr=False)


def new_key(kind: KeyKind, *, tenant_id: UUID | None) -> tuple[str, str]:
    """Return a key of 256 bits of randomness, to be shown once, and the hash to keep."""
    secret = "".join(secrets.choice(_ALPHABET) for _ in range(43))
    owner = f"{tenant_id.hex}_" if tenant_id else ""
    return f"ambit_{kind}_{owner}{secret}", hash_secret(secret)


def parse_key(text: str) -> PresentedKey | None:
    """Return what a presented key claims, or None when it has no key's shape."""
    match = _SHAPE.fullmatch(text)
    if match is None or (match[1] == "op") != (match[2] is None):
        return None
    kind: KeyKind = match[1]  # type: ignore[assignment]  # one of the three by the pattern
    return PresentedKey(kind, UUID(match[2]) if match[2] else None, hash_secret(match[3]))


def hash_secret(secret: str) -> str:
    """Return HMAC-SHA256 of a secret under the installation's pepper, in hex."""
    return hmac.new(settings.AMBIT_PEPPER.encode(), secret.encode(), hashlib.sha256).hexdigest()
