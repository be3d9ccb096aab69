"""Seal and open: AES-256-GCM (NIST SP 800-38D) under a data key per object, wrapped by the tenant's.

Every sealed value is bound to its place by associated data, so that a ciphertext moved to another
row, tenant or column does not open.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ambit.keys.keyring import KEY_BYTES, KeyUnavailable, TenantKeys, tenant_keys
from tenants.scope import WrongTenantScope, current_tenant_id

NONCE_BYTES = 12
VERSION_BYTES = 2


class CannotOpen(RuntimeError):
    """A sealed value does not open: it was altered, moved, or its key is gone."""


def new_data_key(*, tenant_id: UUID, object_id: UUID) -> tuple[bytes, bytes]:
    """Return a fresh data key of 32 bytes and the same key wrapped for keeping.

    In the tenant's scope, whose transaction keeps it: an old wrapping key is destroyed only when every
    transaction that may have wrapped with it has ended. Raises NoTenantScope, WrongTenantScope, KeyUnavailable.
    """
    if current_tenant_id() != tenant_id:
        raise WrongTenantScope("a data key is made in the scope of its tenant")
    key = os.urandom(KEY_BYTES)
    return key, _wrap(tenant_keys(tenant_id), key, tenant_id, object_id)


def open_data_key(wrapped: bytes, *, tenant_id: UUID, object_id: UUID) -> bytes:
    """Return the data key; raise KeyUnavailable or CannotOpen."""
    return _unwrap(tenant_keys(tenant_id), bytes(wrapped), tenant_id, object_id)


def rewrap_data_key(wrapped: bytes, *, tenant_id: UUID, object_id: UUID) -> bytes:
    """Return the same data key wrapped by the tenant's current key; raise KeyUnavailable or CannotOpen."""
    keys = tenant_keys(tenant_id)
    key = _unwrap(keys, bytes(wrapped), tenant_id, object_id)
    return _wrap(keys, key, tenant_id, object_id)


def _wrap(keys: TenantKeys, key: bytes, tenant_id: UUID, object_id: UUID) -> bytes:
    version = keys.current.to_bytes(VERSION_BYTES, "big")
    place = _place(tenant_id, object_id, "data_key")
    return version + seal(keys.wrapping[keys.current], key, place=place)


def _unwrap(keys: TenantKeys, wrapped: bytes, tenant_id: UUID, object_id: UUID) -> bytes:
    version = int.from_bytes(wrapped[:VERSION_BYTES], "big")
    wrapping = keys.wrapping.get(version)
    if wrapping is None:
        raise KeyUnavailable(f"key {version} of tenant {tenant_id} is not in the keyring")
    place = _place(tenant_id, object_id, "data_key")
    return open_sealed(wrapping, wrapped[VERSION_BYTES:], place=place)


def seal(key: bytes, plaintext: bytes, *, place: bytes) -> bytes:
    """Return nonce and ciphertext, bound to a place."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plaintext, place)


def open_sealed(key: bytes, sealed: bytes, *, place: bytes) -> bytes:
    """Return the plaintext; raise CannotOpen when altered, moved or under another key."""
    sealed = bytes(sealed)
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], place)
    except (InvalidTag, ValueError) as error:
        raise CannotOpen("a sealed value does not open under this key at this place") from error


def seal_text(key: bytes, text: str, *, tenant_id: UUID, object_id: UUID, field: str) -> bytes:
    """Seal a text bound to one field of one object of one tenant."""
    return seal(key, text.encode(), place=_place(tenant_id, object_id, field))


def open_text(key: bytes, sealed: bytes, *, tenant_id: UUID, object_id: UUID, field: str) -> str:
    """Open what seal_text sealed; raise CannotOpen."""
    return open_sealed(key, sealed, place=_place(tenant_id, object_id, field)).decode()


def keyed_hash(data: bytes, *, tenant_id: UUID, purpose: str) -> bytes:
    """Return HMAC-SHA256 under a key of this tenant and purpose: equal for equal data, opaque otherwise."""
    root = tenant_keys(tenant_id).hashing
    key = hmac.digest(root, b"ambit.hash.v1|" + purpose.encode(), hashlib.sha256)
    return hmac.digest(key, data, hashlib.sha256)


def _place(tenant_id: UUID, object_id: UUID, field: str) -> bytes:
    return b"ambit.v1|" + tenant_id.bytes + b"|" + object_id.bytes + b"|" + field.encode()
