"""Retention over HTTP: who may set it, what is refused, and what is shown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tenants.models import AuditEvent
from tenants.scope import tenant_scope
from tests.cast import Cast, publish
from tests.database.erasures import keep_from_workers

NOTHING = {
    "days": None,
    "words": "kept until erased",
    "next_days": None,
    "effective_at": None,
    "n_due": None,
    "n_due_next": None,
    "looked_at": None,
    "paused_until": None,
    "last_erasure": None,
}


@pytest.fixture(autouse=True)
def _no_rounds(cast: Cast) -> Any:
    """Leave rounds to the tests."""
    yield
    with tenant_scope(cast.here.id):
        keep_from_workers()


def test_where_nothing_is_set_everything_is_kept_until_erased(cast: Cast) -> None:
    shown = cast.olivia.get("/v1/retention")

    assert shown.status_code == 200, shown.content
    assert shown.json() == {"documents": NOTHING, "answers": NOTHING, "next_round_at": None}


def test_a_shorter_time_is_shown_with_when_it_counts_and_what_it_would_take(cast: Cast) -> None:
    publish(cast.alice, cast.here)

    put = cast.adam.put("/v1/retention", {"documents": 1, "answers": 365})

    assert put.status_code == 200, put.content
    documents = put.json()["documents"]
    assert (documents["days"], documents["next_days"]) == (None, 1)
    assert (documents["n_due"], documents["n_due_next"]) == (None, 0)
    left = datetime.fromisoformat(documents["effective_at"]) - datetime.now(UTC)
    assert timedelta(hours=23) < left <= timedelta(hours=24)
    shown = cast.olivia.get("/v1/retention").json()
    assert shown == put.json()
    assert shown["next_round_at"] is not None
    gone = cast.olivia.put("/v1/retention", {}).json()
    assert (gone["documents"]["next_days"], gone["answers"]["next_days"]) == (None, None)


@pytest.mark.parametrize(
    "days", [0, -1, 36_526, 10**20, "x", "30 days", 1.5, 30.0, True, [], {}, ""]
)
def test_what_is_no_number_of_days_is_refused_and_said(cast: Cast, days: Any) -> None:
    refused = cast.adam.put("/v1/retention", {"answers": days, "documents": 30})

    assert (refused.status_code, refused.json()["code"]) == (400, "invalid"), refused.content
    assert [one["field"] for one in refused.json()["errors"]] == ["answers"]
    assert cast.adam.get("/v1/retention").json()["documents"] == NOTHING


def test_a_class_there_is_not_is_refused(cast: Cast) -> None:
    refused = cast.adam.put("/v1/retention", {"exports": 3})

    assert refused.json()["errors"][0]["code"] == "unknown_field"


def test_only_administrators_and_privacy_officers_see_and_set_it(cast: Cast) -> None:
    for person in (cast.alice, cast.audrey):
        for answer in (person.get("/v1/retention"), person.put("/v1/retention", {"answers": 1})):
            assert answer.status_code == 403
    assert cast.here.service.put("/v1/retention", {"answers": 9}).status_code == 200
    # Another tenant's sees and sets its own.
    theirs = cast.there.service.get("/v1/retention").json()
    assert theirs["answers"] == NOTHING


def test_reading_and_changing_leave_events(cast: Cast) -> None:
    cast.adam.get("/v1/retention")
    cast.adam.put("/v1/retention", {"answers": 30})

    with tenant_scope(cast.here.id):
        events = AuditEvent.objects.filter(action__startswith="retention.").order_by("id")
        told = [(one.action, one.counts) for one in events]
    assert told == [
        ("retention.read", {}),
        ("retention.changed", {"answers_days_before": 0, "answers_days": 30}),
    ]
