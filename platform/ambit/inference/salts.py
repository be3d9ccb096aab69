"""Make the secret salts that keep vLLM's prefix cache apart: between tenants, and inside one as the setting says."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Collection
from uuid import UUID

from django.conf import settings

SALT_DOMAIN = b"ambit.cache_salt.v1"

_SALT = re.compile(r"[0-9a-f]{64}")


class InvalidCacheSalt(ValueError):
    """The salt is not one that salt_for makes, or cannot be made; nothing was sent."""


def salt_for(*, tenant_id: UUID, epoch: int, secret: bytes, scope: bytes = b"") -> str:
    """Return the secret, hexadecimal cache salt of a tenant, an epoch and a scope inside the tenant.

    An empty scope is shared by the whole tenant. Raises InvalidCacheSalt.
    """
    if len(secret) < 16:
        raise InvalidCacheSalt("the secret of the cache salts needs at least 16 bytes")
    if epoch < 0:
        raise InvalidCacheSalt("the epoch of a cache salt is not negative")
    parts = [SALT_DOMAIN, tenant_id.bytes, str(epoch).encode()]
    if scope:
        parts.append(scope)
    return hmac.new(secret, b"\0".join(parts), hashlib.sha256).hexdigest()


def cache_scope(*, member_id: UUID, audience_ids: Collection[UUID]) -> bytes:
    """Return salt_for's scope, as AMBIT_CACHE_SCOPE says: empty for the whole tenant.

    With `audiences`, members share a cache who may see exactly the same; with `member`, nobody does.
    """
    if settings.AMBIT_CACHE_SCOPE == "tenant":
        return b""
    if settings.AMBIT_CACHE_SCOPE == "audiences":
        visible = b"".join(sorted(audience_id.bytes for audience_id in set(audience_ids)))
        return b"audiences" + hashlib.sha256(visible).digest()
    return b"member" + member_id.bytes


def check_salt(salt: str) -> None:
    """Raise InvalidCacheSalt unless salt_for could have made it: without a salt all share one cache."""
    if not _SALT.fullmatch(salt):
        raise InvalidCacheSalt("a cache salt is 64 lower-case hexadecimal digits; nothing was sent")
