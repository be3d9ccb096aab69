"""Limits over HTTP: the operator's alone to set, refused where they make no sense, and told as problems."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import RequestFactory
from django.utils import timezone

from ambit.api.problems import problem_response
from ambit.corpus.canary import CANARY_TENANT
from ambit.metering.buckets import LimitsUnavailable
from ambit.metering.limits import QuotaSpent, RateLimited
from ambit.metering.queries import next_month
from ambit.metering.turns import NoTurn
from tenants.ids import public_id
from tenants.models import AuditEvent
from tenants.scope import tenant_scope
from tests.cast import Api, Cast
from tests.database.metering import used

NONE = {
    "requests_per_minute": None,
    "member_requests_per_minute": None,
    "tokens_per_month": None,
}


def path(cast: Cast) -> str:
    """Return the address of the limits of the tenant here."""
    return f"/v1/tenants/{public_id('tenant', cast.here.id)}/limits"


def test_where_nothing_is_set_the_deployments_limits_count(cast: Cast) -> None:
    shown = cast.operator.get(path(cast)).json()

    assert shown == {
        "own": NONE,
        "in_force": dict.fromkeys(NONE, 0),
        "tokens_used": 0,
        "tokens_left": None,
        "renews_at": next_month(timezone.now()).isoformat().replace("+00:00", "Z"),
    }


def test_the_operator_sets_all_of_them_and_it_is_recorded_in_the_tenants_trail(cast: Cast) -> None:
    used(cast.here.id, cast.alice.id)

    put = cast.operator.put(path(cast), {"tokens_per_month": 1000, "requests_per_minute": 60})

    assert put.status_code == 200, put.content
    assert put.json()["own"] == {**NONE, "tokens_per_month": 1000, "requests_per_minute": 60}
    assert (put.json()["tokens_used"], put.json()["tokens_left"]) == (100, 900)
    assert cast.operator.get(path(cast)).json() == put.json()
    with tenant_scope(cast.here.id):
        event = AuditEvent.objects.get(action="limits.set")
        assert (event.actor_kind, event.object_id) == ("operator", cast.here.id)
        assert event.counts == {"tokens_per_month": 1000, "requests_per_minute": 60}
    # What is not sent is the deployment's again.
    assert cast.operator.put(path(cast), {}).json()["own"] == NONE
    assert cast.operator.put(path(cast), NONE).json()["own"] == NONE


@pytest.mark.parametrize(
    "body",
    [
        {"tokens_per_month": -1},
        {"tokens_per_month": 10**15 + 1},
        {"tokens_per_month": "many"},
        {"tokens_per_month": 1.5},
        {"tokens_per_month": True},
        {"requests_per_minute": 1_000_001},
        {"requests": 1},
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(
    cast: Cast, body: dict[str, Any]
) -> None:
    cast.operator.put(path(cast), {"tokens_per_month": 7})

    refused = cast.operator.put(path(cast), body)

    assert refused.status_code == 400
    assert refused.json()["errors"][0]["field"] == next(iter(body))
    assert cast.operator.get(path(cast)).json()["own"]["tokens_per_month"] == 7


def test_no_tenants_key_reaches_them(cast: Cast) -> None:
    for api in (cast.adam, cast.here.service, cast.alice):
        for refused in (api.get(path(cast)), api.put(path(cast), {})):
            assert (refused.status_code, refused.json()["code"]) == (403, "operator_only")
    assert Api("").get(path(cast)).status_code == 401


@pytest.mark.parametrize(
    "tenant", ["ten_" + "0" * 32, "nonsense", public_id("tenant", CANARY_TENANT)]
)
def test_there_are_none_of_a_tenant_that_is_not_there(cast: Cast, tenant: str) -> None:
    for method in ("GET", "PUT"):
        refused = cast.operator.call(method, f"/v1/tenants/{tenant}/limits", {})

        assert (refused.status_code, refused.json()["code"]) == (404, "tenant_not_found")


def told(error: Exception) -> tuple[Any, dict[str, Any]]:
    """Return what a caller is told of an exception."""
    answer = problem_response(error, {"request": RequestFactory().get("/")})
    return answer, json.loads(answer.content)


def test_who_asks_too_often_is_told_when_to_come_again_and_how_much_is_allowed() -> None:
    headers = {"RateLimit": '"member";r=0;t=60', "RateLimit-Policy": '"member";q=2;w=60'}

    answer, body = told(RateLimited(who="member", retry_after_s=30, headers=headers))

    assert (answer.status_code, body["code"]) == (429, "rate_limited")
    assert "This member" in body["detail"]
    assert "30 s" in body["detail"]
    assert answer.headers["Retry-After"] == "30"
    assert {name: answer.headers[name] for name in headers} == headers


def test_whose_quota_is_spent_is_told_when_it_begins_anew() -> None:
    renews_at = next_month(timezone.now())

    answer, body = told(QuotaSpent(renews_at=renews_at))

    assert (answer.status_code, body["code"]) == (429, "quota_spent")
    assert f"{renews_at:%Y-%m-%d}" in body["detail"]
    assert 0 < int(answer.headers["Retry-After"]) <= 31 * 86400 + 1


@pytest.mark.parametrize(
    ("error", "code"), [(NoTurn(), "no_turn"), (LimitsUnavailable(), "limits_unavailable")]
)
def test_who_finds_no_place_or_no_redis_is_told_to_try_again(error: Exception, code: str) -> None:
    answer, body = told(error)

    assert (answer.status_code, body["code"]) == (503, code)
    assert answer.headers["Retry-After"] == "5"


def test_figures_tell_of_all_tenants_together_and_name_none(cast: Cast) -> None:
    used(cast.here.id, cast.alice.id)

    text = Api("").get("/metrics").content.decode()

    assert 'ambit_uses_total{outcome="finished"}' in text
    assert 'ambit_tokens_total{kind="cached"}' in text
    for one in (cast.here.id, cast.alice.id):
        assert str(one) not in text
        assert one.hex not in text
