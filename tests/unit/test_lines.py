"""Who waits to be let in waits in its tenant's line once it is known, and among strangers before."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from ambit.api import lines
from ambit.api.lines import line_of, remember
from tenants.secrets import PresentedKey, new_key, parse_key

A, B = UUID(int=1), UUID(int=2)


@pytest.fixture(autouse=True)
def nobody_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "_let_in", {})


def a_key(tenant_id: UUID | None) -> PresentedKey:
    text, _ = new_key("svc" if tenant_id else "op", tenant_id=tenant_id)
    presented = parse_key(text)
    assert presented is not None
    return presented


def test_all_keys_of_a_tenant_that_were_let_in_share_its_line() -> None:
    first, second, others = a_key(A), a_key(A), a_key(B)
    for key in (first, second, others):
        remember(key)

    assert line_of(first) == line_of(second) == A
    assert line_of(others) == B


def test_an_invented_key_stands_in_no_tenants_line() -> None:
    known = a_key(A)
    remember(known)

    assert line_of(a_key(A)) != A
    # What was let in at one tenant is known at no other.
    assert line_of(replace(known, tenant_id=B)) != B


def test_a_thousand_invented_keys_are_few_lines() -> None:
    strange = {line_of(a_key(uuid4())) for _ in range(1000)}

    assert 1 < len(strange) <= lines.STRANGERS_LINES


def test_tenants_not_yet_known_wait_apart() -> None:
    assert line_of(a_key(A)) != line_of(a_key(B))


def test_who_shows_no_key_and_who_operates_have_a_line_too() -> None:
    operator = a_key(None)
    remember(operator)
    remember(None)

    apart = {line_of(None), line_of(operator), line_of(a_key(None)), line_of(a_key(A))}
    assert len(apart) == 4


def test_what_is_remembered_has_an_end_and_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_REMEMBERED", 3)
    text, _ = new_key("svc", tenant_id=A)
    presented = parse_key(text)

    for key in (*(a_key(B) for _ in range(9)), presented):
        remember(key)

    assert 0 < len(lines._let_in) <= 3
    assert text.rpartition("_")[2] not in "".join(
        f"{key.tenant_id} {key.secret_hash} {line_of(key)}" for key in lines._let_in
    )
