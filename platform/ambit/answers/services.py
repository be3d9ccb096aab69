"""Keep answers, sealed under a key of their own."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict
from typing import Any, TypeAlias
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone

from ambit.answers.models import Conversation, Exchange, ExchangePassage
from ambit.answers.types import Answer, GeneratorName, SavedExchange, Usage
from ambit.corpus.types import Passage
from ambit.keys.sealing import new_data_key, seal_text
from tenants.ids import uuid7
from tenants.scope import current_tenant_id, member_scope

WITHHELD = "What you may see changed while this answer was being written, or could not be looked up. Please ask again."
FIELD = "exchange"
# A document, its version and a chunk of it.
MadeFrom: TypeAlias = tuple[UUID, UUID, UUID]


def withheld(answer: Answer) -> Answer:
    """Return the answer emptied, because what it was made from is out of the asker's reach."""
    return nothing_given(generator=answer.generator, usage=answer.usage)


def nothing_given(*, generator: GeneratorName, usage: Usage) -> Answer:
    """Return the answer of which nothing is given; what it cost stays."""
    return Answer(
        text=WITHHELD,
        abstained=True,
        generator=generator,
        citations=(),
        unsupported=(),
        usage=usage,
        withheld=True,
    )


class ConversationNotFound(LookupError):
    """There is no such conversation, it is another member's or was deleted: not told apart."""


def save_exchange(
    *,
    member_id: UUID,
    question: str,
    answer: Answer,
    passages: Sequence[Passage],
    conversation_id: UUID | None = None,
    earlier: Sequence[MadeFrom] = (),
    adapter_ids: Collection[UUID] = (),
) -> UUID:
    """Keep a question and its answer for the asker, with what it was made from for erasures.

    conversation_id: of which it is the next turn; raises ConversationNotFound. earlier: what the turns were made from
    that the model was told of; whoever loses or erases any of that loses or erases this one too.
    adapter_ids: what wrote it and those turns; it was made from all that these were trained on.
    """
    tenant_id = current_tenant_id()
    exchange_id = uuid7()
    key, wrapped = new_data_key(tenant_id=tenant_id, object_id=exchange_id)
    body = json.dumps({"question": question, "answer": asdict(answer)}, default=str)
    sealed = seal_text(key, body, tenant_id=tenant_id, object_id=exchange_id, field=FIELD)
    made = [*((p.document_id, p.version_id, p.chunk_id) for p in passages), *earlier]
    with member_scope(member_id):
        if conversation_id is not None:
            lock_conversation(conversation_id=conversation_id, member_id=member_id)
        exchange = Exchange(
            id=exchange_id,
            member_id=member_id,
            conversation_id=conversation_id,
            adapter_ids=sorted(adapter_ids) or None,
            wrapped_key=wrapped,
            body_sealed=sealed,
            generator=answer.generator,
            abstained=answer.abstained,
            prompt_tokens=answer.usage.prompt_tokens,
            completion_tokens=answer.usage.completion_tokens,
            cached_tokens=answer.usage.cached_tokens,
        )
        exchange.save(force_insert=True)
        ExchangePassage.objects.bulk_create(
            ExchangePassage(
                exchange_id=exchange_id,
                member_id=member_id,
                document_id=document_id,
                version_id=version_id,
                chunk_id=chunk_id,
            )
            for document_id, version_id, chunk_id in dict.fromkeys(made)
        )
    return exchange_id


def made_from(turns: Sequence[SavedExchange], *, member_id: UUID) -> tuple[MadeFrom, ...]:
    """Return the passages that a member's turns were made from; of one that was destroyed there are none."""
    if not turns:
        return ()
    with member_scope(member_id):
        kept = ExchangePassage.objects.filter(exchange_id__in=[t.id for t in turns]).order_by("pk")
        return tuple(kept.values_list("document_id", "version_id", "chunk_id"))


def lock_conversation(*, conversation_id: UUID, member_id: UUID) -> None:
    """Keep a conversation from being deleted until commit, in its member's scope; raise ConversationNotFound."""
    own = Conversation.objects.filter(pk=conversation_id, member_id=member_id)
    if not own.filter(hidden_at__isnull=True).select_for_update(no_key=True).exists():
        raise ConversationNotFound(conversation_id)


def hide_answers(answer_ids: Iterable[UUID]) -> int:
    """Hide answers for good, in custody and in the caller's transaction; return how many were not hidden yet."""
    found = Exchange.objects.filter(pk__in=list(answer_ids), hidden_at__isnull=True)
    return found.update(hidden_at=timezone.now())


def adapters_behind(answer_ids: Iterable[UUID] | QuerySet[Any, UUID]) -> set[UUID]:
    """Return the adapters that wrote these answers or what they were told of; in custody or the asker's scope."""
    found = Exchange.objects.filter(pk__in=answer_ids, adapter_ids__isnull=False)
    return {one for ids in found.values_list("adapter_ids", flat=True) for one in ids or ()}


def adapters_of(turns: Sequence[SavedExchange], *, member_id: UUID) -> set[UUID]:
    """Return the adapters behind a member's turns; of one that was destroyed there are none."""
    if not turns:
        return set()
    with member_scope(member_id):
        return adapters_behind([t.id for t in turns])
