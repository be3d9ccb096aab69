"""Keep answers, sealed under a key of their own."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone

from ambit.answers.models import Conversation, Exchange, ExchangePassage
from ambit.answers.types import Answer, GeneratorName, SavedExchange, Usage
from ambit.corpus.types import Passage
from ambit.keys.sealing import new_data_key, seal_text
from tenants.ids import uuid7
from tenants.scope import current_tenant_id, member_scope

WITHHELD = "What you may see changed while this answer was being written. Please ask again."
FIELD = "exchange"


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
    turns: Sequence[SavedExchange] = (),
    adapter_id: UUID | None = None,
) -> UUID:
    """Keep a question and its answer for the asker, with what it was made from for erasures.

    conversation_id: of which it is the next turn; raises ConversationNotFound. turns: the earlier ones that
    the model was told of; whoever loses or erases what they were made from loses or erases this one too.
    adapter_id: what wrote it, and so it was made from all that this was trained on.
    """
    tenant_id = current_tenant_id()
    exchange_id = uuid7()
    key, wrapped = new_data_key(tenant_id=tenant_id, object_id=exchange_id)
    body = json.dumps({"question": question, "answer": asdict(answer)}, default=str)
    sealed = seal_text(key, body, tenant_id=tenant_id, object_id=exchange_id, field=FIELD)
    with member_scope(member_id):
        if conversation_id is not None:
            lock_conversation(conversation_id=conversation_id, member_id=member_id)
        exchange = Exchange(
            id=exchange_id,
            member_id=member_id,
            conversation_id=conversation_id,
            adapter_ids=_written_by(adapter_id, turns),
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
            for document_id, version_id, chunk_id in _made_from(passages, turns)
        )
    return exchange_id


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


def _written_by(adapter_id: UUID | None, turns: Sequence[SavedExchange]) -> list[UUID] | None:
    """Return its own adapter and those of the turns that it was told of; None for none."""
    own = set() if adapter_id is None else {adapter_id}
    return sorted(own | adapters_behind([t.id for t in turns])) or None


def _made_from(
    passages: Sequence[Passage], turns: Sequence[SavedExchange]
) -> list[tuple[UUID, UUID, UUID]]:
    """Return documents, versions and chunks, each chunk once."""
    earlier = ExchangePassage.objects.filter(exchange_id__in=[t.id for t in turns]).order_by("pk")
    rows = [(p.document_id, p.version_id, p.chunk_id) for p in passages]
    return list(
        dict.fromkeys([*rows, *earlier.values_list("document_id", "version_id", "chunk_id")])
    )
