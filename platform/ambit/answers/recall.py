"""Step 1 of 5. Make a question that follows others stand for itself: what was said, as far as it may be seen now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from django.conf import settings

from ambit.access.clearance import clearance_for
from ambit.answers.condense import Turn, messages_to_condense, standalone
from ambit.answers.conversations import earlier_turns, record_turns
from ambit.answers.counting import close
from ambit.answers.generate import Spent
from ambit.answers.sealing import cache_salt
from ambit.answers.types import SavedExchange
from ambit.inference.vllm import (
    GenerationRefused,
    GenerationTimedOut,
    GenerationUnavailable,
    Order,
    generating,
)
from ambit.metering.services import open_use
from ambit.metering.turns import turn
from tenants.queries import get_tenant

CONDENSE_MAX_TOKENS = 96
CONDENSE_DEADLINE_S = 5.0


@dataclass(frozen=True, slots=True)
class Recalled:
    """What of a conversation may still be seen: earlier questions and answers, oldest first."""

    tenant_id: UUID
    cache_salt: str = field(repr=False)
    turns: tuple[Turn, ...] = field(repr=False)
    # Those of them that are kept here, by which what they were made from is found.
    kept: tuple[SavedExchange, ...] = field(repr=False)
    # The count that is open for putting the question so that it stands alone; None: nothing is asked.
    use_id: UUID | None


def recall(
    *,
    member_id: UUID,
    key_id: UUID | None,
    conversation_id: UUID | None = None,
    asked_before: Sequence[str] = (),
) -> Recalled:
    """Return what may still be seen of a conversation, and note that it was read, in the tenant's scope.

    Raises ConversationNotFound.

    asked_before: earlier questions of a conversation that the caller keeps.
    """
    tenant = get_tenant()
    clearance = clearance_for(member_id=member_id)
    kept: tuple[SavedExchange, ...] = ()
    turns: tuple[Turn, ...] = tuple((question, "") for question in asked_before)
    if conversation_id is not None:
        kept = tuple(earlier_turns(conversation_id=conversation_id, clearance=clearance))
        turns = tuple((t.question, "" if t.answer.abstained else t.answer.text) for t in kept)
        record_turns("conversation.recalled", conversation_id=conversation_id, turns=kept)
    use_id = None
    if turns and settings.AMBIT_VLLM_URL:
        use_id = open_use(
            member_id=member_id,
            key_id=key_id,
            kind="condense",
            model=settings.AMBIT_VLLM_MODEL,
            passages=0,
            retrieval_ms=0,
            prompt_estimate=sum(len(text) for said in turns for text in said) // 4,
        )
    salt = cache_salt(clearance=clearance, epoch=tenant.salt_epoch)
    return Recalled(tenant.pk, salt, turns, kept, use_id)


async def condense(question: str, recalled: Recalled) -> str:
    """Return the question so that it stands alone, for retrieval; the asker's own words where none was found."""
    if recalled.use_id is None:
        return standalone(question=question, turns=recalled.turns, rewritten=None)
    spent = Spent()
    try:
        async with turn(recalled.tenant_id) as place:
            order = Order(
                messages=messages_to_condense(question=question, turns=recalled.turns),
                cache_salt=recalled.cache_salt,
                max_tokens=CONDENSE_MAX_TOKENS,
                priority=place.priority,
            )
            async with generating(order, deadline_s=CONDENSE_DEADLINE_S) as generation:
                spent.generation = generation
                rewritten = "".join([piece async for piece in generation])
    except (GenerationUnavailable, GenerationTimedOut, GenerationRefused):
        await close(recalled.tenant_id, recalled.use_id, spent, "failed")
        return standalone(question=question, turns=recalled.turns, rewritten=None)
    except BaseException:
        await close(recalled.tenant_id, recalled.use_id, spent, "cancelled")
        raise
    await close(recalled.tenant_id, recalled.use_id, spent, "finished")
    return standalone(question=question, turns=recalled.turns, rewritten=rewritten)
