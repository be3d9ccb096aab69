"""Which saved answers are older than they are to be kept; nothing is read of what they say."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from ambit.adapters.queries import trained_on
from ambit.answers.models import Exchange, ExchangePassage
from ambit.answers.queries import exchanges_made_from
from ambit.answers.services import adapters_behind


def answers_asked_before(
    moment: datetime, *, spared: QuerySet[Any, UUID], among: Iterable[UUID] | None = None
) -> QuerySet[Exchange, UUID]:
    """Return the ids of the answers asked before a moment, the oldest first, in custody.

    Not hidden ones, and nothing that is spared. among: of these alone.
    """
    found = Exchange.objects.filter(asked_at__lt=moment, hidden_at__isnull=True)
    if among is not None:
        found = found.filter(pk__in=list(among))
    return found.exclude(pk__in=spared).order_by("asked_at", "pk").values_list("pk", flat=True)


def answers_asked_by_any(member_ids: Collection[UUID]) -> QuerySet[Exchange, UUID]:
    """Return the ids of the answers that any of these members asked for, in custody."""
    found = Exchange.objects.filter(member_id__in=member_ids)
    return found.values_list("pk", flat=True)


def answers_made_from(document_ids: Collection[UUID]) -> QuerySet[Exchange, UUID]:
    """Return the ids of the answers made from any of these documents, in custody."""
    return exchanges_made_from(document_ids).values_list("pk", flat=True)


def documents_behind(answer_ids: QuerySet[Any, UUID]) -> QuerySet[Any, UUID]:
    """Return the ids of the documents that these answers were made from, in custody."""
    passages = ExchangePassage.objects.filter(exchange_id__in=answer_ids)
    found = passages.values_list("document_id", flat=True)
    adapters = adapters_behind(answer_ids)
    return found.union(trained_on(adapters)) if adapters else found


def askers_of(answer_ids: Iterable[UUID]) -> set[UUID]:
    """Return who asked for these answers, in custody."""
    found = Exchange.objects.filter(pk__in=list(answer_ids))
    return set(found.values_list("member_id", flat=True))


def turns_of(conversation_id: UUID) -> QuerySet[Exchange, UUID]:
    """Return the ids of a conversation's answers, hidden ones too, in custody."""
    found = Exchange.objects.filter(conversation_id=conversation_id)
    return found.order_by("pk").values_list("pk", flat=True)
