"""The salt that keeps what a model server caches apart: between tenants always, inside one as far as set."""

from __future__ import annotations

import hashlib

from django.conf import settings

from ambit.corpus.types import Clearance
from ambit.inference.salts import salt_for
from ambit.keys.sealing import keyed_hash


def cache_salt(*, clearance: Clearance, epoch: int) -> str:
    """Return the salt for what this asker may share a cached prompt with.

    AMBIT_CACHE_SCOPE: `tenant`, whoever is in it; `audience`, who may see exactly the same; `member`,
    nobody. How long a prompt takes tells whether somebody of the scope has asked it before.
    """
    secret = keyed_hash(b"", tenant_id=clearance.tenant_id, purpose="cache_salt")
    return salt_for(
        tenant_id=clearance.tenant_id, epoch=epoch, secret=secret, scope=_scope(clearance)
    )


def _scope(clearance: Clearance) -> bytes:
    match settings.AMBIT_CACHE_SCOPE:
        case "tenant":
            return b""
        case "audience":
            seen = b"".join(a.bytes for a in sorted(clearance.audience_ids))
            return b"audience" + hashlib.sha256(seen).digest()
        case "member" if clearance.member_id is not None:
            return b"member" + clearance.member_id.bytes
    raise ValueError("no cache scope is known by this name")
