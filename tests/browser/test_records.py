"""Pages that show or change who sees a document: each look is recorded, each refusal is in words."""

from __future__ import annotations

from uuid import UUID

import pytest

from ambit.access.clearance import clearance_for
from ambit.access.queries import document_grants
from ambit.corpus.queries import list_documents
from tenants.scope import tenant_scope
from tests.browser.desk import Desk, actions, desk_of_cast, page_named
from tests.cast import Cast, as_service


@pytest.fixture
def desk(cast: Cast) -> Desk:
    return desk_of_cast(cast)


def test_what_the_grants_editor_removes_is_out_of_sight_with_the_next_statement(
    cast: Cast, desk: Desk
) -> None:
    client = desk.admin.client()
    url = desk.url(page_named("collection"))
    alice = f"m-{cast.alice.id.hex}"

    answer = client.post(
        url,
        {"principal": [alice], "role": ["owner"], "new_principal": [""], "new_role": ["reader"]},
    )

    assert answer.status_code == 302
    assert _sees(cast, cast.alice.id) == 1
    assert _sees(cast, cast.bob.id) == 0


def test_a_grant_to_somebody_unknown_changes_nothing(cast: Cast, desk: Desk) -> None:
    client = desk.admin.client()
    for name in ("collection", "document_grants"):
        answer = client.post(
            desk.url(page_named(name)),
            {"new_principal": ["mallory@example.test"], "new_role": ["reader"]},
            follow=True,
        )

        assert answer.status_code == 200
        assert "There is no active member or group" in answer.content.decode()
        assert _sees(cast, cast.alice.id) == 1


def test_a_taken_external_id_keeps_the_grants_as_they_were(cast: Cast, desk: Desk) -> None:
    mine = [{"principal": "member:alice", "role": "owner"}]
    body = {"collection": cast.here.collection, "title": "T", "text": "t", "external_id": "e"}
    first, second = (
        cast.alice.post("/v1/documents", body | more).json()["id"]
        for more in ({"grants": mine}, {})
    )

    alice = f"m-{cast.alice.id.hex}"
    answer = desk.admin.client().post(
        f"/admin/documents/{second}/grants/",
        {"principal": [alice], "role": ["owner"], "new_principal": [""], "new_role": ["reader"]},
        follow=True,
    )

    assert "external id; nothing was changed" in answer.content.decode()
    assert cast.bob.get(f"/v1/documents/{first}").status_code == 404
    assert cast.bob.get(f"/v1/documents/{second}").status_code == 200
    with as_service(cast.here.id):
        assert document_grants(document_id=UUID(second.removeprefix("doc_"))) == ()


@pytest.mark.parametrize("day", ["2026-02-30", "31.12.2030", "yesterday"])
def test_a_day_that_is_none_is_refused_in_words(desk: Desk, day: str) -> None:
    answer = desk.auditor.client().get("/admin/audit/", {"since": day})

    assert answer.status_code == 200
    assert "as year-month-day" in answer.content.decode()


@pytest.mark.parametrize(
    ("name", "action"),
    [
        ("document_delete", "document.record_viewed"),
        ("collection", "document.records_listed"),
    ],
)
def test_a_page_that_shows_a_title_is_recorded(
    cast: Cast, desk: Desk, name: str, action: str
) -> None:
    answer = desk.admin.client().get(desk.url(page_named(name)))

    assert "Handbook" in answer.content.decode()
    assert actions(cast.here)[0] == action


def test_a_refused_change_of_grants_is_followed_by_a_recorded_view(cast: Cast, desk: Desk) -> None:
    client = desk.admin.client()
    form = {"new_principal": ["mallory@example.test"], "new_role": ["reader"]}

    refused = client.post(desk.url(page_named("document_grants")), form)

    assert (refused.status_code, refused.content) == (302, b"")
    client.get(refused.headers["Location"])
    assert actions(cast.here)[0] == "document.record_viewed"


def test_reading_a_record_or_whom_it_reaches_is_recorded(cast: Cast, desk: Desk) -> None:
    client = desk.admin.client()

    client.get(desk.url(page_named("document")))
    client.get(desk.url(page_named("document_readers")))
    client.get(desk.url(page_named("member_sight")))

    assert actions(cast.here)[:3] == [
        "member.sight_viewed",
        "document.readers_viewed",
        "document.record_viewed",
    ]


def _sees(cast: Cast, member_id: UUID) -> int:
    with tenant_scope(cast.here.id):
        clearance = clearance_for(member_id=member_id)
        return len(list_documents(clearance=clearance, after=None, limit=10))
