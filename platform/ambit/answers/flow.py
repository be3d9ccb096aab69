"""Answer a question from the passages the asker may see.

question → condense → embed → who may see what → retrieve → prompt, generate → cite → save

Only `recall`, `prepare` and `save` touch the database, each in its own transaction: none is held open
while a model thinks. While it does, the asker's reach is watched, and asked for again before the answer
leaves. What a model did is metered whatever becomes of the answer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from ambit.access.clearance import clearance_for
from ambit.adapters.queries import usable_adapter, usable_adapters
from ambit.adapters.types import ServedAdapter
from ambit.answers import services
from ambit.answers.cite import cite
from ambit.answers.conversations import seen_among, still_seen
from ambit.answers.counting import NOTHING, close, close_now, count, turn_of
from ambit.answers.generate import Brief, Spent, write
from ambit.answers.policies import prompt_policy
from ambit.answers.recall import Recalled, turns_of
from ambit.answers.retrieve import retrieve, still_visible
from ambit.answers.sealing import cache_salt
from ambit.answers.types import Answer, Question, SavedExchange, Tell, nobody
from ambit.answers.watch import LOOK_MS, ReachLost, while_it_stands
from ambit.corpus.types import Clearance, Embedding, Passage
from ambit.inference.tokens import context_tokens
from ambit.metering import services as metering
from ambit.metering.limits import QuotaSpent, tokens_left
from ambit.metering.queries import next_month
from ambit.metering.types import Kind, Outcome
from tenants.audit import record
from tenants.queries import get_tenant
from tenants.scope import tenant_scope
from tenants.statements import give_up_after

# Each statement that keeps an answer ends by then: waiting for its documents keeps a connection from others.
SAVE_MS = 10_000


class ReachChanged(Exception):
    """What the asker may see changed while the answer was being written, and nothing more of it is given."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A question with everything its answer may be made of."""

    tenant_id: UUID
    member_id: UUID
    question: Question
    # No later than the clearance, nor than the caller's being let in: what raises it since is looked at.
    salt_epoch: int
    cache_salt: str = field(repr=False)
    brief: Brief = field(repr=False)
    turns: tuple[SavedExchange, ...] = field(repr=False)
    # Of the conversation's turns that the asker could see when asking, some are out of reach by now.
    has_lost_turns: bool
    adapter: ServedAdapter | None
    # The count that is open for it: what the model does is noted there, come what may.
    use_id: UUID

    @property
    def passages(self) -> tuple[Passage, ...]:
        """Return what was found, best first."""
        return self.brief.passages


@dataclass(frozen=True, slots=True)
class SavedAnswer:
    """An answer with the id it is kept under."""

    id: UUID
    answer: Answer


def prepare(
    *,
    member_id: UUID,
    question: Question,
    embedding: Embedding | None,
    key_id: UUID | None = None,
    kind: Kind = "answer",
    recalled: Recalled | None = None,
    looked_for: str | None = None,
    epoch: int | None = None,
    counted_to: UUID | None = None,
) -> Prepared:
    """Find what the member may see that bears on the question, in the tenant's scope.

    looked_for: the question as it stands alone, where it follows on others. embedding: its vector; without it
    passages are found by words alone, as where earlier turns are lost by now. epoch: the tenant's, from a
    transaction that ended before the caller of this one was let in; a key revoked between the two would
    otherwise go unseen while the answer is written. counted_to: the member whose use it is, where somebody
    else asks as this one. Raises AdapterNotFound.
    """
    # Before the clearance: what is revoked between the two must not be cached under the newer epoch.
    tenant = get_tenant()
    clearance = clearance_for(member_id=member_id)
    adapter = _adapter(question, clearance=clearance)
    # Anew: a model may have thought between, and what was seen then may be out of reach now.
    kept = seen_among(recalled.kept, clearance=clearance) if recalled else ()
    turns = turns_of(recalled, kept) if recalled else ()
    has_lost_turns = recalled is not None and len(kept) < len(recalled.kept)
    if has_lost_turns:
        # What was looked for, and its vector, may say what the lost ones said.
        looked_for = embedding = None
    started = time.perf_counter()
    passages = _found(question, clearance=clearance, embedding=embedding, looked_for=looked_for)
    retrieval_ms = round(1000 * (time.perf_counter() - started))
    record(
        "answer.retrieved",
        document_ids=sorted({p.document_id for p in passages}),
        chunk_ids=[p.chunk_id for p in passages],
        counts={"passages": len(passages)},
    )
    use_id = metering.open_use(
        member_id=counted_to or member_id,
        key_id=key_id,
        kind=kind,
        model=adapter.served_name if adapter else settings.AMBIT_VLLM_MODEL or "extractive",
        passages=len(passages),
        retrieval_ms=retrieval_ms,
        prompt_estimate=_estimate(passages) if settings.AMBIT_VLLM_URL else 0,
    )
    brief = Brief(
        question=question.text,
        passages=tuple(passages),
        turns=turns,
        tenant_policy=prompt_policy().text,
        instructions=question.instructions,
        schema=question.schema,
        max_tokens=question.max_tokens,
        adapter=adapter.served_name if adapter else None,
        grounded=question.retrieves,
    )
    return Prepared(
        tenant_id=tenant.pk,
        member_id=member_id,
        question=question,
        salt_epoch=tenant.salt_epoch if epoch is None else epoch,
        cache_salt=cache_salt(clearance=clearance, epoch=tenant.salt_epoch),
        brief=brief,
        turns=kept,
        has_lost_turns=has_lost_turns,
        adapter=adapter,
        use_id=use_id,
    )


