"""Answer a question from the passages the asker may see.

question → condense → embed → who may see what → retrieve → prompt, generate → cite → save

Only `recall`, `prepare` and `save` touch the database, each in its own transaction: none is held open
while a model thinks. While it does, the asker's reach is watched, and asked for again before the answer
leaves. What a model did is metered whatever becomes of the answer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from uuid import UUID

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import connection

from ambit.access.clearance import clearance_for
from ambit.adapters.queries import AdapterNotFound, ServedAdapter, usable_adapter
from ambit.answers import services
from ambit.answers.cite import cite
from ambit.answers.condense import messages_to_condense, standalone
from ambit.answers.conversations import earlier_turns
from ambit.answers.generate import Brief, Spent, as_usage, nobody, write
from ambit.answers.policies import prompt_policy
from ambit.answers.retrieve import retrieve, still_visible
from ambit.answers.sealing import cache_salt
from ambit.answers.types import Answer, Question, Tell, Usage
from ambit.answers.watch import revoked
from ambit.corpus.types import Clearance, Passage
from ambit.inference.vllm import (
    GenerationRefused,
    GenerationTimedOut,
    GenerationUnavailable,
    Order,
    generating,
)
from ambit.metering import services as metering
from ambit.metering.limits import QuotaSpent, next_month, tokens_left
from ambit.metering.turns import turn
from ambit.metering.types import Kind, Outcome
from tenants.audit import record
from tenants.queries import get_tenant
from tenants.scope import tenant_scope

CONDENSE_MAX_TOKENS = 96
CONDENSE_DEADLINE_S = 5.0


class ReachChanged(Exception):
    """What the asker may see changed while the answer was being written, and nothing more of it is given."""


@dataclass(frozen=True, slots=True)
class Recalled:
    """What of a conversation may still be seen: earlier questions and answers, oldest first."""

    tenant_id: UUID
    cache_salt: str = field(repr=False)
    turns: tuple[tuple[str, str], ...] = field(repr=False)
    # The count that is open for putting the question so that it stands alone; None: nothing is asked.
    use_id: UUID | None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A question with everything its answer may be made of."""

    tenant_id: UUID
    member_id: UUID
    question: Question
    salt_epoch: int
    cache_salt: str = field(repr=False)
    brief: Brief = field(repr=False)
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


def recall(
    *,
    member_id: UUID,
    key_id: UUID | None,
    conversation_id: UUID | None = None,
    asked_before: Sequence[str] = (),
) -> Recalled:
    """Return what may still be seen of a conversation, in the tenant's scope; raise ConversationNotFound.

    asked_before: earlier questions of a conversation that the caller keeps.
    """
    tenant = get_tenant()
    clearance = clearance_for(member_id=member_id)
    turns = tuple((question, "") for question in asked_before)
    if conversation_id is not None:
        kept = earlier_turns(conversation_id=conversation_id, clearance=clearance)
        turns = tuple((t.question, t.answer.text) for t in kept if not t.answer.abstained)
    use_id = None
    if turns and settings.AMBIT_VLLM_URL:
        use_id = metering.open_use(
            member_id=member_id,
            key_id=key_id,
            kind="condense",
            model=settings.AMBIT_VLLM_MODEL,
            passages=0,
            retrieval_ms=0,
            prompt_estimate=sum(len(text) for said in turns for text in said) // 4,
        )
    salt = cache_salt(clearance=clearance, epoch=tenant.salt_epoch)
    return Recalled(tenant.pk, salt, turns, use_id)


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
        await _close(recalled.tenant_id, recalled.use_id, spent, "failed")
        return standalone(question=question, turns=recalled.turns, rewritten=None)
    except BaseException:
        await _close(recalled.tenant_id, recalled.use_id, spent, "cancelled")
        raise
    await _close(recalled.tenant_id, recalled.use_id, spent, "finished")
    return standalone(question=question, turns=recalled.turns, rewritten=rewritten)


