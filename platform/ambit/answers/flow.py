"""Answer a question from the passages the asker may see.

question → embed → who may see what → retrieve → prompt, generate → cite → save

Only `prepare` and `save` touch the database, each in its own transaction: none is held open while
a model thinks, and the clearance is asked for again before the answer leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from ambit.access.clearance import clearance_for
from ambit.answers import services
from ambit.answers.cite import cite
from ambit.answers.generate import generate_draft
from ambit.answers.retrieve import Route, retrieve, still_visible
from ambit.answers.types import Answer
from ambit.corpus.types import UNFILTERED, Filters, Passage
from tenants.audit import record
from tenants.queries import get_tenant


@dataclass(frozen=True, slots=True)
class Prepared:
    """A question with everything its answer may be made of."""

    tenant_id: UUID
    member_id: UUID
    salt_epoch: int
    question: str = field(repr=False)
    passages: tuple[Passage, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class SavedAnswer:
    """An answer with the id it is kept under."""

    id: UUID
    answer: Answer


def prepare(
    *,
    member_id: UUID,
    question: str,
    embedding: Sequence[float],
    k: int,
    filters: Filters = UNFILTERED,
    routes: Sequence[Route] | None = None,
) -> Prepared:
    """Find what the member may see that bears on the question, in the tenant's scope."""
    clearance = clearance_for(member_id=member_id)
    passages = retrieve(
        clearance=clearance,
        question=question,
        embedding=embedding,
        k=k,
        filters=filters,
        routes=routes,
    )
    record(
        "answer.retrieved",
        document_ids=sorted({p.document_id for p in passages}),
        chunk_ids=[p.chunk_id for p in passages],
        counts={"passages": len(passages)},
    )
    tenant = get_tenant()
    return Prepared(tenant.pk, member_id, tenant.salt_epoch, question, tuple(passages))


async def generate(prepared: Prepared) -> Answer:
    """Let the generator write from the passages, and keep of its citations what the passages support.

    Cancelling it cancels the model's work. Raises GenerationUnavailable, GenerationTimedOut,
    GenerationRefused, EmbeddingUnavailable.
    """
    draft, supplied = await generate_draft(
        tenant_id=prepared.tenant_id,
        salt_epoch=prepared.salt_epoch,
        question=prepared.question,
        passages=prepared.passages,
    )
    return cite(draft=draft, passages=supplied)


def recheck(*, prepared: Prepared, answer: Answer) -> Answer:
    """Return the answer, or an abstention where the asker's clearance no longer covers its passages."""
    clearance = clearance_for(member_id=prepared.member_id)
    if still_visible(clearance=clearance, passages=prepared.passages):
        return answer
    return services.withheld(answer)


def save(*, prepared: Prepared, answer: Answer) -> SavedAnswer:
    """Ask for the clearance again and keep the answer, in the tenant's scope.

    Where a passage it was made from is out of reach by now, the answer is withheld: the asker gets
    an abstention, and that is what is kept.
    """
    given = recheck(prepared=prepared, answer=answer)
    # An answer withheld was made from nothing: it must not point at what may be erased by now.
    passages = prepared.passages if given is answer else ()
    answer = given
    answer_id = services.save_exchange(
        member_id=prepared.member_id,
        question=prepared.question,
        answer=answer,
        passages=passages,
    )
    record(
        "answer.given",
        object_id=answer_id,
        document_ids=sorted({c.document_id for c in answer.citations}),
        chunk_ids=[c.chunk_id for c in answer.citations],
        counts={
            "prompt_tokens": answer.usage.prompt_tokens,
            "completion_tokens": answer.usage.completion_tokens,
            "cached_tokens": answer.usage.cached_tokens,
        },
    )
    return SavedAnswer(answer_id, answer)
