"""Usage over HTTP: who sees whose, what sums come out, and CSV that no spreadsheet computes."""

from __future__ import annotations

import csv
import io
from datetime import UTC, timedelta
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from ambit.metering.models import Use, UseDay
from tenants.ids import public_id
from tenants.models import AuditEvent
from tenants.scope import tenant_scope
from tests.cast import Api, Cast
from tests.database.metering import opened, used

ZERO = {
    "requests": 0,
    "unfinished": 0,
    "estimated": 0,
    "passages": 0,
    "retrieval_ms": 0,
    "prompt_tokens": 0,
    "cached_tokens": 0,
    "completion_tokens": 0,
}
TODAY = timezone.now().astimezone(UTC).date


def spend(cast: Cast) -> UUID:
    """Let Alice and Bob use models, and Mallory in her tenant; return the key of one of the uses."""
    key_id = uuid4()
    used(cast.here.id, cast.alice.id, key_id=key_id)
    used(cast.here.id, cast.alice.id, model="other", kind="chat", outcome="cancelled", exact=False)
    used(cast.here.id, cast.bob.id)
    opened(cast.here.id, cast.bob.id)
    used(cast.there.id, cast.mallory.id, prompt_tokens=5)
    return key_id


def totals(api: Api, **query: str) -> dict[str, int]:
    """Return the one row that everything comes to."""
    (row,) = api.get("/v1/usage", query).json()["results"]
    assert isinstance(row, dict)
    return row


def test_where_nothing_was_used_the_sums_are_zero(cast: Cast) -> None:
    answer = cast.adam.get("/v1/usage")

    today = TODAY()
    assert answer.json() == {
        "from": today.replace(day=1).isoformat(),
        "to": today.isoformat(),
        "results": [ZERO],
        "next": None,
    }
    assert cast.adam.get("/v1/usage", {"group_by": "day,member"}).json()["results"] == []


def test_administrators_and_the_service_see_all_of_their_tenant(cast: Cast) -> None:
    spend(cast)

    everything = {
        "requests": 3,
        "unfinished": 1,
        "estimated": 1,
        "passages": 9,
        "retrieval_ms": 21,
        "prompt_tokens": 240,
        "cached_tokens": 48,
        "completion_tokens": 60,
    }
    for api in (cast.adam, cast.here.service, cast.here.service.acting_for("adam")):
        assert totals(api) == everything
    assert totals(cast.there.service)["prompt_tokens"] == 5


def test_a_member_sees_its_own_alone_whoever_asks_for_it(cast: Cast) -> None:
    spend(cast)

    for api in (cast.alice, cast.here.service.acting_for("alice")):
        rows = api.get("/v1/usage", {"group_by": "member"}).json()["results"]
        assert [(r["member"], r["requests"]) for r in rows] == [(cast.alice.public_id, 2)]
    assert totals(cast.bob)["requests"] == 1
    assert totals(cast.carol) == ZERO
    # No role but the administrator's is about cost.
    assert totals(cast.olivia) == totals(cast.audrey) == ZERO


def test_another_tenants_usage_is_not_there(cast: Cast) -> None:
    spend(cast)

    rows = cast.there.service.get("/v1/usage", {"group_by": "member,key,model"}).json()["results"]

    assert [(r["member"], r["prompt_tokens"]) for r in rows] == [(cast.mallory.public_id, 5)]


def test_sums_are_grouped_by_what_was_asked_for_in_its_own_order(cast: Cast) -> None:
    key_id = spend(cast)

    rows = cast.adam.get("/v1/usage", {"group_by": "model,member, key ,kind,day"}).json()["results"]

    assert list(rows[0])[:5] == ["day", "member", "key", "model", "kind"]
    assert {(r["member"], r["key"], r["model"], r["kind"], r["requests"]) for r in rows} == {
        (cast.alice.public_id, public_id("key", key_id), "tiny", "answer", 1),
        (cast.alice.public_id, None, "other", "chat", 1),
        (cast.bob.public_id, None, "tiny", "answer", 1),
    }
    by_model = cast.adam.get("/v1/usage", {"group_by": "model"}).json()["results"]
    assert [(r["model"], r["requests"]) for r in by_model] == [("other", 1), ("tiny", 2)]
    assert "member" not in by_model[0]


