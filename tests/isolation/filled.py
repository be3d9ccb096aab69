"""A tenant with a row in every table, and how to say in whose context a bare connection reads."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.apps import apps
from django.db import connection, connections, models
from django.utils import timezone

from ambit.access.clearance import clearance_for
from ambit.answers.conversations import start_conversation
from ambit.answers.models import AnsweringPolicy
from ambit.answers.services import save_exchange
from ambit.answers.types import Answer, Usage
from ambit.audit.checkpoints import Signer
from ambit.audit.sequence import SEQUENCER, sequence_events
from ambit.corpus.search import search
from ambit.corpus.types import SubjectRef
from ambit.erasure.models import (
    Erasure,
    ErasureHolding,
    ErasureItem,
    PendingRequest,
    Receipt,
    Restriction,
    RestrictionItem,
    RetentionPolicy,
)
from ambit.export.models import Export, ExportItem
from ambit.jobs.kinds import ERASE
from ambit.jobs.models import Job
from ambit.metering.models import Limit
from ambit.metering.services import close_use, open_use
from ambit.notices.models import Notice, Webhook
from tenants import services
from tenants.models import Account, IdempotencyKey
from tenants.scope import audience_scope, tenant_scope
from tests.database.adapting import register
from tests.database.worlds import (
    Passage,
    grant,
    make_collection,
    make_group,
    make_member,
    make_tenant,
    publish,
    unit,
    working,
)

_ANSWER = Answer(
    text="At six.",
    abstained=False,
    generator="extractive",
    citations=(),
    unsupported=(),
    usage=Usage(),
)


@dataclass(frozen=True, slots=True)
class Filled:
    """A tenant, its owner of everything, and what the owner's context would be."""

    tenant_id: UUID
    alice: UUID
    carol: UUID
    collection_id: UUID
    document_id: UUID
    group_id: UUID
    answer_id: UUID
    conversation_id: UUID
    audience_ids: tuple[UUID, ...]
    # Stands in its document and nowhere else.
    word: str


def fill_tenant() -> Filled:
    """Make a tenant with at least one row in every table that has a tenant_id."""
    tenant_id, word = make_tenant(), uuid4().hex
    with working(tenant_id):
        alice, carol = make_member("alice", role="admin"), make_member("carol")
        group_id = make_group(members=[alice], groups=[make_group()])
        collection_id = make_collection(
            grant("owner", member=alice), grant("reader", group=group_id)
        )
        services.create_service_key(name="service", scopes=["search"])
    document_id = publish(
        tenant_id=tenant_id,
        by=alice,
        collection_id=collection_id,
        passages=[Passage(f"The harbor opens at six, says {word}.", unit(0))],
        subjects=(SubjectRef("email", "someone@example.org"),),
    )
    account = Account(
        tenant_id=tenant_id, member_id=alice, sign_in=f"{uuid4().hex}@example.org", password="!"
    )
    account.save(using="operator", force_insert=True)
    with working(tenant_id, member_id=alice):
        clearance = clearance_for(member_id=alice)
        conversation_id = start_conversation(member_id=alice)
        answer_id = save_exchange(
            member_id=alice,
            conversation_id=conversation_id,
            question="When?",
            answer=_ANSWER,
            passages=search(clearance=clearance, query="harbor", embedding=unit(0).tolist(), k=1),
        )
        _fill_the_rest(alice)
    register(tenant_id, alice, [document_id])
    _prove(tenant_id)
    return Filled(
        tenant_id,
        alice,
        carol,
        collection_id,
        document_id,
        group_id,
        answer_id,
        conversation_id,
        clearance.audience_ids,
        word,
    )


def _fill_the_rest(alice: UUID) -> None:
    now = timezone.now()
    use_id = open_use(
        member_id=alice, key_id=uuid4(), kind="answer", model="m", passages=1, retrieval_ms=1, prompt_estimate=1
    )  # fmt: skip
    close_use(
        use_id, prompt_tokens=1, cached_tokens=0, completion_tokens=1, exact=True, outcome="finished"
    )  # fmt: skip
    Limit.objects.create(tokens_per_month=10**9)
    IdempotencyKey.objects.create(
        actor_id=uuid4(), key_hash="k", request_hash="r", status=201, object_kind="document"
    )
    # Far from due, so that no worker takes it.
    Job.objects.create(name=ERASE.name, object_id=uuid4(), run_after=now + timedelta(days=3650))
    erasure = Erasure.objects.create(
        subject_type="documents", requested_by_kind="service", received_at=now, due_at=now
    )
    ErasureItem.objects.create(erasure_id=erasure.pk, kind="document", object_id=uuid4())
    ErasureHolding.objects.create(erasure_id=erasure.pk, name="documents")
    Receipt.objects.create(erasure_id=erasure.pk, serial=1, written_at=now, note="n")
    hold = Restriction.objects.create(
        basis="e",
        subject_type="documents",
        reason_sealed=b"r",
        placed_by_kind="service",
        placed_at=now,
    )
    RestrictionItem.objects.create(restriction_id=hold.pk, kind="document", object_id=uuid4())
    RetentionPolicy.objects.create(data_class="answers")
    AnsweringPolicy.objects.create(rules="Say who is meant by we.")
    export = Export.objects.create(
        subject_type="email",
        subject_mac=b"m",
        reason_sealed=b"r",
        requested_by_kind="service",
        received_at=now,
    )
    webhook = Webhook.objects.create(name="w", events=["document.erased"])
    Notice.objects.create(
        webhook_id=webhook.pk, event="document.erased", object_id=uuid4(), occurred_at=now
    )
    ExportItem.objects.create(export_id=export.pk, document_id=uuid4())
    PendingRequest.objects.create(erasure_id=erasure.pk, wrapped_key=b"k", named_sealed=b"n")


def _prove(tenant_id: UUID) -> None:
    sequence_events(Signer("ambit.test", Ed25519PrivateKey.generate()))
    with connections[SEQUENCER].cursor() as cursor:
        # Otherwise only every 256 events.
        cursor.execute(
            "INSERT INTO audit_subtree (tenant_id, id, level, index, hash) VALUES (%s, %s, 8, 0, '')",
            [tenant_id, uuid4()],
        )


def tenant_tables() -> list[str]:
    """Return the tables with a tenant_id as the models know them; test_schema knows the catalogue's."""
    return sorted(
        model._meta.db_table
        for model in apps.get_models()
        if any(isinstance(f, models.UUIDField) and f.name == "tenant_id" for f in _fields(model))
    )


def _fields(model: type[models.Model]) -> list[models.Field]:  # type: ignore[type-arg]
    return [f for f in model._meta.get_fields() if isinstance(f, models.Field)]


def rows_seen_by_their_owner(filled: Filled, table: str) -> int:
    """Count a table's rows in the context of who may see them all."""
    with (
        tenant_scope(filled.tenant_id, member_id=filled.alice, custody=True),
        audience_scope(filled.audience_ids),
        connection.cursor() as cursor,
    ):
        cursor.execute(f"SELECT count(*) FROM {table}")  # noqa: S608 - names of our tables
        return int(cursor.fetchone()[0])
