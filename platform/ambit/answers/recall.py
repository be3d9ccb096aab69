"""Step 1 of 5. Make a question that follows others stand for itself: what was said, as far as it may be seen now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from django.conf import settings

from ambit.access.clearance import clearance_for
from ambit.answers.condense import Turn, messages_to_condense, standalone
from ambit.answers.conversations import earlier_turns, record_turns, still_seen
from ambit.answers.counting import close
from ambit.answers.generate import Spent
from ambit.answers.prompt import fitting_turns
from ambit.answers.sealing import cache_salt
from ambit.answers.types import SavedExchange
from ambit.answers.watch import LOOK_MS, ReachLost, while_it_stands
from ambit.inference.tokens import context_tokens, count_tokens
from ambit.inference.vllm import (
    GenerationRefused,
    GenerationTimedOut,
    GenerationUnavailable,
    Order,
)
from ambit.metering.buckets import LimitsUnavailable
from ambit.metering.services import open_use
from ambit.metering.turns import NoTurn, turn
from ambit.metering.types import Outcome
from tenants.queries import get_tenant
from tenants.statements import give_up_after

CONDENSE_MAX_TOKENS = 96
CONDENSE_DEADLINE_S = 5.0
# Of what was said before, for the rewriting: the latest.
_TURNS_MAX_TOKENS = 2_000


@dataclass(frozen=True, slots=True)
class Recalled:
    """What of a conversation may still be seen: earlier questions and answers, oldest first."""

    tenant_id: UUID
    cache_salt: str = field(repr=False)
    # What the caller says was asked before; what was answered is not taken from it.
    asked_before: tuple[str, ...] = field(repr=False)
    # What is kept here, by which what it was made from is found.
    kept: tuple[SavedExchange, ...] = field(repr=False)
    # The count that is open for putting the question so that it stands alone; None: nothing is asked.
    use_id: UUID | None

    @property
    def turns(self) -> tuple[Turn, ...]:
        """Return all of it as questions and answers."""
        return turns_of(self, self.kept)


def turns_of(recalled: Recalled, kept: Sequence[SavedExchange]) -> tuple[Turn, ...]:
    """Return questions and answers of what was recalled, with those of the kept turns that are given."""
    asked = tuple((question, "") for question in recalled.asked_before)
    said = ((t.question, "" if t.answer.abstained else t.answer.text) for t in kept if t.question)
    return (*asked, *said)


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
    if conversation_id is not None:
        kept = tuple(earlier_turns(conversation_id=conversation_id, clearance=clearance))
        record_turns("conversation.recalled", conversation_id=conversation_id, turns=kept)
    use_id = None
    if (kept or asked_before) and settings.AMBIT_VLLM_URL:
        said = [*asked_before, *(text for t in kept for text in (t.question, t.answer.text))]
        use_id = open_use(
            member_id=member_id,
            key_id=key_id,
            kind="condense",
            model=settings.AMBIT_VLLM_MODEL,
            passages=0,
            retrieval_ms=0,
            prompt_estimate=min(sum(map(len, said)) // 4, context_tokens()),
        )
    salt = cache_salt(clearance=clearance, epoch=tenant.salt_epoch)
    return Recalled(tenant.pk, salt, tuple(asked_before), kept, use_id)


def still_recalled(recalled: Recalled, *, member_id: UUID) -> bool:
    """Say whether all of it may still be seen, in the tenant's scope; waits for nobody, as a look of the watch."""
    give_up_after(LOOK_MS)
    clearance = clearance_for(member_id=member_id)
    return still_seen(recalled.kept, clearance=clearance, locking=False)


async def condense(
    question: str, recalled: Recalled, *, stands: Callable[[], bool], epoch: int
) -> str:
    """Return the question so that it stands alone, for retrieval; what needs no model where none can be asked.

    While a model is waited for and asked, the asker's reach is watched: where it no longer covers what was
    recalled, that is sent no more, and the question is returned as it is. stands, epoch: as for revoked().
    """
    if recalled.use_id is None:
        return standalone(question=question, turns=recalled.turns, rewritten=None)
    spent = Spent()
    outcome: Outcome = "cancelled"
    rewritten = None
    try:
        rewritten = await while_it_stands(
            _rewritten(question, recalled, spent),
            stands=stands,
            tenant_id=recalled.tenant_id,
            epoch=epoch,
        )
        outcome = "finished"
    except ReachLost:
        outcome = "withheld"
        return question
    except (
        GenerationUnavailable,
        GenerationTimedOut,
        GenerationRefused,
        NoTurn,
        LimitsUnavailable,
    ):
        outcome = "failed"
    finally:
        await close(recalled.tenant_id, recalled.use_id, spent.usage, outcome=outcome)
    return standalone(question=question, turns=recalled.turns, rewritten=rewritten)


async def _rewritten(question: str, recalled: Recalled, spent: Spent) -> str:
    turns = fitting_turns(turns=recalled.turns, max_tokens=_TURNS_MAX_TOKENS, count=count_tokens)
    async with turn(recalled.tenant_id) as place:
        order = Order(
            messages=messages_to_condense(question=question, turns=turns),
            cache_salt=recalled.cache_salt,
            max_tokens=CONDENSE_MAX_TOKENS,
            priority=place.priority,
        )
        async with spent.generating(order, deadline_s=CONDENSE_DEADLINE_S) as generation:
            return "".join([piece async for piece in generation])
