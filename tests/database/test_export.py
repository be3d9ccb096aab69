"""An archive holds everything planted about its person, and nothing of another person or tenant."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from django.conf import settings
from django.utils import timezone

from ambit.corpus.types import SubjectRef
from ambit.erasure.restrictions import place_hold, place_restriction
from ambit.erasure.subjects import NothingNamed
from ambit.export.models import Export
from ambit.export.queries import ExportNotReady, ExportOver, read_archive
from ambit.jobs.kinds import EXPORT_END
from tenants import services
from tenants.holdings import SubjectAmbiguous
from tenants.ids import public_id
from tenants.models import AuditEvent
from tests.database.erasures import keep_from_workers
from tests.database.exporting import (
    Place,
    archive_of,
    ask,
    ask_for,
    make,
    part,
    settle,
    take,
    view_of,
)
from tests.database.worlds import make_tenant, working
from workers.export import flow

# Where Alice's own words stand, without and with the documents that are about others too.
HERS = {
    "text of alice",
    "text of alice again",
    *(f"metadata of {name}" for name in ("alice", "alice again", "both", "alice and zoe")),
    *(f"question of {name}" for name in ("alice", "both", "bob", "nobody")),
    *(f"{what} of {name}" for what in ("answer", "quote") for name in ("alice", "nobody")),
}
SHARED = {"text of both", "text of alice and zoe", "answer of both", "quote of both"}


@pytest.fixture(scope="module")
def place(_database: None) -> Place:
    return settle()


@pytest.fixture(scope="module")
def archive(place: Place) -> dict[str, bytes]:
    export_id = ask_for(place)
    assert make(place.tenant_id, export_id).state == "ready"
    return archive_of(place.tenant_id, export_id)


def words_in(archive: dict[str, bytes], place: Place) -> set[str]:
    everything = b"\n".join([*archive.values(), *(name.encode() for name in archive)])
    text = everything.decode(errors="replace").casefold()
    return {where for where, word in place.words.items() if word in text}


def composed(archive: dict[str, bytes]) -> str:
    """Return all that is not an original, as text."""
    parts = [data.decode() for name, data in archive.items() if not name.startswith("originals/")]
    return "\n".join([*parts, *archive]).casefold()


def test_the_archive_holds_all_that_was_planted_of_her_and_nothing_else(
    place: Place, archive: dict[str, bytes]
) -> None:
    assert words_in(archive, place) == HERS


def test_no_name_id_or_address_of_anyone_else_is_in_what_is_composed(
    place: Place, archive: dict[str, bytes]
) -> None:
    text = composed(archive)

    for identifier in (
        place.bob.email,
        place.bob.external_id,
        place.bob.name,
        place.bob.name.split()[1],
        str(place.bob.id),
        place.bob.id.hex,
        place.zoe,
    ):
        assert identifier.casefold() not in text
    for identifier in (place.alice.email, place.alice.external_id, place.alice.name):
        assert identifier.casefold() in text


def test_documents_about_others_go_in_whole_where_an_officer_decided_so(place: Place) -> None:
    export_id = ask_for(place, include_shared=True, kind="external_id")
    make(place.tenant_id, export_id)

    archive = archive_of(place.tenant_id, export_id)

    assert words_in(archive, place) == HERS | SHARED
    assert place.bob.email not in composed(archive)


def test_each_document_is_told_with_what_was_made_of_it_and_who_got_it(
    place: Place, archive: dict[str, bytes]
) -> None:
    told = {one["id"]: one for one in part(archive, "documents.json")}
    ids = {name: public_id("document", one) for name, one in place.documents.items()}
    hers, both = told[ids["alice"]], told[ids["both"]]

    assert set(told) == {ids[n] for n in ("alice", "alice again", "both", "alice and zoe")}
    assert [told[ids[n]]["also_about_others"] for n in ("alice", "both", "alice and zoe")] == [
        False,
        True,
        True,
    ]
    assert hers["declares_you_by"] == ["email"]
    assert told[ids["alice again"]]["declares_you_by"] == ["email", "external_id"]
    assert (hers["derived"]["passages"], hers["derived"]["vectors"]) == (1, 1)
    assert hers["derived"]["vector_model"] == settings.AMBIT_EMBED_MODEL
    assert hers["originals"] == [f"originals/{ids['alice']}-v1.txt"]
    assert (both["originals"], bool(both["originals_left_out"])) == ([], True)
    assert sorted((r["role"], r["who"]) for r in hers["readable_by"]) == [
        ("owner", "another member"),
        ("reader", "you"),
    ]
    assert {(r["recipient"], r["times"]) for r in hers["recipients"]} == {
        ("another member or service", 1),
        ("the service “Billing for [another person]”", 2),
        ("you", 1),
    }


def test_the_person_is_told_their_record_keys_and_deeds_without_a_secret(
    place: Place, archive: dict[str, bytes]
) -> None:
    person = part(archive, "person.json")
    member = person["member"]

    assert member["record"]["email"] == place.alice.email
    assert [key["name"] for key in member["keys"]] == ["alice phone"]
    assert "secret" not in str(member)
    assert "password" not in str(member)
    assert member["sign_in"][0]["sign_in"] == f"{place.tenant_id.hex}/{place.alice.email}"
    assert member["open_sessions"] == 1
    assert {g["name"] for g in member["groups"]} == {
        f"Circle of {place.alice.name}",
        "Circle of [another person]",
    }
    searched = [event for event in person["events"] if event["did"] == "searched"]
    assert [(e["by"], e["n_other_documents"]) for e in searched] == [("you", 1)]
    assert searched[0]["your_documents"] == [public_id("document", place.documents["alice"])]


def test_the_archive_says_what_it_is_and_what_it_is_not(
    place: Place, archive: dict[str, bytes]
) -> None:
    about = part(archive, "about.json")

    assert about["about"]["value"] == place.alice.email
    assert about["nothing_held"] is False
    assert about["made_by"].startswith("ambit ")
    assert all(about[part] for part in ("purposes", "sources", "retention", "rights", "limits"))
    assert set(archive) == {
        *("about.json", "person.json", "documents.json", "answers.json"),
        *(path for one in part(archive, "documents.json") for path in one["originals"]),
    }


def test_another_tenant_with_the_same_person_adds_nothing(place: Place) -> None:
    other = settle(email=place.alice.email)
    export_id = ask_for(other)
    make(other.tenant_id, export_id)

    archive = archive_of(other.tenant_id, export_id)

    assert words_in(archive, other) == HERS
    assert words_in(archive, place) == set()


def test_a_person_nobody_knows_gets_an_archive_that_says_so() -> None:
    tenant_id = make_tenant()
    export_id = ask(tenant_id, SubjectRef("email", "nobody@example.org"))
    make(tenant_id, export_id)

    archive = archive_of(tenant_id, export_id)

    assert part(archive, "about.json")["nothing_held"] is True
    assert part(archive, "person.json")["member"] is None
    assert part(archive, "documents.json") == []


@pytest.mark.parametrize("value", ["", "  ", "\x00"])
def test_nobody_named_is_refused(place: Place, value: str) -> None:
    with pytest.raises(NothingNamed):
        ask(place.tenant_id, SubjectRef("email", value))


def test_a_name_of_two_is_never_guessed() -> None:
    tenant_id = make_tenant()
    one, other = f"{uuid4().hex}@example.org", f"{uuid4().hex}@example.org"
    with working(tenant_id):
        services.create_member(external_id=other, email=one, name="", role="member")
    subject = SubjectRef("member", one)
    export_id = ask(tenant_id, subject)
    with working(tenant_id):
        # The external id of the second member is the address of the first.
        services.create_member(external_id=one, email=other, name="", role="member")

    view = make(tenant_id, export_id)

    assert (view.state, view.ended_because) == ("failed", "ambiguous")
    with pytest.raises(SubjectAmbiguous):
        ask(tenant_id, subject)
    assert_nothing_left(tenant_id, export_id)


def test_what_is_held_or_restricted_is_given_to_its_person(place: Place) -> None:
    held = settle()
    with working(held.tenant_id):
        place_hold(
            subject=None,
            document_ids=[held.documents["alice"]],
            basis="e",
            review_at=timezone.now() + timedelta(days=9),
            reason=f"A claim of {held.bob.name}",
        )
        place_restriction(
            subject=None, document_ids=[held.documents["alice again"]], reason="Disputed"
        )
    export_id = ask_for(held)
    make(held.tenant_id, export_id)

    archive = archive_of(held.tenant_id, export_id)

    assert {"text of alice", "text of alice again"} <= words_in(archive, held)
    told = part(archive, "person.json")["holds_and_restrictions"]
    assert [one["basis"] for one in told] == ["Art. 17(3)(e) GDPR", "Art. 18 GDPR"]
    assert "claim of" not in composed(archive)


def test_an_answer_from_what_she_may_not_read_any_more_is_left_out() -> None:
    place = settle()
    with working(place.tenant_id):
        services.set_member_suspended(member_id=place.alice.id, suspended=True)
    export_id = ask_for(place)
    make(place.tenant_id, export_id)

    found = words_in(archive_of(place.tenant_id, export_id), place)

    assert found == HERS - {"answer of nobody", "quote of nobody"}


def test_nothing_in_the_file_store_or_the_row_can_be_read_without_the_key(place: Place) -> None:
    export_id = ask_for(place)
    make(place.tenant_id, export_id)

    stored = b"".join(p.read_bytes() for p in files_of(place.tenant_id, export_id))

    assert stored
    assert not any(word.encode() in stored for word in place.words.values())
    with working(place.tenant_id):
        row = Export.objects.get(pk=export_id)
        assert place.alice.email.encode() not in bytes(row.named_sealed or b"")
        assert b"Asked by" not in bytes(row.reason_sealed)


def test_its_days_end_and_nothing_is_left(place: Place) -> None:
    export_id = ask_for(place)
    with pytest.raises(ExportNotReady), working(place.tenant_id):
        read_archive(export_id=export_id)
    view = make(place.tenant_id, export_id)
    assert view.expires_at is not None
    assert timedelta(days=6) < view.expires_at - timezone.now() < timedelta(days=8)
    with working(place.tenant_id):
        Export.objects.filter(pk=export_id).update(expires_at=timezone.now())

    # Over at its moment, whenever a worker comes by to destroy it.
    with pytest.raises(ExportOver), working(place.tenant_id):
        read_archive(export_id=export_id)
    assert view_of(place.tenant_id, export_id).state == "expired"
    held = take(place.tenant_id, export_id, kind=EXPORT_END)
    assert held is not None
    flow.end(held)

    view = view_of(place.tenant_id, export_id)
    assert (view.state, view.ended_because) == ("expired", "time")
    assert_nothing_left(place.tenant_id, export_id)
    assert take(place.tenant_id, export_id, kind=EXPORT_END) is None
    assert take(place.tenant_id, export_id) is None


def test_an_archive_destroyed_while_it_is_sent_stops_leaving(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ambit.files.store.FRAME_BYTES", 64)
    export_id = ask_for(place)
    make(place.tenant_id, export_id)
    with working(place.tenant_id):
        _, content = read_archive(export_id=export_id)
    next(content)
    with working(place.tenant_id):
        Export.objects.filter(pk=export_id).update(expires_at=timezone.now())

    with pytest.raises(ExportOver):
        list(content)


def test_request_and_end_leave_events(place: Place) -> None:
    export_id = ask_for(place)
    make(place.tenant_id, export_id)
    held = take(place.tenant_id, export_id, kind=EXPORT_END)
    assert held is not None
    flow.end(held)

    with working(place.tenant_id):
        events = AuditEvent.objects.filter(object_id=export_id).order_by("pk")
        actions = list(events.values_list("action", flat=True))

    assert actions == ["export.requested", "export.ready", "export.destroyed"]


def files_of(tenant_id: UUID, export_id: UUID) -> list[Path]:
    root = Path(settings.AMBIT_ORIGINALS_DIR) / str(tenant_id)
    return [
        p for p in root.rglob("*") if str(export_id) in str(p) and p.is_file() and p.stat().st_size
    ]


def assert_nothing_left(tenant_id: UUID, export_id: UUID) -> None:
    assert files_of(tenant_id, export_id) == []
    with working(tenant_id):
        row = Export.objects.get(pk=export_id)
        keep_from_workers()
    kept = (row.wrapped_key, row.named_sealed, row.file_id, row.member_id)
    assert kept == (None, None, None, None)
