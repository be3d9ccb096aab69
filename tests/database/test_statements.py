"""What a connection remembers of the statements that were sent on it."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connection

from tenants.statements import run_prepared
from tests.database.office import make_office
from tests.database.worlds import Passage, unit


def test_a_connection_remembers_no_statement_with_content() -> None:
    office = make_office()
    office.publish(Passage("harbor xylophonist", unit(0)))
    office.ask(office.bob, "harbor marimba", unit(0))

    remembered = _remembered()
    assert b"fused AS" in remembered
    assert b"xylophonist" not in remembered
    assert b"marimba" not in remembered


def test_behind_a_pooler_nothing_is_kept_and_the_same_is_found(settings: LazySettings) -> None:
    settings.AMBIT_PREPARED_STATEMENTS = False
    _take_new_connection()
    office = make_office()
    office.publish(Passage("harbor", unit(0)))

    assert len(office.ask(office.bob, "harbor", unit(0))) == 1
    assert _remembered() == b""


def test_a_statement_that_fails_leaves_the_connection_as_it_was() -> None:
    connection.ensure_connection()
    with pytest.raises(Exception, match="no_such"):
        run_prepared("SELECT no_such FROM nowhere", {})

    assert connection.connection.prepare_threshold is None


def _take_new_connection() -> None:
    """Empty the pool: a connection out of it may have kept statements of other tests."""
    pooled: Any = connection
    pooled.close()
    pooled.close_pool()


def _remembered() -> bytes:
    """Return the texts in psycopg's memory of statements, counted or prepared."""
    connection.ensure_connection()
    memory: Any = connection.connection._prepared
    return b" ".join(query for query, _ in [*memory._counts, *memory._names])
