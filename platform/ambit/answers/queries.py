"""Read saved answers: the asker's own, and only while it may still see what they were made from."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from ambit.adapters.queries import adapters_trained_on, trained_on, usable_adapters
from ambit.answers.models import Exchange, ExchangePassage
from ambit.answers.services import FIELD
from ambit.answers.types import Answer, Citation, SavedExchange, Usage
from ambit.corpus.queries import visible_documents
from ambit.corpus.types import Clearance
from ambit.keys.sealing import open_data_key, open_text
from tenants.scope import current_tenant_id, member_scope


class AnswerNotFound(LookupError):
    """There is no such answer, it is another's, or what it was made from is out of reach."""


def get_answer(*, answer_id: UUID, clearance: Clearance) -> SavedExchange:
    """Return the asker's saved answer; raise AnswerNotFound.

    A document revoked, deleted or erased since takes every answer made from it along, as an adapter that the asker
    may not use any more takes what it wrote.
    """
    if clearance.member_id is None:
        raise AnswerNotFound(answer_id)
    with member_scope(clearance.member_id):
        own = Exchange.objects.filter(pk=answer_id, member_id=clearance.member_id)
        found = own.filter(hidden_at__isnull=True).first()
        passages = ExchangePassage.objects.filter(exchange_id=answer_id)
        documents = set(passages.values_list("document_id", flat=True))
    if found is None:
        raise AnswerNotFound(answer_id)
    if not documents <= visible_documents(document_ids=documents, clearance=clearance):
        raise AnswerNotFound(answer_id)
    adapters = set(found.adapter_ids or ())
    if not adapters <= usable_adapters(adapter_ids=adapters, clearance=clearance):
        raise AnswerNotFound(answer_id)
    return open_exchange(found)


def exchanges_made_from(document_ids: Collection[UUID]) -> QuerySet[Exchange]:
    """Return the answers made from any of these documents, by passages or by an adapter, in custody."""
    passages = ExchangePassage.objects.filter(document_id__in=document_ids)
    made = passages.values_list("exchange_id", flat=True)
    adapters = adapters_trained_on(document_ids)
    if adapters:
        written = Exchange.objects.filter(adapter_ids__overlap=adapters)
        made = made.union(written.values_list("pk", flat=True))
    return Exchange.objects.filter(pk__in=made)


def answers_asked_by(member_id: UUID) -> Iterator[tuple[SavedExchange, frozenset[UUID]]]:
    """Yield a member's saved answers with the documents they were made from, in custody.

    For the member itself (Art. 15 GDPR): who gives one out decides what of it others are in.
    """
    kept = Exchange.objects.filter(member_id=member_id, hidden_at__isnull=True)
    learnt: dict[tuple[UUID, ...], frozenset[UUID]] = {}
    for row in kept.order_by("pk").iterator():
        adapters = tuple(row.adapter_ids or ())
        if adapters not in learnt:
            learnt[adapters] = frozenset(trained_on(adapters))
        made = ExchangePassage.objects.filter(exchange_id=row.pk)
        yield open_exchange(row), learnt[adapters].union(made.values_list("document_id", flat=True))


def answers_of_others(document_ids: Iterable[UUID], *, member_id: UUID | None) -> list[datetime]:
    """Return when others asked what was answered from these documents, in custody; nothing of what."""
    found = exchanges_made_from(list(document_ids))
    if member_id is not None:
        found = found.exclude(member_id=member_id)
    return list(found.order_by("pk").values_list("asked_at", flat=True))


def open_exchange(exchange: Exchange) -> SavedExchange:
    """Return what a row says; whom it may be shown to is the caller's to know."""
    tenant_id = current_tenant_id()
    key = open_data_key(bytes(exchange.wrapped_key), tenant_id=tenant_id, object_id=exchange.pk)
    body = json.loads(
        open_text(
            key,
            bytes(exchange.body_sealed),
            tenant_id=tenant_id,
            object_id=exchange.pk,
            field=FIELD,
        )
    )
    return SavedExchange(
        id=exchange.pk,
        asked_at=exchange.asked_at,
        question=body["question"],
        answer=_answer(body["answer"]),
        conversation_id=exchange.conversation_id,
    )


def _answer(values: dict[str, Any]) -> Answer:
    ids = ("document_id", "version_id", "chunk_id")
    citations = tuple(
        Citation(**(citation | {name: UUID(citation[name]) for name in ids}))
        for citation in values["citations"]
    )
    return Answer(
        text=values["text"],
        abstained=values["abstained"],
        generator=values["generator"],
        citations=citations,
        unsupported=tuple(values["unsupported"]),
        usage=Usage(**values["usage"]),
        # Answers of before these were kept have none.
        value=values.get("value"),
        cut_short=values.get("cut_short", False),
        withheld=values.get("withheld", False),
        groundedness=values.get("groundedness"),
    )
