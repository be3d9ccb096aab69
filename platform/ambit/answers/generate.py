"""Step 4 of 5. Write a draft: by vLLM where one is configured, else by quoting the best sentences."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from django.conf import settings

from ambit.answers.extract import extract_answer
from ambit.answers.increments import SafeText
from ambit.answers.prompt import (
    NOT_ANSWERED,
    build_messages,
    fitting,
    fitting_turns,
    room_for_passages,
    ungrounded_messages,
)
from ambit.answers.schemas import answerable, read_answer
from ambit.answers.structured import NotJson
from ambit.answers.types import Cited, Draft, GeneratorName, Retrieved, Tell, Usage, Written
from ambit.corpus.types import Passage
from ambit.inference.embedding import embed_sentences
from ambit.inference.tokens import context_tokens, count_tokens
from ambit.inference.vllm import (
    Generation,
    GenerationRefused,
    GenerationUnavailable,
    Order,
    TokenUsage,
    generating,
)

NOTHING_FOUND = "Nothing in the documents you may see answers this question."
# How often a prompt is halved that the server finds too long, where no tokenizer could tell.
MAX_HALVINGS = 3


@dataclass(frozen=True, slots=True)
class Brief:
    """All that a draft is written from; what is not here never reaches a model."""

    question: str = field(repr=False)
    passages: tuple[Passage, ...] = field(repr=False)
    # Earlier questions and answers of the conversation that may still be seen.
    turns: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    tenant_policy: str = field(default="", repr=False)
    instructions: str = field(default="", repr=False)
    schema: Mapping[str, Any] | None = field(default=None, repr=False)
    max_tokens: int = 512
    adapter: str | None = None
    # False: an adapter answers without passages.
    grounded: bool = True


@dataclass(slots=True)
class Spent:
    """What has been used so far; right at any moment, so that a cut-off answer is counted too."""

    generation: Generation | None = None
    # Of what was sent, before the server said anything.
    n_estimated: int = 0

    @property
    def usage(self) -> Usage:
        """Return the counts that are known, and an estimate where none is."""
        if self.generation is None:
            return Usage(self.n_estimated, exact=False)
        return as_usage(self.generation.usage)

    @asynccontextmanager
    async def generating(self, order: Order, *, deadline_s: float) -> AsyncIterator[Generation]:
        """Ask the model server, noting what that costs whatever becomes of it."""
        self.generation = None
        self.n_estimated = sum(len(m["content"]) for m in order.messages) // 4
        try:
            async with generating(order, deadline_s=deadline_s) as generation:
                self.generation = generation
                yield generation
        except (GenerationRefused, GenerationUnavailable):
            # Refused before it began: nothing was computed.
            self.n_estimated = 0
            raise


def as_usage(counts: TokenUsage) -> Usage:
    """Return the server's counts as an answer has them."""
    return Usage(
        counts.prompt_tokens, counts.completion_tokens, counts.cached_tokens, exact=counts.exact
    )


async def write(
    brief: Brief, *, cache_salt: str, priority: int, tell: Tell, spent: Spent
) -> tuple[Draft, tuple[Passage, ...]]:
    """Return a draft and the passages its markers count; without passages no model is asked.

    Tells what was retrieved, and the text as it comes. Cancelling it stops the model.
    """
    if not settings.AMBIT_VLLM_URL:
        tell(Retrieved(brief.passages, n_left_out=0))
        if not brief.passages:
            return _abstention("extractive"), ()
        return await _by_quoting(brief, tell=tell), brief.passages
    if not brief.passages and brief.grounded:
        tell(Retrieved((), n_left_out=0))
        return _abstention("vllm"), ()
    return await _by_model(brief, cache_salt=cache_salt, priority=priority, tell=tell, spent=spent)


def _abstention(generator: GeneratorName) -> Draft:
    return Draft(NOTHING_FOUND, generator=generator, abstained=True)


async def _by_quoting(brief: Brief, *, tell: Tell) -> Draft:
    draft = await asyncio.to_thread(
        extract_answer, question=brief.question, passages=brief.passages, embed=embed_sentences
    )
    if not draft.abstained:
        shown = SafeText(passages=brief.passages)
        _tell_text(shown, [draft.text], passages=brief.passages, tell=tell)
    return draft