def test_pages_come_one_after_another(cast: Cast) -> None:
    for n in range(5):
        used(cast.here.id, cast.alice.id, model=f"m{n}")

    found, cursor = [], None
    while True:
        query = {"group_by": "model", "limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = cast.adam.get("/v1/usage", query).json()
        found += [row["model"] for row in page["results"]]
        cursor = page["next"]
        if cursor is None:
            break

    assert found == [f"m{n}" for n in range(5)]


def test_days_are_those_asked_for(cast: Cast) -> None:
    used(cast.here.id, cast.alice.id)
    today = TODAY()
    with tenant_scope(cast.here.id, custody=True):
        UseDay.objects.update(day=today - timedelta(days=3))
    used(cast.here.id, cast.alice.id)

    def asked(first: int, last: int) -> int:
        days = {"from": f"{today - timedelta(days=first)}", "to": f"{today - timedelta(days=last)}"}
        return totals(cast.adam, **days)["requests"]

    assert [asked(3, 0), asked(3, 3), asked(2, 0), asked(2, 1), asked(9, 4)] == [2, 1, 1, 0, 0]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"group_by": "tenant"}, "group_by"),
        ({"group_by": "day,day"}, "group_by"),
        ({"group_by": "day,"}, "group_by"),
        ({"from": "2026-13-01"}, "from"),
        ({"from": "2026-03-02", "to": "2026-03-01"}, "from"),
        ({"from": "2024-01-01", "to": "2026-01-01"}, "from"),
        ({"as": "xml"}, "as"),
        ({"member": "mem_0"}, "member"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_field(
    cast: Cast, query: dict[str, str], field: str
) -> None:
    refused = cast.adam.get("/v1/usage", query)

    assert refused.status_code == 400
    assert [e["field"] for e in refused.json()["errors"]] == [field]


def test_csv_has_every_row_and_no_formula(cast: Cast) -> None:
    spend(cast)
    used(cast.here.id, cast.alice.id, model="=HYPERLINK(1)")
    query = {"group_by": "member,model", "as": "csv", "limit": "1"}

    answer = cast.adam.get("/v1/usage", query)
    by_header = cast.adam.get(
        "/v1/usage", {"group_by": "member,model"}, headers={"Accept": "text/csv"}
    )

    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="usage-20')
    assert answer.content == by_header.content
    heading, *rows = list(csv.reader(io.StringIO(answer.content.decode())))
    assert heading == ["member", "model", *ZERO]
    assert {(r[0], r[1], r[2]) for r in rows} == {
        (cast.alice.public_id, "tiny", "1"),
        (cast.alice.public_id, "other", "1"),
        (cast.alice.public_id, "'=HYPERLINK(1)", "1"),
        (cast.bob.public_id, "tiny", "1"),
    }


def test_a_member_who_was_erased_is_nobody(cast: Cast) -> None:
    used(cast.here.id, cast.alice.id)
    with tenant_scope(cast.here.id, custody=True):
        Use.objects.update(member_id=None)
        UseDay.objects.update(member_id=None)

    (row,) = cast.adam.get("/v1/usage", {"group_by": "member"}).json()["results"]

    assert row["member"] is None
    assert b"\r\n,1,0" in cast.adam.get("/v1/usage", {"group_by": "member", "as": "csv"}).content


def test_who_looked_is_recorded(cast: Cast) -> None:
    cast.adam.get("/v1/usage")

    with tenant_scope(cast.here.id):
        assert AuditEvent.objects.filter(action="usage.read", actor_id=cast.adam.id).exists()