async def generate(
    prepared: Prepared, *, tell: Tell = nobody, stands: Callable[[], bool] | None = None
) -> Answer:
    """Let the generator write from the passages, and keep of its citations what the passages support.

    Tells each step as it happens. Cancelling it cancels the model's work. Where the asker loses a
    passage meanwhile, writing stops within two seconds and the answer is withheld; stands says whether
    all may still be seen, in a transaction of its own. Raises GenerationUnavailable,
    GenerationTimedOut, GenerationRefused, EmbeddingUnavailable, QuotaSpent, NoTurn.
    """
    spent = Spent()
    try:
        writing = _answer(prepared, tell=tell, spent=spent)
        return await _while_it_stands(
            prepared, writing, spent=spent, stands=stands or partial(_stands, prepared)
        )
    except BaseException as error:
        await close(prepared.tenant_id, prepared.use_id, spent.usage, outcome=_outcome(error))
        raise


async def _answer(prepared: Prepared, *, tell: Tell, spent: Spent) -> Answer:
    brief = prepared.brief
    left = await tokens_left(prepared.tenant_id) if settings.AMBIT_VLLM_URL else None
    if left is not None and left <= 0:
        raise QuotaSpent(renews_at=next_month(timezone.now()))
    allowed = brief.max_tokens if left is None else min(brief.max_tokens, left)
    async with turn_of(prepared.tenant_id) as priority:
        draft, supplied = await write(
            replace(brief, max_tokens=allowed),
            cache_salt=prepared.cache_salt,
            priority=priority,
            tell=tell,
            spent=spent,
        )
    if draft.cut_short and allowed < brief.max_tokens:
        raise QuotaSpent(renews_at=next_month(timezone.now()))
    # In a thread: a long answer that cites all it can takes a while to compare.
    return await asyncio.to_thread(cite, draft=draft, passages=supplied)


async def _while_it_stands(
    prepared: Prepared,
    writing: Coroutine[None, None, Answer],
    *,
    spent: Spent,
    stands: Callable[[], bool],
) -> Answer:
    """Return what is written, or nothing of it once the asker's reach no longer covers it."""
    if not settings.AMBIT_VLLM_URL:
        return await writing
    try:
        return await while_it_stands(
            writing, stands=stands, tenant_id=prepared.tenant_id, epoch=prepared.salt_epoch
        )
    except ReachLost:
        return services.nothing_given(generator="vllm", usage=spent.usage)


def still_covered(prepared: Prepared, *, locking: bool = True) -> bool:
    """Say whether the asker may still see all that the answer is made of: passages, adapter, earlier turns.

    locking: and hold it so until commit. Without, nobody is waited for: so asks the watch, after each revocation.
    """
    if not locking:
        give_up_after(LOOK_MS)
    clearance = clearance_for(member_id=prepared.member_id)
    adapters = {prepared.adapter.id} if prepared.adapter else set()
    # Documents are held before adapters, as by who hides one and so retires the other.
    return (
        still_visible(clearance=clearance, passages=prepared.passages, locking=locking)
        and still_seen(prepared.turns, clearance=clearance, locking=locking)
        and adapters <= usable_adapters(adapter_ids=adapters, clearance=clearance, locking=locking)
    )


