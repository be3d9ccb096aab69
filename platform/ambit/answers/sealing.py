"""The salt that keeps what a model server caches apart: between tenants always, inside one as far as set."""

from __future__ import annotations

from ambit.corpus.types import Clearance
from ambit.inference.salts import cache_scope, salt_for
from ambit.keys.sealing import keyed_hash


def cache_salt(*, clearance: Clearance, epoch: int) -> str:
    """Return the salt for what this asker may share a cached prompt with.

    AMBIT_CACHE_SCOPE says among whom it is shared: how long a prompt takes tells whether somebody there
    asked it before.
    """
    if clearance.member_id is None:
        raise ValueError("only a person asks")
    secret = keyed_hash(b"", tenant_id=clearance.tenant_id, purpose="cache_salt")
    scope = cache_scope(member_id=clearance.member_id, audience_ids=clearance.audience_ids)
    return salt_for(tenant_id=clearance.tenant_id, epoch=epoch, secret=secret, scope=scope)
