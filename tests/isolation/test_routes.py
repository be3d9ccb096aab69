"""Every route, by everybody who may not: the answer is the one that an id of nothing would get.

Generated from the URLconf: a new route is covered the day it is added, or fails here for want of a
policy, a kind of id or a sample body.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import psycopg
import pytest

from ambit.api.permissions import Policy, PolicyUndeclared
from ambit.api.views import HANDLERS, AmbitView
from ambit.config.settings import EMBEDDED
from tenants import services
from tenants.ids import PREFIXES
from tenants.models import Role
from tests.cast import Api
from tests.database.private import superuser_url
from tests.isolation.routes import REQUESTS, Call, calls, kind_of, patterns
from tests.isolation.stage import (
    CALLERS,
    REFUSED_AT_THE_DOOR,
    SAME_TENANT,
    Stage,
    fingerprint,
    made_up,
    make_stage,
)

CALLS = calls()
pytestmark = pytest.mark.usefixtures("embeddings", "model")

# What differs between two answers to the same request.
_VOLATILE = {"request_id", "id", "at", "subject_hash"}


@pytest.fixture(scope="module")
def look(_database: None) -> Iterator[psycopg.Connection]:
    """Connect as the superuser, to look at what no policy hides."""
    with psycopg.connect(superuser_url(EMBEDDED), autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="module")
def stage(look: psycopg.Connection) -> Stage:
    """Return everybody with what is theirs."""
    made = make_stage(look)
    assert tuple(made.callers) == CALLERS
    return made


def _send(api: Api, call: Call, ids: dict[str, str]) -> tuple[int, str, str]:
    """Return status, body without what is volatile, and body as it is."""
    body = call.body(ids)
    response = api.get(call.path(ids), body) if call.method == "GET" else call.sent_by(api, ids)
    raw = response.getvalue() if response.streaming else response.content
    text = raw.decode(errors="replace")
    steady = re.sub(
        r'"(\w+)": ?"[^"]*"',
        lambda m: m[0] if m[1] not in _VOLATILE and not m[1].endswith("_at") else f'"{m[1]}": ""',
        text,
    )
    return response.status_code, steady, text


def _attempts() -> list[tuple[Call, str, str]]:
    found = []
    for call in CALLS:
        # Whom a grant or subject names is no secret among members of one tenant.
        of_things = [s for s in call.body_slots if kind_of(s) not in {"member", "group"}]
        for caller in CALLERS:
            if call.policy.operator and caller == "the operator":
                # It may: tests/api/test_offboarding.py.
                continue
            slots = call.path_slots or of_things if caller in SAME_TENANT else call.slots
            # Who is refused before any id is looked at is tried with one.
            tried = slots[:1] if caller in REFUSED_AT_THE_DOOR else slots
            found += [(call, caller, slot) for slot in tried]
    return found


@pytest.mark.parametrize(
    ("call", "caller", "slot"),
    _attempts(),
    ids=lambda value: value.name if isinstance(value, Call) else value,
)
def test_an_id_of_what_may_not_be_seen_is_answered_as_one_of_nothing(
    stage: Stage, call: Call, caller: str, slot: str
) -> None:
    api = stage.callers[caller](call)
    # Everything else in the request is the caller's own, so that this one id decides.
    own = stage.carols if caller in SAME_TENANT else stage.mallorys

    status, body, text = _send(api, call, own | {slot: stage.alices[slot]})
    of_nothing = _send(api, call, own | {slot: made_up(kind_of(slot))})

    assert (status, body) == of_nothing[:2]
    sent = {own.get(s) for s in call.slots} | {stage.alices[slot]}
    hidden = {*stage.alices.values(), *stage.words} - sent
    assert [secret for secret in hidden if secret in text] == []
    assert fingerprint(stage.look, stage.cast.here.id) == stage.rows


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("call", [c for c in CALLS if not c.slots], ids=lambda call: call.name)
def test_a_call_without_ids_tells_nothing_that_may_not_be_seen(
    stage: Stage, call: Call, caller: str
) -> None:
    _, _, text = _send(stage.callers[caller](call), call, {})

    seen = {s for s in (*stage.alices.values(), *stage.words) if s in text}
    # Which tenants there are is the operator's to know.
    assert seen - ({stage.alices["tenant"]} if caller == "the operator" else set()) == set()


@pytest.mark.parametrize("caller", REFUSED_AT_THE_DOOR)
@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
def test_who_may_not_make_a_call_at_all_is_refused(stage: Stage, call: Call, caller: str) -> None:
    if call.policy.operator and caller in {"the operator", "a key without the scope"}:
        caller = "a revoked key"

    status, _, _ = _send(stage.callers[caller](call), call, stage.alices)

    assert status == (403 if caller in {"the operator", "a key without the scope"} else 401)


@pytest.mark.parametrize("call", [c for c in CALLS if c.slots], ids=lambda call: call.name)
def test_a_malformed_id_is_answered_as_one_of_nothing(stage: Stage, call: Call) -> None:
    api = _entitled(stage, call)
    for slot in call.slots:
        expected = _send(api, call, stage.alices | {slot: made_up(kind_of(slot))})[:2]
        other_kind = next(k for k in PREFIXES if k != kind_of(slot))
        for malformed in (stage.alices[slot].upper(), made_up(other_kind), "0"):
            if slot in call.path_slots or kind_of(slot) in {"collection", "document"}:
                found = _send(api, call, stage.alices | {slot: malformed})[:2]
                assert found == expected or call.name == "GET v1/audit/events", malformed


def _entitled(stage: Stage, call: Call) -> Api:
    if call.policy.operator:
        return stage.cast.operator
    if not call.policy.needs_member:
        return stage.cast.here.service
    return stage.registrar if call.policy.roles else stage.cast.alice


def test_the_ids_are_real_for_whom_they_are_meant(look: psycopg.Connection) -> None:
    stage = make_stage(look)
    # What takes something away comes last; an adapter goes with any change of what it was trained on.
    order = (
        "GET",
        "POST v1/answers",
        "POST v1/chat/completions",
        "POST v1/adapters",
        "PUT",
        "PATCH",
        "POST",
        "DELETE",
        "POST v1/restrictions",
        "POST v1/holds",
        "POST v1/erasures",
    )
    meant = [c for c in CALLS if c.slots and not c.policy.operator]
    for call in sorted(meant, key=lambda c: order.index(c.name if c.name in order else c.method)):
        api = _entitled(stage, call)
        nothing = {slot: made_up(kind_of(slot)) for slot in call.slots}

        status, body, text = _send(api, call, stage.alices)

        assert status < 400 or status == 409, (call.name, text)
        if call.name != "GET v1/audit/events":
            assert (status, body) != _send(api, call, nothing)[:2], call.name


@pytest.mark.usefixtures("_database")
def test_every_route_declares_who_may_call_it() -> None:
    undeclared = [
        route
        for route, view in patterns()
        if not (isinstance(view, type) and issubclass(view, AmbitView))
        or {m.upper() for m in HANDLERS if hasattr(view, m)} != set(view.policies)
    ]

    assert len(CALLS) > 30
    # The bare addresses lead to the admin site and tell nothing else.
    assert undeclared == ["", "admin"]
    answer = Api("").get("/")
    assert (answer.status_code, answer.headers["Location"], answer.content) == (302, "/admin/", b"")


def test_a_view_without_a_policy_cannot_be_defined() -> None:
    with pytest.raises(PolicyUndeclared):
        type("Careless", (AmbitView,), {"get": lambda self, request: None})


def test_every_policy_asks_for_something_there_is() -> None:
    odd = [
        call.name
        for call in CALLS
        if not call.policy.operator
        and (
            call.policy.scope not in services.SCOPES
            or not call.policy.roles <= set(Role.values)
            or call.policy == Policy()
        )
    ]

    assert odd == []


def test_what_is_for_anybody_is_known_and_tells_no_ids(stage: Stage) -> None:
    public = sorted(
        {
            route
            for route, view in patterns()
            if isinstance(view, type)
            and issubclass(view, AmbitView)
            and any(policy.public for policy in view.policies.values())
        }
    )

    assert public == [
        "docs",
        "docs/problems",
        "docs/start.js",
        "livez",
        "metrics",
        "readyz",
        "v1/livez",
        "v1/readyz",
        "v1/schema",
    ]
    for route in public:
        text = Api("").get(f"/{route}").content.decode()
        # The schema shows made-up ids as examples.
        assert route == "v1/schema" or not re.search(r"\b[a-z]{3}_[0-9a-f]{32}", text), route
        assert [s for s in (*stage.alices.values(), *stage.words) if s in text] == []


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
def test_every_body_and_every_id_of_a_call_is_tried(call: Call) -> None:
    assert not call.takes_a_body() or call.name in REQUESTS, (
        f"add a valid body of {call.name} to tests/isolation/routes.py"
    )
    assert call.untried_ids() == set(), f"add them to {call.name} in tests/isolation/routes.py"


def test_every_sample_belongs_to_a_call() -> None:
    assert set(REQUESTS) <= {call.name for call in CALLS}