async def _by_model(
    brief: Brief, *, cache_salt: str, priority: int, tell: Tell, spent: Spent
) -> tuple[Draft, tuple[Passage, ...]]:
    """Ask with as many passages as fit, and with half as many where the server says it is too long."""
    brief = replace(brief, turns=fitting_turns(turns=brief.turns, count=count_tokens))
    room = _room(brief)
    for last in (False,) * MAX_HALVINGS + (True,):
        supplied = fitting(passages=brief.passages, max_tokens=room, count=count_tokens)
        if brief.grounded and not supplied:
            tell(Retrieved((), n_left_out=len(brief.passages)))
            return _abstention("vllm"), ()
        tell(Retrieved(supplied, n_left_out=len(brief.passages) - len(supplied)))
        order = _order(brief, supplied=supplied, cache_salt=cache_salt, priority=priority)
        try:
            draft = await _listen(brief, order, supplied=supplied, tell=tell, spent=spent)
        except GenerationRefused as refused:
            if refused.reason != "context_overflow" or last or not supplied:
                raise
            room //= 2
        else:
            return draft, supplied
    raise AssertionError("the last try returns or raises")


def _room(brief: Brief) -> int:
    return room_for_passages(
        context_tokens=context_tokens(),
        answer_tokens=brief.max_tokens,
        question=brief.question,
        tenant_policy=brief.tenant_policy,
        instructions=brief.instructions,
        turns=brief.turns,
        count=count_tokens,
    )


def _order(brief: Brief, *, supplied: Sequence[Passage], cache_salt: str, priority: int) -> Order:
    if brief.grounded:
        messages = build_messages(
            question=brief.question,
            passages=supplied,
            tenant_policy=brief.tenant_policy,
            instructions=brief.instructions,
            turns=brief.turns,
            dropped=len(brief.passages) - len(supplied),
            max_tokens=None,
        )
    else:
        messages = ungrounded_messages(
            question=brief.question,
            tenant_policy=brief.tenant_policy,
            instructions=brief.instructions,
            turns=brief.turns,
        )
    return Order(
        messages=messages,
        cache_salt=cache_salt,
        max_tokens=brief.max_tokens,
        adapter=brief.adapter,
        schema=None if brief.schema is None else answerable(brief.schema),
        priority=priority,
    )


async def _listen(
    brief: Brief, order: Order, *, supplied: tuple[Passage, ...], tell: Tell, spent: Spent
) -> Draft:
    pieces: list[str] = []
    shown = SafeText(passages=supplied)
    deadline_s = settings.AMBIT_VLLM_TIMEOUT_S
    async with spent.generating(order, deadline_s=deadline_s) as generation:
        async for piece in generation:
            pieces.append(piece)
            # What is to be JSON is shown once it is whole and checked.
            if brief.schema is None:
                _tell_text(shown, [piece], passages=supplied, tell=tell, ended=False)
    if brief.schema is None:
        _tell_text(shown, [], passages=supplied, tell=tell)
    # In a thread: a caller's schema may take a while to check.
    return await asyncio.to_thread(_draft, "".join(pieces), brief=brief, generation=generation)


def _tell_text(
    shown: SafeText,
    pieces: Sequence[str],
    *,
    passages: Sequence[Passage],
    tell: Tell,
    ended: bool = True,
) -> None:
    increments = [shown.feed(piece) for piece in pieces]
    if ended:
        increments.append(shown.end())
    for increment in increments:
        for marker in increment.markers:
            tell(Cited(marker, passages[shown.cited[marker - 1]]))
        if increment.text:
            tell(Written(increment.text))


def _draft(text: str, *, brief: Brief, generation: Generation) -> Draft:
    value: Any = None
    cut_short = generation.finish_reason == "length"
    if brief.schema is not None:
        try:
            value = read_answer(text, brief.schema, passages=brief.passages)
        except NotJson:
            # What breaks off at the limit is given as nothing, cut short.
            if not cut_short:
                raise
        abstained = value is None
        text = "" if abstained else json.dumps(value, ensure_ascii=False)
    else:
        abstained = NOT_ANSWERED in text or not text.strip()
    return Draft(
        NOTHING_FOUND if abstained else text,
        generator="vllm",
        abstained=abstained,
        value=value,
        grounded=brief.grounded,
        cut_short=cut_short,
        usage=as_usage(generation.usage),
    )
