"""Filters tell nothing of what the asker may not see: they answer as if it did not exist."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest

from ambit.access.types import GrantSpec, PrincipalRef
from tenants.ids import public_id
from tests.cast import Cast, Person, make_cast, publish

_REQUEST_ID = re.compile(rb'"request_id": "[^"]*"')
TEXT = {"query": "annual leave", "mode": "text", "k": 50}


@dataclass(frozen=True)
class Secret:
    """Somebody's document with metadata of its own, and who may not see it."""

    of: str
    askers: tuple[Person, ...]


def _told(person: Person, filters: dict[str, Any]) -> list[tuple[int, bytes]]:
    """Return what a person is told by every call that takes filters and needs no model."""
    query = {n: json.dumps(f) if isinstance(f, dict) else f for n, f in filters.items()}
    answers = [
        person.post("/v1/search", TEXT | filters),
        person.get("/v1/documents", query),
        person.get("/v1/documents", query | {"limit": 1}),
        # To administrators the records they keep, and to anybody else the same refusal each time.
        person.get("/v1/documents", query | {"as": "custodian"}),
    ]
    return [(a.status_code, _REQUEST_ID.sub(b"", a.content)) for a in answers]


@pytest.fixture(scope="module")
def cast(_database: None) -> Cast:
    """Return a cast that shares a few documents and keeps many."""
    return make_cast()


@pytest.fixture(scope="module")
def secrets(cast: Cast) -> tuple[Secret, ...]:
    """Return documents out of somebody's sight, each with a `secret` of its own in its metadata."""
    alices_own = [GrantSpec(PrincipalRef(member_id=cast.alice.id), "owner")]

    def made(of: str, **more: Any) -> str:
        metadata = {"secret": of, "shared": 1}
        return public_id("document", publish(cast.alice, cast.here, metadata=metadata, **more))

    for n in range(3):
        publish(cast.alice, cast.here, metadata={"shared": n})
    made("ungranted", grants=alices_own)
    path = f"/v1/documents/{made('revoked')}/grants"
    revoked = cast.alice.put(path, {"grants": [{"principal": "member:alice", "role": "owner"}]})
    deleted = cast.alice.delete(f"/v1/documents/{made('deleted')}")
    erased = cast.here.service.post(
        "/v1/erasures", {"documents": [made("erased")], "reason": "asked to"}
    )
    assert (revoked.status_code, deleted.status_code, erased.status_code) == (200, 204, 202)
    publish(cast.mallory, cast.there, metadata={"secret": "theirs", "shared": 1})
    others = (cast.bob, cast.carol, cast.mallory)
    return (
        Secret("ungranted", others),
        Secret("revoked", others),
        Secret("deleted", (cast.alice, *others, cast.adam)),
        Secret("erased", (cast.alice, *others, cast.adam)),
        Secret("theirs", (cast.alice, cast.bob, cast.carol, cast.adam)),
    )


def test_a_filter_that_only_hidden_documents_meet_is_as_one_that_nothing_meets(
    secrets: tuple[Secret, ...],
) -> None:
    for secret in secrets:
        for asker in secret.askers:
            nothing = _told(asker, {"metadata": {"secret": "made up"}})
            assert _told(asker, {"metadata": {"secret": secret.of}}) == nothing, secret
            both = {"secret": [secret.of, "made up"], "shared": [0, 1, 2]}
            assert _told(asker, {"metadata": both}) == nothing, secret


def test_the_hidden_among_the_matching_change_nothing(
    cast: Cast, secrets: tuple[Secret, ...]
) -> None:
    with_secrets = _told(cast.bob, {"metadata": {"shared": 1}})
    (passage,) = json.loads(with_secrets[0][1])["results"]
    shown = cast.bob.get(f"/v1/documents/{passage['document']['id']}").json()

    assert shown["metadata"] == {"shared": 1}
    # Only the visible one was received in this span.
    alone = {"created_after": shown["created_at"], "created_before": _just_after(shown)}
    assert _told(cast.bob, {"metadata": {"shared": 1}} | alone) == with_secrets


def test_who_may_see_them_finds_them_so(cast: Cast, secrets: tuple[Secret, ...]) -> None:
    for person, of in (
        (cast.alice, "ungranted"),
        (cast.alice, "revoked"),
        (cast.mallory, "theirs"),
    ):
        (search, *lists) = _told(person, {"metadata": {"secret": of}})[:3]
        assert len(json.loads(search[1])["results"]) == 1, of
        assert all(len(json.loads(body)["results"]) == 1 for _, body in lists), of


def _just_after(document: dict[str, Any]) -> str:
    at = datetime.fromisoformat(document["created_at"]) + timedelta(microseconds=1)
    return at.isoformat()
