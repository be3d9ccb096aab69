"""Whose cached prompts are kept apart from whose."""

from __future__ import annotations

import hashlib
import hmac
import itertools
from uuid import UUID, uuid4

import pytest
from pytest_django.fixtures import Settings

from ambit.inference.salts import InvalidCacheSalt, cache_scope, check_salt, salt_for

TENANT = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
SECRET = b"s" * 32


def test_a_salt_is_a_domain_tagged_hmac_of_tenant_epoch_and_scope() -> None:
    message = b"ambit.cache_salt.v1\0" + TENANT.bytes + b"\0" + b"7"

    salt = salt_for(tenant_id=TENANT, epoch=7, secret=SECRET)
    scoped = salt_for(tenant_id=TENANT, epoch=7, secret=SECRET, scope=b"legal")

    assert salt == hmac.new(SECRET, message, hashlib.sha256).hexdigest()
    assert scoped == hmac.new(SECRET, message + b"\0legal", hashlib.sha256).hexdigest()
    check_salt(salt)


def test_salts_differ_by_tenant_epoch_secret_and_scope() -> None:
    tenants, epochs, secrets = (TENANT, UUID(int=1)), (0, 1, 10), (SECRET, b"t" * 32)
    scopes = (b"", b"\0", b"a", b"b", b"a\0")

    salts = {
        salt_for(tenant_id=tenant, epoch=epoch, secret=secret, scope=scope)
        for tenant, epoch, secret, scope in itertools.product(tenants, epochs, secrets, scopes)
    }

    assert len(salts) == 2 * 3 * 2 * 5


@pytest.mark.parametrize(("epoch", "secret"), [(-1, SECRET), (0, b""), (0, b"short")])
def test_a_salt_is_not_made_from_a_weak_secret_or_a_negative_epoch(
    epoch: int, secret: bytes
) -> None:
    with pytest.raises(InvalidCacheSalt):
        salt_for(tenant_id=TENANT, epoch=epoch, secret=secret)


def test_the_setting_says_who_shares_a_cache_inside_a_tenant(settings: Settings) -> None:
    alice, bob, hr, legal = (uuid4() for _ in range(4))

    def same(one: tuple[UUID, list[UUID]], other: tuple[UUID, list[UUID]]) -> bool:
        first, second = (
            cache_scope(member_id=member, audience_ids=audiences)
            for member, audiences in (one, other)
        )
        return first == second

    colleagues = (alice, [hr, legal]), (bob, [legal, hr, hr])
    strangers = (alice, [hr, legal]), (bob, [hr])
    promoted = (alice, [hr, legal]), (alice, [hr])
    found = {}
    for scope in ("tenant", "audiences", "member"):
        settings.AMBIT_CACHE_SCOPE = scope
        found[scope] = [same(*pair) for pair in (colleagues, strangers, promoted)]

    assert found == {
        "tenant": [True, True, True],
        "audiences": [True, False, False],
        "member": [False, False, True],
    }
