"""Whatever is asked and answered is one event or more in the audit trail: found by the request's id."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from ambit.config.settings import EMBEDDED
from tests.database.private import superuser_url
from tests.isolation.routes import Call, calls
from tests.isolation.stage import Stage, make_stage

pytestmark = pytest.mark.usefixtures("embeddings", "model")
_EVENTS = "SELECT count(*) FROM tenants_auditevent WHERE request_id = %s"
_SIZE = "SELECT min(size) FROM audit_checkpoint WHERE tenant_id = %s"


@pytest.fixture(scope="module")
def look(_database: None) -> Iterator[psycopg.Connection]:
    """Connect as the superuser, to look at what no policy hides."""
    with psycopg.connect(superuser_url(EMBEDDED), autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="module")
def stage(look: psycopg.Connection) -> Stage:
    """Return everybody with what is theirs, and some of it signed."""
    return make_stage(look)


def answered(stage: Stage, look: psycopg.Connection, call: Call) -> str:
    """Have the call answered by whoever may make it, and return the request's id."""
    cast = stage.cast
    body = call.body(stage.alices)
    if call.route == "v1/audit/consistency":
        (size,) = look.execute(_SIZE, [cast.here.id]).fetchone() or (0,)
        body = {"older": size, "newer": size}
    refusals = []
    for api in (cast.olivia, cast.alice, cast.here.service):
        path = call.path(stage.alices)
        response = api.get(path, body) if call.method == "GET" else api.call("POST", path, body)
        if response.streaming:
            response.getvalue()
        if response.status_code < 300:
            return str(response.headers["X-Request-Id"])
        refusals.append((response.status_code, response.content[:300]))
    pytest.fail(f"{call.name} was answered to nobody: {refusals}")


# What the operator asks is of no tenant, and there is no other trail.
READS = [call for call in calls() if call.method == "GET" and not call.policy.operator]
ASKS = [call for call in calls() if call.name in {"POST v1/search", "POST v1/answers"}]


@pytest.mark.parametrize("call", [*READS, *ASKS], ids=lambda call: call.name)
def test_what_is_answered_is_recorded(stage: Stage, look: psycopg.Connection, call: Call) -> None:
    request_id = answered(stage, look, call)

    (n_events,) = look.execute(_EVENTS, [request_id]).fetchone() or (0,)
    assert n_events >= 1, "give the view `reads`, or have its handler record() what it does"
