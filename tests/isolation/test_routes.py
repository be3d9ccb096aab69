"""Every route, by everybody who may not: the answer is the one that an id of nothing would get.

Generated from the URLconf: a new route is covered the day it is added, or fails here for want of a
policy, a kind of id or a sample body.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import psycopg
import pytest
from django.utils import timezone
from psycopg import sql

from ambit.access import services as access_services
from ambit.access.clearance import clearance_for
from ambit.access.types import GrantSpec, PrincipalRef
from ambit.answers.services import save_exchange
from ambit.answers.types import Answer, Usage
from ambit.api.permissions import Policy, PolicyUndeclared
from ambit.api.views import HANDLERS, AmbitView
from ambit.config.settings import EMBEDDED
from ambit.corpus.search import search
from ambit.erasure.models import Erasure
from tenants import services
from tenants.ids import PREFIXES, public_id
from tenants.models import Role
from tests.cast import Api, Cast, Person, Place, as_service, make_cast, publish
from tests.database.private import superuser_url
from tests.isolation.filled import tenant_tables
from tests.isolation.routes import REQUESTS, Call, calls, kind_of, patterns

CALLS = calls()
pytestmark = pytest.mark.usefixtures("embeddings")

# What differs between two answers to the same request.
_VOLATILE = {"request_id", "id", "at", "subject_hash"}
# Tables that are written by being asked at all.
_WRITTEN_BY_ASKING = {
    "tenants_auditevent",
    "tenants_apikey",
    "tenants_idempotencykey",
    "jobs_job",
}


@dataclass(frozen=True)
class Stage:
    """The cast, what each of them owns, and what nobody else may learn of Alice's."""

    cast: Cast
    alices: dict[str, str]
    mallorys: dict[str, str]
    carols: dict[str, str]
    words: tuple[str, ...]
    callers: dict[str, Callable[[Call], Api]] = field(repr=False)
    look: psycopg.Connection = field(repr=False)
    # Digests of the rows of Alice's tenant: none of these calls may change one.
    rows: dict[str, str] = field(repr=False)


def _made_up(kind: str) -> str:
    return public_id(kind, uuid4())


def _things(person: Person, place: Place, *, word: str, collection_id: UUID) -> dict[str, str]:
    """Return the public ids of one thing of every kind that is a person's or its tenant's."""
    own = Place(place.id, place.service, place.service_key_id, collection_id, place.group_id)
    document_id = publish(person, own, text=f"The harbor of {word} opens at six.", title=word)
    with as_service(place.id, place.service_key_id):
        passages = search(
            clearance=clearance_for(member_id=person.id),
            query=word,
            embedding=None,
            k=1,
            mode="text",
        )
        assert passages
        answer_id = save_exchange(
            member_id=person.id, question="When?", answer=_answer(word), passages=passages
        )
        key = services.create_service_key(name="another", scopes=["search"])
        now = timezone.now()
        erasure = Erasure.objects.create(
            state="closed",
            subject_type="documents",
            requested_by_kind="service",
            received_at=now,
            due_at=now,
            closed_at=now,
            receipt={"complete": True},
        )
        child = services.create_group(external_id=uuid4().hex, name="Child")
    return {
        "collection": public_id("collection", collection_id),
        "document": public_id("document", document_id),
        "answer": public_id("answer", answer_id),
        "erasure": public_id("erasure", erasure.pk),
        "key": public_id("key", key.id),
        "member": person.public_id,
        "group": place.group,
        "child": public_id("group", child.pk),
    }


def _answer(word: str) -> Answer:
    return Answer(
        text=word,
        abstained=False,
        generator="extractive",
        citations=(),
        unsupported=(),
        usage=Usage(),
    )


def _stage(look: psycopg.Connection) -> Stage:
    cast = make_cast()
    here, there = cast.here, cast.there
    word = f"w{uuid4().hex}"
    with as_service(here.id, here.service_key_id):
        carols_collection = access_services.create_collection(
            name="Carol's", grants=[GrantSpec(PrincipalRef(member_id=cast.carol.id), "owner")]
        )
        revoked = services.create_member_key(
            member_id=cast.alice.id, name="revoked", scopes=services.SCOPES
        )
        services.revoke_key(key_id=revoked.id)
        suspended = services.create_member(
            external_id="dave", email="dave@example.test", name="Dave", role="admin"
        )
        suspended_key = services.create_member_key(
            member_id=suspended.pk, name="own", scopes=services.SCOPES
        )
        services.add_to_group(group_id=here.group_id, member_id=suspended.pk)
        lacking = {
            scope: services.create_member_key(
                member_id=cast.alice.id,
                name=f"all but {scope}",
                scopes=[s for s in services.SCOPES if s != scope],
            ).text
            for scope in services.SCOPES
        }
    alices = _things(cast.alice, here, word=word, collection_id=here.collection_id)
    mallorys = _things(cast.mallory, there, word="w", collection_id=there.collection_id)
    carols = _things(cast.carol, here, word="w", collection_id=carols_collection)
    with as_service(here.id, here.service_key_id):
        services.remove_from_group(group_id=here.group_id, member_id=cast.bob.id)
        services.set_member_suspended(member_id=suspended.pk, suspended=True)
    callers: dict[str, Callable[[Call], Api]] = {
        "anonymous": lambda call: Api(""),
        "another tenant's member": lambda call: cast.mallory,
        "another tenant's service": lambda call: there.service,
        "another tenant's service for its member": lambda call: there.service.acting_for("mallory"),
        "another tenant's service for Alice": lambda call: there.service.acting_for(
            cast.alice.public_id
        ),
        "a member without a grant": lambda call: cast.carol,
        "a service for a member without a grant": lambda call: here.service.acting_for("carol"),
        "a reader whose grant is revoked": lambda call: cast.bob,
        "a revoked key": lambda call: Api(revoked.text),
        "a suspended member": lambda call: Api(suspended_key.text),
        "a key without the scope": lambda call: Api(lacking.get(call.policy.scope, revoked.text)),
        "the operator": lambda call: cast.operator,
    }
    return Stage(
        cast=cast,
        alices=alices,
        mallorys=mallorys,
        carols=carols,
        words=(word, cast.alice.email),
        callers=callers,
        look=look,
        rows=_fingerprint(look, here.id),
    )


