"""Conversations: a member's questions one after another, of which only that is shown which may be seen now.

What the member may see is looked up anew with each call. A turn of which a document is out of reach by now is
left out whole, its question too: a question may repeat what an answer said. So is what an adapter wrote that the
member may not use by now.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db.models import Count, QuerySet
from django.utils import timezone

from ambit.adapters.queries import usable_adapters
from ambit.answers.models import Conversation, Exchange, ExchangePassage
from ambit.answers.queries import open_exchange
from ambit.answers.services import ConversationNotFound, lock_conversation
from ambit.answers.types import SavedExchange
from ambit.corpus.queries import visible_documents
from ambit.corpus.types import Clearance
from ambit.jobs.kinds import REMOVE_CONVERSATION
from ambit.jobs.services import enqueue
from tenants.audit import record
from tenants.scope import member_scope

# Of a longer conversation the latest are shown.
MAX_TURNS = 200


@dataclass(frozen=True, slots=True)
class ConversationView:
    """A conversation in a list."""

    id: UUID
    created_at: datetime
    n_turns: int


@dataclass(frozen=True, slots=True)
class ReadConversation:
    """A conversation with the turns that may be seen now, oldest first."""

    id: UUID
    created_at: datetime
    turns: tuple[SavedExchange, ...] = field(repr=False)
    # How many turns are out of reach.
    n_withheld: int


def start_conversation(*, member_id: UUID) -> UUID:
    """Begin a conversation of a member."""
    with member_scope(member_id):
        made = Conversation.objects.create(member_id=member_id)
    record("conversation.created", object_id=made.pk)
    return made.pk


def earlier_turns(
    *, conversation_id: UUID, clearance: Clearance, n: int = 6
) -> list[SavedExchange]:
    """Return those of a conversation's last n turns that may be seen now, oldest first.

    Raises ConversationNotFound for one that was deleted, is another member's or does not exist alike.
    """
    return _visible(_latest(_own(conversation_id, clearance), n), clearance)


def still_seen(
    turns: Sequence[SavedExchange], *, clearance: Clearance, locking: bool = True
) -> bool:
    """Say whether each of these turns may be seen now; none is within everybody's reach.

    locking: their documents stay visible until commit; without, nobody is waited for.
    """
    return len(seen_among(turns, clearance=clearance, locking=locking)) == len(turns)


def seen_among(
    turns: Sequence[SavedExchange], *, clearance: Clearance, locking: bool = True
) -> tuple[SavedExchange, ...]:
    """Return those of these turns that may be seen now, in their order; locking: as still_seen."""
    if not turns or clearance.member_id is None:
        return ()
    with member_scope(clearance.member_id):
        own = Exchange.objects.filter(pk__in=[t.id for t in turns], hidden_at__isnull=True)
        rows = list(own.filter(member_id=clearance.member_id))
    seen = {turn.id for turn in _visible(rows, clearance, locking=locking)}
    return tuple(turn for turn in turns if turn.id in seen)


def get_conversation(*, conversation_id: UUID, clearance: Clearance) -> ReadConversation:
    """Return a member's conversation, and note that it was read; raise ConversationNotFound."""
    found = _own(conversation_id, clearance)
    rows = _latest(found, MAX_TURNS)
    turns = _visible(rows, clearance)
    record_turns("conversation.read", conversation_id=conversation_id, turns=turns)
    return ReadConversation(found.pk, found.created_at, tuple(turns), len(rows) - len(turns))


def record_turns(action: str, *, conversation_id: UUID, turns: Sequence[SavedExchange]) -> None:
    """Note that turns of a conversation were read, and what they cite."""
    cited = [c for t in turns for c in t.answer.citations]
    record(
        action,
        object_id=conversation_id,
        document_ids=sorted({c.document_id for c in cited}),
        chunk_ids=sorted({c.chunk_id for c in cited}),
        counts={"turns": len(turns)},
    )


