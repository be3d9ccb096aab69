"""What a scrub rewrites, what makes it wait, and how little its login may do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from django.conf import LazySettings
from django.db import connections, transaction

from ambit.corpus import graphs
from ambit.erasure.registry import REWRITTEN
from ambit.scrub import flow
from ambit.scrub.blocked import WORDS, ScrubBlocked
from ambit.scrub.check import count_unscrubbed
from ambit.scrub.flow import SCRUBBER, scrub
from ambit.scrub.pages import Mark, mark_pages, old_pages
from tests.database.private import PrivateDatabase
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
from workers.erase.scrub import make_way as make_way_for

TABLE = "django_session"
WORD = "s3cretcanary"


def _destroy(private: PrivateDatabase, *, n_rows: int = 5) -> Mark:
    """Write rows, destroy them in a transaction of their own, and mark."""
    with private.superuser() as connection:
        for number in range(n_rows):
            connection.execute(
                "INSERT INTO django_session VALUES (%s, %s, now())", [f"{WORD}{number}", WORD * 50]
            )
        connection.execute("DELETE FROM django_session")
    return _mark()


def _mark() -> Mark:
    with transaction.atomic():
        return mark_pages(REWRITTEN)


def _pages(private: PrivateDatabase, table: str = TABLE) -> bytes:
    with private.superuser() as connection:
        connection.execute("CHECKPOINT")
        rows = connection.execute(
            "SELECT pg_relation_filepath(oid) FROM pg_class WHERE oid = %(t)s::regclass"
            " OR oid = (SELECT reltoastrelid FROM pg_class WHERE oid = %(t)s::regclass)"
            " OR oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = %(t)s::regclass)",
            {"t": table},
        ).fetchall()
    folder = private.embedded.postgres_dir
    return b"".join((folder / path).read_bytes() for (path,) in rows)


def _segments(private: PrivateDatabase) -> list[Path]:
    found = (private.embedded.postgres_dir / "pg_wal").glob("[0-9A-F]*[0-9A-F]")
    return [path for path in found if path.is_file()]


def _log(private: PrivateDatabase) -> bytes:
    return b"".join(path.read_bytes() for path in _segments(private))


def test_what_was_destroyed_is_on_no_page_and_in_no_segment_afterwards(
    bare: PrivateDatabase,
) -> None:
    mark = _destroy(bare)
    assert WORD.encode() in _pages(bare)
    assert WORD.encode() in _log(bare)
    assert count_unscrubbed(mark) == len(REWRITTEN)

    done = scrub(mark)

    assert WORD.encode() not in _pages(bare)
    assert WORD.encode() not in _log(bare)
    assert count_unscrubbed(mark) == 0
    assert done.n_tables == len(REWRITTEN)
    with bare.superuser() as connection:
        assert connection.execute(
            "SELECT pg_current_wal_lsn() >= %s::pg_lsn", [done.log_position]
        ).fetchone() == (True,)


def test_what_another_scrub_did_since_is_not_done_again(bare: PrivateDatabase) -> None:
    first, second = _destroy(bare), _mark()
    scrub(second)

    with connections[SCRUBBER].cursor() as cursor:
        assert old_pages(first, cursor) == []
    assert count_unscrubbed(first) == 0


def test_a_scrub_before_the_destruction_counts_for_nothing(bare: PrivateDatabase) -> None:
    scrub(_mark())

    mark = _destroy(bare)

    assert count_unscrubbed(mark) == len(REWRITTEN)


def test_each_half_of_the_second_look_sees_by_itself(bare: PrivateDatabase) -> None:
    mark = _destroy(bare)

    # Files alone, of which the transaction was long ago; and the transaction alone.
    assert count_unscrubbed(Mark(3, mark.files)) == len(REWRITTEN)
    assert count_unscrubbed(Mark(mark.xid, {})) == len(REWRITTEN)
    scrub(mark)
    assert count_unscrubbed(Mark(3, mark.files)) == count_unscrubbed(Mark(mark.xid, {})) == 0


def _snapshot(connection: psycopg.Connection) -> None:
    connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    connection.execute("SELECT count(*) FROM tenants_tenant")


def _writer(connection: psycopg.Connection) -> None:
    connection.execute("BEGIN")
    connection.execute("SELECT pg_current_xact_id()")


@pytest.mark.parametrize("begin", [_snapshot, _writer], ids=["reader", "writer"])
def test_whoever_could_still_see_it_makes_the_scrub_wait(
    bare: PrivateDatabase, begin: object
) -> None:
    assert callable(begin)
    with bare.superuser() as other:
        other.execute("INSERT INTO django_session VALUES ('k', %s, now())", [WORD * 50])
        begin(other)
        with bare.superuser() as connection:
            connection.execute("DELETE FROM django_session")
        mark = _mark()

        with pytest.raises(ScrubBlocked) as blocked:
            scrub(mark)

        assert blocked.value.reason == "snapshot"
        assert count_unscrubbed(mark) > 0
        other.execute("ROLLBACK")
    scrub(mark)
    assert WORD.encode() not in _pages(bare)
    assert count_unscrubbed(mark) == 0


def test_a_log_that_a_replication_slot_keeps_is_waited_for(bare: PrivateDatabase) -> None:
    # A physical slot holds the log back, as a standby that lags does.
    with bare.superuser() as connection:
        connection.execute("SELECT pg_create_physical_replication_slot('behind', true)")
        try:
            mark = _destroy(bare)
            with pytest.raises(ScrubBlocked) as blocked:
                scrub(mark)
            assert blocked.value.reason == "log"
            assert WORD.encode() in _log(bare)
        finally:
            connection.execute("SELECT pg_drop_replication_slot('behind')")
    scrub(mark)
    assert WORD.encode() not in _log(bare)


def test_a_log_whose_segments_are_used_again_is_gone_through_until_none_is_left(
    bare: PrivateDatabase,
) -> None:
    with bare.superuser() as connection:
        connection.execute("ALTER SYSTEM SET wal_recycle = on")
        connection.execute("SELECT pg_reload_conf()")
        for _ in range(4):
            connection.execute("SELECT pg_logical_emit_message(false, 'ambit', '')")
            connection.execute("SELECT pg_switch_wal()")
        try:
            mark = _destroy(bare)
            connection.execute("CHECKPOINT")
            assert connection.execute("SHOW wal_recycle").fetchone() == ("on",)

            scrub(mark)

            assert WORD.encode() not in _log(bare)
        finally:
            connection.execute("ALTER SYSTEM RESET wal_recycle")
            connection.execute("SELECT pg_reload_conf()")


def test_a_log_that_was_kept_and_is_then_used_again_is_gone_through(bare: PrivateDatabase) -> None:
    with bare.superuser() as connection:
        connection.execute("ALTER SYSTEM SET wal_recycle = on")
        connection.execute("SELECT pg_reload_conf()")
        connection.execute("SELECT pg_create_physical_replication_slot('behind', true)")
        try:
            mark = _destroy(bare)
            with pytest.raises(ScrubBlocked) as blocked:
                scrub(mark)
            connection.execute("SELECT pg_drop_replication_slot('behind')")

            scrub(mark, since=blocked.value.segment)

            assert WORD.encode() not in _log(bare)
        finally:
            connection.execute("ALTER SYSTEM RESET wal_recycle")
            connection.execute("SELECT pg_reload_conf()")


def test_a_log_that_is_kept_is_not_made_longer_by_waiting(bare: PrivateDatabase) -> None:
    with bare.superuser() as connection:
        connection.execute("SELECT pg_create_physical_replication_slot('behind', true)")
        try:
            mark = _destroy(bare)
            with pytest.raises(ScrubBlocked) as first:
                scrub(mark)
            n_segments = len(_segments(bare))
            for _ in range(3):
                with pytest.raises(ScrubBlocked) as again:
                    scrub(mark, since=first.value.segment)
            assert again.value.segment == first.value.segment
            assert len(_segments(bare)) == n_segments
        finally:
            connection.execute("SELECT pg_drop_replication_slot('behind')")
    scrub(mark, since=first.value.segment)
    assert WORD.encode() not in _log(bare)


def test_a_file_written_in_vain_is_noted_so_that_a_vacuum_in_between_hides_nothing(
    bare: PrivateDatabase,
) -> None:
    with bare.superuser() as other:
        other.execute("INSERT INTO django_session VALUES ('k', %s, now())", [WORD * 50])
        _snapshot(other)
        with bare.superuser() as connection:
            connection.execute("DELETE FROM django_session")
        mark = Mark(_mark().xid, {TABLE: _mark().files[TABLE]})
        with pytest.raises(ScrubBlocked) as blocked:
            scrub(mark)
        other.execute("ROLLBACK")
    with bare.superuser() as connection:
        connection.execute("VACUUM (FREEZE) django_session")

    noted = Mark(mark.xid, mark.files | blocked.value.files)

    with connections[SCRUBBER].cursor() as cursor:
        assert old_pages(noted, cursor) == [TABLE]
        # Which the mark of before would have passed.
        assert old_pages(mark, cursor) == []
    scrub(noted)
    assert WORD.encode() not in _pages(bare)


def test_a_table_that_is_held_on_to_is_waited_for_and_not_for_ever(
    bare: PrivateDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ambit.scrub.pages.LOCK_TIMEOUT", "200ms")
    mark = _destroy(bare)
    with bare.superuser() as other:
        other.execute("BEGIN")
        # A reader that began after the destruction sees none of it, but holds the table.
        other.execute("SELECT count(*) FROM tenants_member")

        with pytest.raises(ScrubBlocked) as blocked:
            scrub(mark)

    assert blocked.value.reason in {"lock", "snapshot"}
    scrub(mark)


def test_no_way_is_made_in_a_table_that_somebody_holds(
    bare: PrivateDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ambit.scrub.pages.LOCK_TIMEOUT", "200ms")
    scrub(_mark())
    mark = _mark()
    made: list[str] = []
    with bare.superuser() as other:
        other.execute("BEGIN")
        other.execute(f"LOCK TABLE {graphs.TABLE} IN ACCESS SHARE MODE")

        with pytest.raises(ScrubBlocked) as blocked:
            scrub(mark, make_way=made.append)

    assert blocked.value.reason == "lock"
    assert graphs.TABLE not in made
    scrub(mark, make_way=made.append)
    assert graphs.TABLE in made


def test_two_scrubs_do_not_meet(bare: PrivateDatabase) -> None:
    mark = _destroy(bare)
    with bare.superuser() as other:
        other.execute("SELECT pg_advisory_lock(%s)", [flow.ADVISORY_LOCK])
        with pytest.raises(ScrubBlocked) as blocked:
            scrub(mark)
    assert blocked.value.reason == "busy"
    assert count_unscrubbed(mark) == len(REWRITTEN)


def test_without_a_login_a_scrub_says_so(
    bare: PrivateDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "SCRUBBER", "nobody")

    with pytest.raises(ScrubBlocked) as blocked:
        scrub(_mark())

    assert blocked.value.reason == "login"
    assert WORDS[blocked.value.reason] in str(blocked.value)


@contextmanager
def _right_withdrawn(private: PrivateDatabase) -> Iterator[None]:
    with private.superuser() as connection:
        connection.execute(f"REVOKE MAINTAIN ON {TABLE} FROM ambit_scrubber")
        try:
            yield
        finally:
            connection.execute(f"GRANT MAINTAIN ON {TABLE} TO ambit_scrubber")


def test_a_table_that_postgres_passes_over_with_a_warning_is_noticed(
    bare: PrivateDatabase,
) -> None:
    mark = _destroy(bare)

    with _right_withdrawn(bare), pytest.raises(ScrubBlocked):
        scrub(mark)

    assert WORD.encode() in _pages(bare)


def test_searches_go_on_and_none_fails_while_tables_are_rewritten(bare: PrivateDatabase) -> None:
    over = threading.Event()
    read: list[int] = []

    def read_on() -> None:
        with bare.superuser() as connection:
            while not over.is_set():
                connection.execute("SELECT count(*) FROM corpus_chunkvector").fetchone()
                read.append(1)

    reader = threading.Thread(target=read_on)
    reader.start()
    try:
        scrub(_destroy(bare))
    finally:
        over.set()
        reader.join()

    assert read


def _graphs(private: PrivateDatabase) -> list[str]:
    with private.superuser() as connection:
        rows = connection.execute(
            "SELECT relname FROM pg_class WHERE relname LIKE 'vector\\_graph\\_%'"
        ).fetchall()
    return [name for (name,) in rows]


def test_graphs_stand_aside_while_their_table_is_written_and_are_built_again(
    bare: PrivateDatabase, settings: LazySettings
) -> None:
    settings.AMBIT_GRAPH_MIN_ROWS = 1
    # The tenants of all the tests before are here too.
    settings.AMBIT_GRAPHS_MAX = 10_000
    tenant_id = make_tenant()
    with working(tenant_id):
        member_id = make_member()
        collection_id = make_collection(grant("owner", member=member_id))
    passages = [Passage("A text.", unit(0))]
    publish(tenant_id=tenant_id, by=member_id, collection_id=collection_id, passages=passages)
    graphs.arrange_graphs()
    stood = _graphs(bare)
    assert graphs.graph_name(tenant_id) in stood
    during: list[tuple[str, int]] = []

    def make_way(table: str) -> None:
        make_way_for(table)
        during.append((table, len(_graphs(bare))))

    scrub(_mark(), make_way=make_way)

    assert (graphs.TABLE, 0) in during
    before = during[: during.index((graphs.TABLE, 0))]
    assert all(n == len(stood) for _table, n in before)
    graphs.arrange_graphs()
    assert _graphs(bare) == stood
    settings.AMBIT_GRAPH_MIN_ROWS = 1000
    graphs.arrange_graphs()
