"""Step 4 of 5. Write a draft: by vLLM where one is configured, else by quoting the best sentences."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID

from django.conf import settings

from ambit.answers.extract import extract_answer
from ambit.answers.prompt import NOT_ANSWERED, build_messages, fitting
from ambit.answers.types import Draft, GeneratorName, Usage
from ambit.corpus.types import Passage
from ambit.inference.embedding import embed_sentences
from ambit.inference.vllm import chat, salt_for
from ambit.keys.sealing import keyed_hash

NOTHING_FOUND = "Nothing in the documents you may see answers this question."


async def generate_draft(
    *, tenant_id: UUID, salt_epoch: int, question: str, passages: Sequence[Passage]
) -> tuple[Draft, tuple[Passage, ...]]:
    """Return a draft and the passages its markers count; without passages no model is asked."""
    uses_vllm = bool(settings.AMBIT_VLLM_URL)
    supplied = fitting(passages=passages) if uses_vllm else tuple(passages)
    if not supplied:
        name: GeneratorName = "vllm" if uses_vllm else "extractive"
        return Draft(NOTHING_FOUND, generator=name, abstained=True), ()
    if not uses_vllm:
        draft = await asyncio.to_thread(
            extract_answer, question=question, passages=supplied, embed=embed_sentences
        )
        return draft, supplied
    secret = keyed_hash(b"", tenant_id=tenant_id, purpose="cache_salt")
    completion = await chat(
        messages=build_messages(question=question, passages=supplied),
        cache_salt=salt_for(tenant_id=tenant_id, epoch=salt_epoch, secret=secret),
        deadline_s=settings.AMBIT_VLLM_TIMEOUT_S,
    )
    abstained = NOT_ANSWERED in completion.text or not completion.text.strip()
    draft = Draft(
        NOTHING_FOUND if abstained else completion.text,
        generator="vllm",
        abstained=abstained,
        usage=Usage(
            completion.prompt_tokens, completion.completion_tokens, completion.cached_tokens
        ),
    )
    return draft, supplied
