"""What is told of the questions a person asked, and which of the answers are theirs to have."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from ambit.access.clearance import clearance_for
from ambit.answers.queries import answers_asked_by, answers_of_others
from ambit.answers.types import SavedExchange
from ambit.corpus.disclosure import declared_others
from ambit.corpus.queries import visible_documents
from ambit.export.types import Order
from tenants.ids import public_id
from tenants.scope import tenant_scope
from workers.export.screen import Screen
from workers.export.types import Found

LEFT_OUT = (
    "The answer was made from documents that are about other people too, or that you may not read"
    " any more; only what you asked is told (Art. 15(4) GDPR)."
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A person's questions, and from which documents an answer may be told."""

    exchanges: tuple[tuple[SavedExchange, frozenset[UUID]], ...] = field(repr=False)
    open_documents: frozenset[UUID]

    @property
    def told_from(self) -> frozenset[UUID]:
        """The documents that the answers told were made from."""
        told = [made for _, made in self.exchanges if made <= self.open_documents]
        return frozenset().union(*told)


def find_answers(order: Order, found: Found) -> Asked:
    """Return a person's questions; of the answers those made from nothing that is only others'.

    What they may read is asked for outside custody, in which everything would seem visible.
    """
    member = found.person.member
    if member is None:
        return Asked((), frozenset())
    with tenant_scope(order.tenant_id, custody=True):
        exchanges = tuple(answers_asked_by(member.id))
        own = set(found.document_ids)
        rest = frozenset().union(*(made for _, made in exchanges)) - own
        about_others = set(declared_others(rest, own=()))
    with tenant_scope(order.tenant_id):
        clearance = clearance_for(member_id=member.id)
        readable = visible_documents(document_ids=rest - about_others, clearance=clearance)
    if not order.include_shared:
        own -= found.others.keys()
    return Asked(exchanges, frozenset(own | readable))


def tell_answers(asked: Asked, *, found: Found, screen: Screen) -> dict[str, Any]:
    """Return the questions with the answers that may be told; of others' answers nothing but times."""
    member = found.person.member
    times = answers_of_others(found.document_ids, member_id=member.id if member else None)
    return {
        "asked_by_you": [
            _tell(exchange, made, asked=asked, found=found, screen=screen)
            for exchange, made in asked.exchanges
        ],
        "made_for_others_from_documents_about_you": [at.isoformat() for at in times],
    }


def _tell(
    exchange: SavedExchange,
    made_from: frozenset[UUID],
    *,
    asked: Asked,
    found: Found,
    screen: Screen,
) -> dict[str, Any]:
    mine = made_from & set(found.document_ids)
    told: dict[str, Any] = {
        "id": public_id("answer", exchange.id),
        "asked_at": exchange.asked_at.isoformat(),
        "conversation": public_id("conversation", exchange.conversation_id)
        if exchange.conversation_id
        else None,
        "question": screen.text(exchange.question),
        "made_from": [public_id("document", one) for one in sorted(mine)],
        "n_other_documents": len(made_from - mine),
    }
    if not made_from <= asked.open_documents:
        return told | {"answer": None, "left_out": LEFT_OUT}
    answer = exchange.answer
    return told | {
        "answer": screen.text(answer.text),
        "generator": answer.generator,
        "citations": [
            {
                "marker": one.marker,
                "document": public_id("document", one.document_id),
                "title": screen.text(one.title),
                "quote": screen.text(one.quote),
            }
            for one in answer.citations
        ],
    }