def list_conversations(
    *, member_id: UUID, after: UUID | None, limit: int
) -> list[ConversationView]:
    """Return a member's conversations, newest first."""
    with member_scope(member_id):
        own = Conversation.objects.filter(member_id=member_id, hidden_at__isnull=True)
        page = (own.filter(pk__lt=after) if after else own).order_by("-pk")[:limit]
        rows = list(page)
        counts = dict(
            _shown([row.pk for row in rows])
            .order_by("conversation_id")
            .values_list("conversation_id")
            .annotate(n=Count("pk"))
        )
    return [ConversationView(row.pk, row.created_at, counts.get(row.pk, 0)) for row in rows]


def delete_conversation(*, conversation_id: UUID, member_id: UUID) -> None:
    """Hide a member's conversation from the commit on and hand its destruction to the workers.

    Raises ConversationNotFound.
    """
    now = timezone.now()
    with member_scope(member_id):
        # Behind the lock: a turn that is saved meanwhile is there by now, or is refused.
        lock_conversation(conversation_id=conversation_id, member_id=member_id)
        Conversation.objects.filter(pk=conversation_id).update(hidden_at=now)
        _shown([conversation_id]).update(hidden_at=now)
    enqueue(REMOVE_CONVERSATION, object_id=conversation_id)
    record("conversation.deleted", object_id=conversation_id)


def end_conversation(conversation_id: UUID) -> bool:
    """Delete a conversation that was hidden once it has no turn, in custody; return whether it is gone."""
    found = Conversation.objects.filter(pk=conversation_id, hidden_at__isnull=False)
    # Locked before looking; a turn is saved under the same lock.
    if found.select_for_update().exists():
        if Exchange.objects.filter(conversation_id=conversation_id).exists():
            return False
        found.delete()
    return not Conversation.objects.filter(pk=conversation_id).exists()


def _own(conversation_id: UUID, clearance: Clearance) -> Conversation:
    """Return the conversation of who asks; raise ConversationNotFound."""
    if clearance.member_id is None:
        raise ConversationNotFound(conversation_id)
    with member_scope(clearance.member_id):
        own = Conversation.objects.filter(pk=conversation_id, member_id=clearance.member_id)
        found = own.filter(hidden_at__isnull=True).first()
    if found is None:
        raise ConversationNotFound(conversation_id)
    return found


def _shown(conversation_ids: Iterable[UUID]) -> QuerySet[Exchange]:
    return Exchange.objects.filter(
        conversation_id__in=list(conversation_ids), hidden_at__isnull=True
    )


def _latest(conversation: Conversation, n: int) -> list[Exchange]:
    with member_scope(conversation.member_id):
        return list(_shown([conversation.pk]).order_by("-pk")[:n])[::-1]


def _visible(
    rows: Sequence[Exchange], clearance: Clearance, *, locking: bool = True
) -> list[SavedExchange]:
    """Return those turns of which every document may be seen, and every adapter used, now."""
    standing: set[UUID] = set()
    made_from: defaultdict[UUID, set[UUID]] = defaultdict(set)
    if rows:
        with member_scope(rows[0].member_id):
            passages = ExchangePassage.objects.filter(exchange_id__in=[row.pk for row in rows])
            for exchange_id, document_id in passages.values_list("exchange_id", "document_id"):
                made_from[exchange_id].add(document_id)
            # Asked for last: of a turn destroyed meanwhile no document would be left to look at.
            shown = Exchange.objects.filter(pk__in=[r.pk for r in rows], hidden_at__isnull=True)
            standing = set(shown.values_list("pk", flat=True))
    documents = set().union(*made_from.values())
    seen = visible_documents(document_ids=documents, clearance=clearance, locking=locking)
    adapters = {row.pk: set(row.adapter_ids or ()) for row in rows}
    asked = set().union(*adapters.values())
    usable = usable_adapters(adapter_ids=asked, clearance=clearance, locking=locking)
    return [
        open_exchange(r)
        for r in rows
        if r.pk in standing and made_from[r.pk] <= seen and adapters[r.pk] <= usable
    ]
