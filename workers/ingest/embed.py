"""Step 3 of 4. Give every chunk a vector, embedding only what this audience does not have yet."""

from __future__ import annotations

from collections.abc import Sequence

from ambit.corpus.ingest import StoredChunk, known_vectors, mark_progress
from ambit.corpus.types import Embedding
from ambit.inference.embedding import embed_passages
from ambit.jobs.services import Claim
from workers.ingest.types import ChunkSpan


def embed(held: Claim, *, spans: Sequence[ChunkSpan], texts: Sequence[str]) -> list[StoredChunk]:
    """Return the chunks with the vectors of their texts, renewing the lease and noting progress.

    Raises EmbeddingUnavailable, EmbeddingRefused, NothingToDo, ClaimLost.
    """
    vectors: dict[str, Embedding] = dict(known_vectors(held, texts=texts))
    missing = [text for text in dict.fromkeys(texts) if text not in vectors]
    n_known = len(texts) - len(missing)

    def on_progress(done: int) -> None:
        # The last step is told by the state that follows at once.
        if done < len(missing):
            mark_progress(held, n_chunks_embedded=n_known + done)

    vectors.update(zip(missing, embed_passages(missing, on_progress=on_progress), strict=True))
    return [
        StoredChunk(
            ordinal=span.ordinal,
            char_start=span.char_start,
            char_end=span.char_end,
            page_first=span.page_first,
            page_last=span.page_last,
            n_tokens=span.n_tokens,
            section=span.section,
            text=span.text,
            embedded_text=text,
            vector=vectors[text],
        )
        for span, text in zip(spans, texts, strict=True)
    ]
