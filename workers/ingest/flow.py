"""Make an uploaded version findable: parse → chunk → embed → store.

Each step is safe to repeat: nothing is visible before `store`, which does everything at once or
nothing, and a worker that lost its lease, its document or its version changes nothing.
"""

from __future__ import annotations

from django.conf import settings

from ambit.corpus import ingest as corpus
from ambit.inference.embedding import EmbeddingRefused
from ambit.jobs.services import Claim, keep
from workers.ingest.chunk import chunk, embedded_text
from workers.ingest.embed import embed
from workers.ingest.language import find_language
from workers.ingest.parse import Limits, ParseFailure, parse
from workers.ingest.store import store

TOO_OFTEN = (
    "Each attempt to read this document failed or ended the worker. The original is kept; retry it, "
    "or upload it in another format."
)
REFUSED = (
    "The embedding service refused this document's text. The original is kept; tell the operator, "
    "then retry it."
)


def ingest(held: Claim) -> None:
    """Ingest the version a job names, and finish the job with it; a bad document ends as failed.

    Raises ClaimLost when another worker has the job; EmbeddingUnavailable, or EmbeddingRefused for
    want of a key, to be tried again.
    """
    try:
        source = corpus.open_source(held)
        parsed = parse(
            path_or_bytes=b"".join(source.read()),
            file_name=source.file_name,
            declared_mime=source.media_type or None,
            limits=_limits(),
            on_wait=lambda: keep(held),
        )
        corpus.mark_parsed(held, media_type=parsed.mime, n_pages=parsed.n_pages)
        spans = chunk(parsed, title=source.title)
        corpus.mark_chunked(held, n_chunks=len(spans))
        texts = [embedded_text(title=source.title, chunk=span) for span in spans]
        chunks = embed(held, spans=spans, texts=texts)
        corpus.mark_embedded(held, n_chunks=len(chunks))
        language = source.language or find_language(parsed.text)
        store(held, source=source, parsed=parsed, chunks=chunks, language=language)
    except corpus.NothingToDo:
        corpus.drop_job(held)
    except ParseFailure as failure:
        _fail(held, code=failure.code, reason=failure.reason)
    except EmbeddingRefused as refusal:
        if refusal.reason == "credentials":
            # The operator's to mend, and no fault of the document.
            raise
        _fail(held, code="embedding_refused", reason=REFUSED)


def give_up(held: Claim) -> None:
    """End a version as failed whose ingest never came to an end."""
    _fail(held, code="too_many_attempts", reason=TOO_OFTEN)


def _fail(held: Claim, *, code: str, reason: str) -> None:
    try:
        corpus.fail_version(held, code=code, reason=reason)
    except corpus.NothingToDo:
        corpus.drop_job(held)


def _limits() -> Limits:
    return Limits(
        wall_seconds=settings.AMBIT_PARSE_TIMEOUT_S,
        cpu_seconds=settings.AMBIT_PARSE_TIMEOUT_S,
        memory_bytes=settings.AMBIT_PARSE_MEMORY_MB * 1024 * 1024,
    )