CALLERS = (
    "anonymous",
    "another tenant's member",
    "another tenant's service",
    "another tenant's service for its member",
    "another tenant's service for Alice",
    "a member without a grant",
    "a service for a member without a grant",
    "a reader whose grant is revoked",
    "a revoked key",
    "a suspended member",
    "a key without the scope",
    "the operator",
)
SAME_TENANT = CALLERS[5:8]
REFUSED_AT_THE_DOOR = ("anonymous", *CALLERS[8:])


@pytest.fixture(scope="module")
def look(_database: None) -> Iterator[psycopg.Connection]:
    """Connect as the superuser, to look at what no policy hides."""
    with psycopg.connect(superuser_url(EMBEDDED), autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="module")
def stage(look: psycopg.Connection) -> Stage:
    """Return everybody with what is theirs."""
    made = _stage(look)
    assert tuple(made.callers) == CALLERS
    return made


def _send(api: Api, call: Call, ids: dict[str, str]) -> tuple[int, str, str]:
    """Return status, body without what is volatile, and body as it is."""
    body = call.body(ids)
    response = (
        api.get(call.path(ids), body)
        if call.method == "GET"
        else api.call(call.method, call.path(ids), body)
    )
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
    made_up = _send(api, call, own | {slot: _made_up(kind_of(slot))})

    assert (status, body) == made_up[:2]
    sent = {own.get(s) for s in call.slots} | {stage.alices[slot]}
    hidden = {*stage.alices.values(), *stage.words} - sent
    assert [secret for secret in hidden if secret in text] == []
    assert _fingerprint(stage.look, stage.cast.here.id) == stage.rows


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("call", [c for c in CALLS if not c.slots], ids=lambda call: call.name)
def test_a_call_without_ids_tells_nothing_that_may_not_be_seen(
    stage: Stage, call: Call, caller: str
) -> None:
    _, _, text = _send(stage.callers[caller](call), call, {})

    seen = {s for s in (*stage.alices.values(), *stage.words) if s in text}
    assert seen == set()


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
        expected = _send(api, call, stage.alices | {slot: _made_up(kind_of(slot))})[:2]
        other_kind = next(k for k in PREFIXES if k != kind_of(slot))
        for malformed in (stage.alices[slot].upper(), _made_up(other_kind), "0"):
            if slot in call.path_slots or kind_of(slot) in {"collection", "document"}:
                found = _send(api, call, stage.alices | {slot: malformed})[:2]
                assert found == expected or call.name == "GET v1/audit/events", malformed


def _entitled(stage: Stage, call: Call) -> Api:
    if call.policy.operator:
        return stage.cast.operator
    return stage.cast.alice if call.policy.needs_member else stage.cast.here.service


def test_the_ids_are_real_for_whom_they_are_meant(look: psycopg.Connection) -> None:
    stage = _stage(look)
    # What takes something away comes last.
    order = ("GET", "PUT", "PATCH", "POST", "DELETE", "POST v1/erasures")
    meant = [c for c in CALLS if c.slots and not c.policy.operator]
    for call in sorted(meant, key=lambda c: order.index(c.name if c.name in order else c.method)):
        api = _entitled(stage, call)
        made_up = {slot: _made_up(kind_of(slot)) for slot in call.slots}

        status, body, text = _send(api, call, stage.alices)

        assert status < 400 or status == 409, (call.name, text)
        if call.name != "GET v1/audit/events":
            assert (status, body) != _send(api, call, made_up)[:2], call.name


def test_every_route_declares_who_may_call_it() -> None:
    undeclared = [
        route
        for route, view in patterns()
        if not (isinstance(view, type) and issubclass(view, AmbitView))
        or {m.upper() for m in HANDLERS if hasattr(view, m)} != set(view.policies)
    ]

    assert len(CALLS) > 30
    assert undeclared == []


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
        assert not re.search(r"(?:ten|mem|doc|col|grp|key|ans|era)_0[0-9a-f]{7}(?!d2c0)", text), (
            route
        )
        assert [s for s in (*stage.alices.values(), *stage.words) if s in text] == []


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
def test_every_body_and_every_id_of_a_call_is_tried(call: Call) -> None:
    assert not call.takes_a_body() or call.name in REQUESTS, (
        f"add a valid body of {call.name} to tests/isolation/routes.py"
    )
    assert call.untried_ids() == set(), f"add them to {call.name} in tests/isolation/routes.py"


def test_every_sample_belongs_to_a_call() -> None:
    assert set(REQUESTS) <= {call.name for call in CALLS}


def _fingerprint(look: psycopg.Connection, tenant_id: UUID) -> dict[str, str]:
    """Return a digest of all rows of a tenant, by table."""
    each = sql.SQL(
        "SELECT {0}, md5(string_agg(md5(t::text), '' ORDER BY id)) FROM {1} t WHERE tenant_id = {2}"
    )
    tables = [
        each.format(sql.Literal(table), sql.Identifier(table), sql.Literal(tenant_id))
        for table in tenant_tables()
        if table not in _WRITTEN_BY_ASKING
    ]
    return dict(look.execute(sql.SQL(" UNION ALL ").join(tables)).fetchall())