def recheck(*, prepared: Prepared, answer: Answer) -> Answer:
    """Return the answer, or an abstention where the asker's clearance no longer covers its passages."""
    return answer if answer.withheld or still_covered(prepared) else services.withheld(answer)


def save(*, prepared: Prepared, answer: Answer) -> SavedAnswer:
    """Ask for the clearance again and keep the answer and its count, in the tenant's scope.

    Where a passage it was made from is out of reach by now, the answer is withheld: the asker gets
    an abstention, and that is what is kept. Raises OperationalError where its documents are held for long.
    """
    give_up_after(SAVE_MS)
    # Before asking: of a turn that is destroyed after it, what it was made from is known, and before it is missed.
    earlier = services.made_from(prepared.turns, member_id=prepared.member_id)
    adapters = services.adapters_of(prepared.turns, member_id=prepared.member_id)
    if prepared.adapter:
        adapters = adapters | {prepared.adapter.id}
    given = recheck(prepared=prepared, answer=answer)
    answer_id = services.save_exchange(
        member_id=prepared.member_id,
        question=_kept_question(prepared, given),
        answer=given,
        # An answer withheld was made from nothing: it must not point at what may be erased by now.
        passages=() if given.withheld else prepared.passages,
        earlier=() if given.withheld else earlier,
        conversation_id=prepared.question.conversation_id,
        adapter_ids=() if given.withheld else adapters,
    )
    outcome: Outcome = "withheld" if given.withheld else "finished"
    count(prepared.use_id, given.usage, outcome=outcome)
    record(
        "answer.given",
        object_id=answer_id,
        document_ids=sorted({c.document_id for c in given.citations}),
        chunk_ids=[c.chunk_id for c in given.citations],
        counts=given.usage.counts,
    )
    return SavedAnswer(answer_id, given)


def _kept_question(prepared: Prepared, given: Answer) -> str:
    """Return what is kept of the question: nothing where it may say what turns out of reach said.

    A question may repeat what an answer said, and what is kept with it must be found by whoever erases that.
    """
    is_tied = not prepared.has_lost_turns and not (given.withheld and prepared.turns)
    return prepared.question.text if is_tied else ""


def discard(prepared: Prepared, given: Answer) -> None:
    """Count what was written, given or withheld, and is kept nowhere, in the tenant's scope."""
    count(prepared.use_id, given.usage, outcome="withheld" if given.withheld else "finished")


async def count_unsaved(prepared: Prepared, answer: Answer) -> None:
    """Count what was written and could not be kept: it was paid for all the same."""
    await close(prepared.tenant_id, prepared.use_id, answer.usage, outcome="failed")


def give_up(prepared: Prepared) -> None:
    """Count nothing for what no generator was asked, in a transaction of its own."""
    close_now(prepared.tenant_id, prepared.use_id, NOTHING, outcome="cancelled")


def _estimate(passages: Sequence[Passage]) -> int:
    return min(sum(len(p.text) for p in passages) // 4, context_tokens())


def _found(
    question: Question,
    *,
    clearance: Clearance,
    embedding: Embedding | None,
    looked_for: str | None,
) -> list[Passage]:
    if not question.retrieves:
        return []
    return retrieve(
        clearance=clearance,
        question=looked_for or question.text,
        embedding=embedding,
        k=question.k,
        filters=question.filters,
        routes=question.routes,
    )


def _adapter(question: Question, *, clearance: Clearance) -> ServedAdapter | None:
    if question.adapter_id is None:
        return None
    return usable_adapter(adapter_id=question.adapter_id, clearance=clearance)


def _stands(prepared: Prepared) -> bool:
    with tenant_scope(prepared.tenant_id):
        return still_covered(prepared, locking=False)


def _outcome(error: BaseException) -> Outcome:
    if isinstance(error, asyncio.CancelledError):
        return "cancelled"
    return "stopped" if isinstance(error, QuotaSpent) else "failed"
