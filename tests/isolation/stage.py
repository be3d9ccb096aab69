"""Everybody who might ask, what is theirs, and what nobody else may learn of Alice's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID, uuid4

import psycopg
from django.utils import timezone
from psycopg import sql

from ambit.access import services as access_services
from ambit.access.clearance import clearance_for
from ambit.access.types import GrantSpec, PrincipalRef
from ambit.answers.conversations import start_conversation
from ambit.answers.services import save_exchange
from ambit.answers.types import Answer, Usage
from ambit.corpus.search import search
from ambit.corpus.types import SubjectRef
from ambit.erasure.exports import request_export
from ambit.erasure.models import Erasure, Receipt
from ambit.erasure.restrictions import place_hold, place_restriction
from ambit.keys.signing import make_signing_key
from ambit.notices.services import create_webhook
from tenants import services
from tenants.ids import public_id
from tenants.models import AuditEvent
from tests.audit.trails import sign_all
from tests.cast import Api, Cast, Person, Place, as_service, make_cast, publish
from tests.database.adapting import make_live
from tests.database.erasures import keep_from_workers
from tests.database.exporting import make as make_export
from tests.isolation.filled import tenant_tables
from tests.isolation.routes import Call

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
_RECEIPT = 'ambit-receipt/v1\n{"complete": true}\n'
# Tables that are written by being asked at all.
_WRITTEN_BY_ASKING = {
    "tenants_auditevent",
    "tenants_apikey",
    "tenants_idempotencykey",
    "jobs_job",
    # Whoever may ask may begin one of its own; whose is deleted is seen by its turn.
    "answers_conversation",
    # By what signs the events, whenever it comes by.
    "audit_log",
    "audit_leaf",
    "audit_subtree",
    "audit_checkpoint",
}


@dataclass(frozen=True)
class Stage:
    """The cast, what each of them owns, and what nobody else may learn of Alice's."""

    cast: Cast
    alices: dict[str, str]
    mallorys: dict[str, str]
    carols: dict[str, str]
    words: tuple[str, ...]
    # An administrator who sees what Alice sees.
    registrar: Api
    callers: dict[str, Callable[[Call], Api]] = field(repr=False)
    look: psycopg.Connection = field(repr=False)
    # Digests of the rows of Alice's tenant: none of these calls may change one.
    rows: dict[str, str] = field(repr=False)


def made_up(kind: str) -> str:
    """Return the public id of nothing."""
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
        conversation_id = start_conversation(member_id=person.id)
        save_exchange(
            member_id=person.id,
            question=word,
            answer=_answer(word),
            passages=passages,
            conversation_id=conversation_id,
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
        )
        Receipt.objects.create(erasure_id=erasure.pk, serial=1, written_at=now, note=_RECEIPT)
        child = services.create_group(external_id=uuid4().hex, name="Child")
        event = AuditEvent.objects.order_by("id")[0]
    withheld_id = publish(person, own, text=f"The claim of {word}.", title=word)
    with as_service(place.id, place.service_key_id):
        hold = place_hold(
            subject=None,
            document_ids=[withheld_id],
            basis="e",
            review_at=now + timedelta(days=90),
            reason=word,
        )
        restriction = place_restriction(subject=None, document_ids=[withheld_id], reason=word)
        webhook = create_webhook(
            name=word, url=f"https://{word}.example.test/", events=["document.erased"]
        )
        subject = SubjectRef("member", str(person.id))
        export = request_export(subject=subject, reason=word, include_shared=False)
        keep_from_workers()
    make_export(place.id, export.id)
    adapter_id = make_live(place.id, person.id, [document_id], name=word)
    with as_service(place.id, place.service_key_id):
        keep_from_workers()
    return {
        "webhook": public_id("webhook", webhook.webhook.id),
        "export": public_id("export", export.id),
        "adapter": public_id("adapter", adapter_id),
        "collection": public_id("collection", collection_id),
        "document": public_id("document", document_id),
        "answer": public_id("answer", answer_id),
        "conversation": public_id("conversation", conversation_id),
        "erasure": public_id("erasure", erasure.pk),
        "hold": public_id("hold", hold.id),
        "restriction": public_id("restriction", restriction.id),
        "key": public_id("key", key.id),
        "tenant": public_id("tenant", place.id),
        "member": person.public_id,
        "group": place.group,
        "child": public_id("group", child.pk),
        "event": public_id("event", event.pk),
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


def make_stage(look: psycopg.Connection) -> Stage:
    """Make everybody, in two tenants of their own."""
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
        registrar = services.create_member(
            external_id="rena", email="rena@example.test", name="Rena", role="admin"
        )
        services.add_to_group(group_id=here.group_id, member_id=registrar.pk)
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
    make_signing_key()
    sign_all(here.id)
    sign_all(there.id)
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
        registrar=here.service.acting_for("rena"),
        callers=callers,
        look=look,
        rows=fingerprint(look, here.id),
    )


def fingerprint(look: psycopg.Connection, tenant_id: UUID) -> dict[str, str]:
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
