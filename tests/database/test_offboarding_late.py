"""Who is late brings nothing back of a tenant that ends; a place out of reach is said; large tenants go in parts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest
from django.conf import settings
from django.db import DatabaseError, connections
from django.utils import timezone

from ambit.config.settings import EMBEDDED
from ambit.corpus.types import SubjectRef
from ambit.erasure import rows
from ambit.erasure.ending import Ending
from ambit.erasure.offboarding import HoldsOpen
from ambit.erasure.places import STAYS, tables
from ambit.erasure.restrictions import place_hold
from ambit.files.store import FileName, write
from ambit.jobs.kinds import INGEST_VERSION
from ambit.jobs.models import Job
from ambit.jobs.services import ClaimLost, claim, keep
from tenants.models import Member
from tenants.scope import tenant_scope
from tests.database.erasures import inhabit
from tests.database.holding import LATER, hold
from tests.database.offboardings import (
    begin,
    certificate_of,
    rows_by_table,
    try_once,
    work_to_the_end,
)
from tests.database.worlds import (
    Passage,
    grant,
    make_collection,
    make_member,
    make_tenant,
    publish,
    unit,
    working,
)


@contextmanager
def _another_session(tenant_id: UUID) -> Iterator[psycopg.Connection]:
    """Open a transaction of the application's login in a tenant's scope."""
    with psycopg.connect(EMBEDDED.database_url("ambit_app")) as session:
        session.execute("SELECT set_config('ambit.tenant_id', %s, false)", [str(tenant_id)])
        yield session


def _add_member(session: psycopg.Connection, tenant_id: UUID) -> None:
    name = uuid4().hex
    session.execute(
        "INSERT INTO tenants_member (id, tenant_id, external_id, email, name, role, created_at)"
        " VALUES (%s, %s, %s, %s, 'Late', 'member', now())",
        [uuid4(), tenant_id, name, f"{name}@example.org"],
    )


def test_who_wrote_before_and_commits_after_is_waited_for(superuser: psycopg.Connection) -> None:
    town = inhabit()
    with _another_session(town.tenant_id) as session:
        _add_member(session, town.tenant_id)
        begin(town.tenant_id)
        for _ in range(3):
            shown = try_once(town.tenant_id)
            assert (shown.state, shown.places) == ("hidden", ())
            assert "has not ended yet" in shown.waits_for
        session.commit()

    work_to_the_end(town.tenant_id)

    assert set(rows_by_table(superuser, town.tenant_id)) <= set(STAYS)
    members = [
        h for h in certificate_of(town.tenant_id)["holdings"] if h["name"] == "tenants_member"
    ]
    assert [(h["found"], h["destroyed"]) for h in members] == [(4, 4)]


def test_who_began_before_and_writes_after_is_refused() -> None:
    town = inhabit()
    with _another_session(town.tenant_id) as session:
        session.execute("SELECT count(*) FROM tenants_member")
        begin(town.tenant_id)
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="takes no new row"):
            _add_member(session, town.tenant_id)


def test_a_worker_that_is_late_loses_its_job_and_cannot_write_a_file() -> None:
    town = inhabit()
    with working(town.tenant_id):
        job = Job.objects.filter(name=INGEST_VERSION.name).order_by("pk")[0]
        Job.objects.filter(pk=job.pk).update(run_after=job.created_at)
    held = claim(tenant_id=town.tenant_id, job_id=job.pk)
    assert held is not None
    begin(town.tenant_id)
    work_to_the_end(town.tenant_id)

    with pytest.raises(ClaimLost):
        keep(held)
    name = FileName(town.tenant_id, town.about_bob, uuid4(), "text")
    with pytest.raises(OSError):
        write(name, [b"late"], key=b"k" * 32)
    assert (Path(settings.AMBIT_ORIGINALS_DIR) / str(town.tenant_id)).stat().st_size == 0


def test_of_a_hold_and_an_end_at_the_same_moment_the_first_one_stands() -> None:
    town = inhabit()
    refused: list[BaseException] = []

    def end() -> None:
        try:
            begin(town.tenant_id)
        except HoldsOpen as error:
            refused.append(error)
        finally:
            connections.close_all()

    with working(town.tenant_id):
        place_hold(
            subject=None,
            document_ids=[town.about_bob],
            basis="e",
            review_at=timezone.now() + LATER,
            reason="a claim",
        )
        other = threading.Thread(target=end)
        other.start()
        other.join(0.5)
        assert other.is_alive(), "it waits for the hold"
    other.join(20)

    assert [type(one) for one in refused] == [HoldsOpen]
    with tenant_scope(town.tenant_id):
        assert Member.objects.exists()


def test_a_hold_that_comes_second_is_refused() -> None:
    town = inhabit()
    begin(town.tenant_id)

    with pytest.raises(DatabaseError, match="takes no new row"):
        hold(town, subject=SubjectRef("member", str(town.bob)))


def test_a_file_store_that_is_not_there_keeps_the_end_open(tmp_path: Path) -> None:
    town = inhabit()
    folder = Path(settings.AMBIT_ORIGINALS_DIR) / str(town.tenant_id)
    folder.rename(tmp_path / "elsewhere")
    begin(town.tenant_id)

    shown = work_to_the_end(town.tenant_id, state="incomplete")

    said = certificate_of(town.tenant_id)
    assert (said["complete"], said["outcome"]) == (False, "incomplete")
    assert shown.closed_at is None

    (tmp_path / "elsewhere").rename(folder)
    work_to_the_end(town.tenant_id)

    last = certificate_of(town.tenant_id)
    assert (last["complete"], last["serial"]) == (True, said["serial"] + 1)
    assert not folder.is_dir()


def test_documents_and_rows_go_in_bounded_parts(
    superuser: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant_id = make_tenant()
    with working(tenant_id):
        owner = make_member()
        collection = make_collection(grant("owner", member=owner))
        for _ in range(11):
            make_member()
    for _ in range(5):
        publish(
            tenant_id=tenant_id,
            by=owner,
            collection_id=collection,
            passages=[Passage("one", unit(0)), Passage("two", unit(1))],
        )
    monkeypatch.setattr(rows, "ROWS_AT_ONCE", 4)
    monkeypatch.setattr(rows, "DOCUMENTS_AT_ONCE", 2)
    most: dict[str, int] = {}
    changed = rows._changed

    def watched(statement: str, values: object) -> int:
        n = changed(statement, values)
        most[statement] = max(most.get(statement, 0), n)
        return n

    monkeypatch.setattr(rows, "_changed", watched)
    begin(tenant_id)
    work_to_the_end(tenant_id)

    assert max(most.values()) == 4
    assert most[rows._DELETE_DOCUMENTS] == 2
    assert set(rows_by_table(superuser, tenant_id)) <= set(STAYS)
    found = {h["name"]: h["found"] for h in certificate_of(tenant_id)["holdings"]}
    assert (found["corpus_document"], found["corpus_chunk"], found["tenants_member"]) == (5, 10, 12)


def test_what_is_left_behind_is_seen_by_the_second_look(
    superuser: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    town = inhabit()
    begin(town.tenant_id)
    # As if a step had been forgotten.
    deleted = rows.delete
    monkeypatch.setattr(
        rows, "delete", lambda t, over, **k: 0 if t == "tenants_member" else deleted(t, over, **k)
    )
    work_to_the_end(town.tenant_id, state="incomplete")

    said = certificate_of(town.tenant_id)
    left = {h["name"]: h["remaining"] for h in said["holdings"] if h["remaining"]}
    assert left == {"tenants_member": 3}
    assert said["left"] == ["Members: names, e-mail addresses, external ids: 3 left"]
    monkeypatch.undo()
    assert work_to_the_end(town.tenant_id).complete
    assert rows_by_table(superuser, town.tenant_id).get("tenants_member") is None


def test_rows_of_a_table_that_no_list_names_are_found() -> None:
    town = inhabit()
    over = Ending(town.tenant_id, uuid4(), uuid4(), 1)
    listed = {*tables(), *STAYS}

    with tenant_scope(town.tenant_id, custody=True):
        assert rows.count_elsewhere(listed, over) == 0
        assert rows.count_elsewhere(listed - {"tenants_member"}, over) == 3
