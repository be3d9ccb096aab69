"""Destroy what a member deleted of its own questions; no case and no receipt, as of a deleted document."""

from __future__ import annotations

from uuid import UUID

from ambit.answers.ages import (
    answers_asked_by_any,
    answers_made_from,
    askers_of,
    documents_behind,
    turns_of,
)
from ambit.answers.conversations import end_conversation
from ambit.answers.holdings import ANSWERS
from ambit.corpus.holdings import lock_documents
from ambit.erasure.members import lock_members
from ambit.erasure.retention import kept_against
from tenants.audit import record
from tenants.holding import Scope
from tenants.scope import current_tenant_id


def forget_conversation(conversation_id: UUID) -> bool:
    """Destroy a conversation that its member deleted, in custody; return whether nothing of it is left.

    What a hold or a restriction is on stays, hidden (Art. 17(3), 18 GDPR), as it stays when its time is over.
    """
    turns = turns_of(conversation_id)
    # In the order of who places a hold: what is held in this moment is seen below.
    lock_documents(documents_behind(turns))
    lock_members(askers_of(turns))
    free = turns
    for kept in (
        answers_asked_by_any(kept_against("member")),
        answers_made_from(kept_against("document")),
    ):
        free = free.exclude(pk__in=kept)
    answer_ids = tuple(free)
    if answer_ids:
        ANSWERS.destroy(Scope(current_tenant_id(), answer_ids=answer_ids))
        record(
            "conversation.destroyed",
            object_id=conversation_id,
            counts={"answer": len(answer_ids)},
        )
    return end_conversation(conversation_id)
