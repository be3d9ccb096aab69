"""Step 4 of 4. Keep the text, then make the chunks what search finds, at once or not at all."""

from __future__ import annotations

from collections.abc import Sequence

from ambit.corpus.ingest import Source, StoredChunk, store_chunks
from ambit.jobs.services import Claim
from workers.ingest.types import ParsedText


def store(
    held: Claim,
    *,
    source: Source,
    parsed: ParsedText,
    chunks: Sequence[StoredChunk],
    language: str | None,
) -> None:
    """Store a version and finish its job; raise NothingToDo or ClaimLost, and then nothing is found."""
    store_chunks(held, source=source, chunks=chunks, text=parsed.text, language=language)
