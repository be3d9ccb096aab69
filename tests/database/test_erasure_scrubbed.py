"""A case closes when what it destroyed is overwritten on disk, and waits, and says for what, until then."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast
from uuid import UUID

import psycopg
import pytest

from ambit.config.settings import EMBEDDED
from ambit.corpus.types import SubjectRef
from ambit.erasure.queries import ReceiptNotReady
from ambit.erasure.services import verify_identity
from ambit.erasure.types import ErasureView
from ambit.scrub import flow as rewriting
from ambit.scrub.blocked import WORDS
from ambit.scrub.flow import Scrubbed
from tenants.models import AuditEvent
from tests.database.erasures import (
    Town,
    file,
    file_for,
    inhabit,
    keep_from_workers,
    receipt_of,
    take,
    view_of,
    work_on,
)
from tests.database.holding import hold, release
from tests.database.private import superuser_url
from tests.database.worlds import make_tenant, working
from workers.erase.flow import erase


@pytest.fixture
def town() -> Town:
    return inhabit()


@contextmanager
def _reader() -> Iterator[psycopg.Connection]:
    """Look at everything as it is now, and go on seeing it so until the block ends."""
    with psycopg.connect(superuser_url(EMBEDDED)) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.execute("SELECT count(*) FROM tenants_tenant")
        yield connection


def _try(town: Town, case_id: UUID) -> ErasureView:
    held = take(town.tenant_id, case_id)
    assert held is not None
    erase(held)
    with working(town.tenant_id):
        keep_from_workers()
    return view_of(town.tenant_id, case_id)


def _actions(tenant_id: UUID, case_id: UUID) -> list[str]:
    with working(tenant_id):
        events = AuditEvent.objects.filter(object_id=case_id).order_by("pk")
        return list(events.values_list("action", flat=True))


def test_who_still_sees_what_was_destroyed_is_waited_for_and_the_case_says_so(town: Town) -> None:
    with _reader():
        case_id = file_for(town)
        # Whoever wrote before the request may still be under way, in another test.
        view = _try(town, case_id)
        while not view.waits_for:
            view = _try(town, case_id)

        assert view.state == "shredded"
        assert view.waits_for in {WORDS["snapshot"], WORDS["busy"], WORDS["lock"]}
        assert view.at("scrubbed") is None
        with pytest.raises(ReceiptNotReady):
            receipt_of(town.tenant_id, case_id)
        first = view.shredded_xid
        again = _try(town, case_id)
        assert (again.state, again.shredded_xid) == ("shredded", first)

    closed = work_on(town.tenant_id, case_id)

    assert closed.state == "closed"
    assert closed.waits_for == ""
    receipt = receipt_of(town.tenant_id, case_id)
    assert receipt["scrub"] == {
        "transaction": closed.shredded_xid,
        "log_position": closed.log_position,
    }
    assert closed.log_position


def test_what_a_release_lets_go_is_scrubbed_too(town: Town) -> None:
    kept = hold(town, documents=[town.about_alice[0]])
    case_id = file_for(town)
    view = view_of(town.tenant_id, case_id)
    while view.state != "held":
        view = _try(town, case_id)
    release(town, kept)

    closed = work_on(town.tenant_id, case_id)

    assert closed.state == "closed"
    assert closed.shredded_xid > view.shredded_xid > 0
    assert closed.at("scrubbed") > view.at("scrubbed")  # type: ignore[operator]  # both are there
    assert _actions(town.tenant_id, case_id).count("erasure.scrubbed") == 2


def test_a_case_whose_documents_another_one_destroyed_first_is_scrubbed_all_the_same(
    town: Town,
) -> None:
    first = cast(UUID, file(town.tenant_id, documents=[town.about_bob]).id)
    second = cast(UUID, file(town.tenant_id, documents=[town.about_bob]).id)
    with _reader():
        view = _try(town, first)
        while view.state != "shredded":
            view = _try(town, first)
        other = _try(town, second)
        while not other.waits_for:
            other = _try(town, second)

        assert other.state == "shredded"

    closed = work_on(town.tenant_id, second)

    assert closed.at("scrubbed") is not None
    assert receipt_of(town.tenant_id, second)["outcome"] == "destroyed"


def test_after_a_release_every_case_is_scrubbed_whoever_destroys_first(town: Town) -> None:
    kept = hold(town, documents=[town.about_bob])
    cases = [cast(UUID, file(town.tenant_id, documents=[town.about_bob]).id) for _ in range(2)]
    for case_id in cases:
        while view_of(town.tenant_id, case_id).state != "held":
            _try(town, case_id)
    with _reader():
        release(town, kept)
        for case_id in cases:
            view = _try(town, case_id)
            while not view.waits_for:
                assert view.state != "closed"
                view = _try(town, case_id)

    views = [work_on(town.tenant_id, case_id) for case_id in cases]

    assert [view.state for view in views] == ["closed", "closed"]
    assert all(view.at("scrubbed") for view in views)


def test_waiting_says_nothing_twice(town: Town) -> None:
    with _reader():
        case_id = file_for(town)
        view = _try(town, case_id)
        while not view.waits_for:
            view = _try(town, case_id)
        for _ in range(2):
            _try(town, case_id)

        assert _actions(town.tenant_id, case_id).count("erasure.shredded") == 1


def test_a_scrub_that_did_nothing_is_found_out_by_the_second_look(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rewriting, "scrub", lambda _mark, **_: Scrubbed("0/1", n_tables=1))
    case_id = file_for(town)

    view = work_on(town.tenant_id, case_id)

    assert view.state == "incomplete"
    (left,) = receipt_of(town.tenant_id, case_id)["left"]
    assert left.startswith("Tables with pages of before: ")
    monkeypatch.undo()
    assert work_on(town.tenant_id, case_id).state == "closed"


def test_where_nothing_was_held_nothing_is_rewritten() -> None:
    tenant_id = make_tenant()
    case_id = cast(UUID, file(tenant_id, subject=SubjectRef("email", "no@example.org")).id)

    view = work_on(tenant_id, case_id)

    assert view.at("scrubbed") is None
    assert receipt_of(tenant_id, case_id)["scrub"] is None
    assert "erasure.scrubbed" not in _actions(tenant_id, case_id)


def test_a_request_kept_for_its_identity_check_is_scrubbed_though_nothing_was_held() -> None:
    tenant_id = make_tenant()
    subject = SubjectRef("email", "no@example.org")
    case_id = cast(UUID, file(tenant_id, subject=subject, identity="pending").id)
    with working(tenant_id):
        verify_identity(erasure_id=case_id)
        keep_from_workers()

    view = work_on(tenant_id, case_id)

    assert view.at("scrubbed") is not None
    assert receipt_of(tenant_id, case_id)["outcome"] == "nothing held"