def prepare(
    *,
    member_id: UUID,
    question: Question,
    embedding: Sequence[float] | None,
    key_id: UUID | None = None,
    kind: Kind = "answer",
    turns: Sequence[tuple[str, str]] = (),
    looked_for: str | None = None,
) -> Prepared:
    """Find what the member may see that bears on the question, in the tenant's scope.

    looked_for: the question as it stands alone, where it follows on others. Raises AdapterNotFound.
    """
    # Before the clearance: what is revoked between the two must not be cached under the newer epoch.
    tenant = get_tenant()
    clearance = clearance_for(member_id=member_id)
    adapter = _adapter(question, clearance=clearance)
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
        member_id=member_id,
        key_id=key_id,
        kind=kind,
        model=adapter.served_name if adapter else settings.AMBIT_VLLM_MODEL or "extractive",
        passages=len(passages),
        retrieval_ms=retrieval_ms,
        prompt_estimate=sum(len(p.text) for p in passages) // 4 if settings.AMBIT_VLLM_URL else 0,
    )
    brief = Brief(
        question=question.text,
        passages=tuple(passages),
        turns=tuple(turns),
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
        salt_epoch=tenant.salt_epoch,
        cache_salt=cache_salt(clearance=clearance, epoch=tenant.salt_epoch),
        brief=brief,
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
        await _close(prepared.tenant_id, prepared.use_id, spent, _outcome(error))
        raise


async def _answer(prepared: Prepared, *, tell: Tell, spent: Spent) -> Answer:
    brief = prepared.brief
    left = await tokens_left(prepared.tenant_id) if settings.AMBIT_VLLM_URL else None
    if left is not None and left <= 0:
        raise QuotaSpent(renews_at=next_month())
    allowed = brief.max_tokens if left is None else min(brief.max_tokens, left)
    async with _turn(prepared.tenant_id) as priority:
        draft, supplied = await write(
            replace(brief, max_tokens=allowed),
            cache_salt=prepared.cache_salt,
            priority=priority,
            tell=tell,
            spent=spent,
        )
    if draft.cut_short and allowed < brief.max_tokens:
        raise QuotaSpent(renews_at=next_month())
    return cite(draft=draft, passages=supplied)


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
    written = asyncio.ensure_future(writing)
    lost = asyncio.ensure_future(
        revoked(stands, tenant_id=prepared.tenant_id, epoch=prepared.salt_epoch)
    )
    try:
        await asyncio.wait({written, lost}, return_when=asyncio.FIRST_COMPLETED)
        if written.done():
            return written.result()
        lost.result()
    finally:
        for task in (written, lost):
            task.cancel()
        await asyncio.gather(written, lost, return_exceptions=True)
    return services.nothing_given(generator="vllm", usage=as_usage(spent.usage))


def still_covered(prepared: Prepared) -> bool:
    """Say whether the asker may still see all that the answer is made of: passages and adapter."""
    clearance = clearance_for(member_id=prepared.member_id)
    try:
        _adapter(prepared.question, clearance=clearance)
    except AdapterNotFound:
        return False
    return still_visible(clearance=clearance, passages=prepared.passages)


def recheck(*, prepared: Prepared, answer: Answer) -> Answer:
    """Return the answer, or an abstention where the asker's clearance no longer covers its passages."""
    return answer if answer.withheld or still_covered(prepared) else services.withheld(answer)


def save(*, prepared: Prepared, answer: Answer) -> SavedAnswer:
    """Ask for the clearance again and keep the answer and its count, in the tenant's scope.

    Where a passage it was made from is out of reach by now, the answer is withheld: the asker gets
    an abstention, and that is what is kept.
    """
    given = recheck(prepared=prepared, answer=answer)
    answer_id = services.save_exchange(
        member_id=prepared.member_id,
        question=prepared.question.text,
        answer=given,
        # An answer withheld was made from nothing: it must not point at what may be erased by now.
        passages=() if given.withheld else prepared.passages,
        conversation_id=prepared.question.conversation_id,
    )
    outcome: Outcome = "withheld" if given.withheld else "finished"
    _count(prepared.use_id, usage=given.usage, exact=not given.withheld, outcome=outcome)
    record(
        "answer.given",
        object_id=answer_id,
        document_ids=sorted({c.document_id for c in given.citations}),
        chunk_ids=[c.chunk_id for c in given.citations],
        counts=asdict(given.usage),
    )
    return SavedAnswer(answer_id, given)


def discard(prepared: Prepared, answer: Answer) -> None:
    """Count what was written and is kept nowhere, in the tenant's scope."""
    _count(prepared.use_id, usage=answer.usage, exact=True, outcome="finished")


def _found(
    question: Question,
    *,
    clearance: Clearance,
    embedding: Sequence[float] | None,
    looked_for: str | None,
) -> list[Passage]:
    if not question.retrieves or embedding is None:
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
        return still_covered(prepared)


@asynccontextmanager
async def _turn(tenant_id: UUID) -> AsyncIterator[int]:
    """Wait for the tenant's turn at the model; what quotes needs none."""
    if not settings.AMBIT_VLLM_URL:
        yield 0
        return
    async with turn(tenant_id) as place:
        yield place.priority


def _outcome(error: BaseException) -> Outcome:
    if isinstance(error, asyncio.CancelledError):
        return "cancelled"
    return "stopped" if isinstance(error, QuotaSpent) else "failed"


async def _close(tenant_id: UUID, use_id: UUID, spent: Spent, outcome: Outcome) -> None:
    """Count what was used, also where whoever asked has gone."""

    def close() -> None:
        usage = spent.usage
        try:
            with tenant_scope(tenant_id):
                _count(use_id, usage=as_usage(usage), exact=usage.exact, outcome=outcome)
        finally:
            connection.close()

    await asyncio.shield(sync_to_async(close)())


def _count(use_id: UUID, *, usage: Usage, exact: bool, outcome: Outcome) -> None:
    metering.close_use(
        use_id,
        prompt_tokens=usage.prompt_tokens,
        cached_tokens=usage.cached_tokens,
        completion_tokens=usage.completion_tokens,
        exact=exact,
        outcome=outcome,
    )
