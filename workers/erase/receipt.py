"""Step 4 of 4. Write down what became of it, in counts and words that promise no more than is true."""

from __future__ import annotations

from datetime import datetime
from importlib import metadata
from typing import Any
from uuid import UUID

from ambit.erasure.cases import keep_receipt, mark, note_remaining
from ambit.erasure.queries import get_erasure
from ambit.erasure.registry import HOLDINGS
from ambit.erasure.types import Case, ErasureView
from ambit.jobs.services import Claim, finish, keep
from tenants.audit import record
from tenants.ids import public_id
from tenants.scope import tenant_scope
from workers.erase.types import Verdict

NOT_YET_GONE = (
    "Database files and the write-ahead log: this version destroys rows and keys but does not scrub"
    " pages. Until Postgres vacuums and recycles them, dead copies of vectors, keyed words, sealed"
    " texts and wrapped keys can remain on disk, where only the machine's operator reaches them.",
    "File system: the files were removed, their blocks were not overwritten. They hold ciphertext.",
    "Backups made earlier keep what they copied, wrapped keys included, until they expire.",
    "A model server may keep the content in memory until it is evicted; no request reaches it there"
    " any more.",
)
FREE_TEXT = (
    "Only declared subjects and exact identifiers were followed. Mentions of the person in the free"
    " text of documents that do not declare them, or in other people's questions, were not searched."
)
NAMESAKES = "Nobody was matched by name: people who share one were not touched."
UPLOADS_KEPT = (
    "Documents that the member uploaded but that do not declare them as a subject were kept,"
    " without the mark of who uploaded them."
)
EVIDENCE_KEPT = (
    "Audit events were kept as evidence. They hold ids and counts, no content and no identifier."
)


def write_receipt(held: Claim, case: Case, verdict: Verdict) -> None:
    """Close the case and finish its job, or leave both open and say what is left."""
    with tenant_scope(held.tenant_id, custody=True):
        keep(held)
        note_remaining(case.id, verdict.left)
        if verdict.complete:
            mark(case.id, "verified")
            mark(case.id, "closed", attempt=held.attempt)
        else:
            mark(case.id, "incomplete", attempt=held.attempt)
        view = get_erasure(erasure_id=case.id)
        keep_receipt(case.id, compose(view, verdict, case_id=case.id))
        record(
            "erasure.closed" if verdict.complete else "erasure.incomplete",
            object_id=case.id,
            counts={one.name: one.n for one in verdict.left if one.n},
        )
        if verdict.complete:
            finish(held)


def compose(case: ErasureView, verdict: Verdict, *, case_id: UUID) -> dict[str, Any]:
    """Return a receipt: ids, keyed hashes, counts and times; no content, no identifier. Pure."""
    nothing_held = not any(h.found for h in case.holdings)
    return {
        "erasure": public_id("erasure", case_id),
        "tenant": public_id("tenant", case.tenant_id),
        "version": f"ambit {metadata.version('ambit')}",
        "outcome": _outcome(verdict, nothing_held=nothing_held),
        "complete": verdict.complete,
        "subject": {"type": case.subject_type, "hash": case.subject_hash},
        "received_at": _text(case.received_at),
        "due_at": _text(case.due_at),
        "states": [{"state": s.state, "at": _text(s.at)} for s in case.states],
        "covered": case.counts,
        "holdings": _holdings(case),
        "retrievable_documents": verdict.n_retrievable,
        "left": _left(verdict),
        "not_yet_gone": [] if nothing_held else list(NOT_YET_GONE),
        "limits": _limits(case),
    }


def _outcome(verdict: Verdict, *, nothing_held: bool) -> str:
    if not verdict.complete:
        return "incomplete"
    return "nothing held" if nothing_held else "destroyed"


def _holdings(case: ErasureView) -> list[dict[str, Any]]:
    ways = {h.name: (h.found_by, h.verified_by) for h in HOLDINGS}
    return [
        {
            "name": h.name,
            "title": h.title,
            "found": h.found,
            "destroyed": h.destroyed,
            "remaining": h.remaining,
            "found_by": ways[h.name][0],
            "verified_by": ways[h.name][1],
        }
        for h in case.holdings
    ]


def _left(verdict: Verdict) -> list[str]:
    titles = {h.name: h.title for h in HOLDINGS}
    left = [
        f"{titles[one.name]}: {'could not be reached' if one.n is None else f'{one.n} left'}"
        for one in verdict.left
        if one.n != 0
    ]
    if verdict.n_retrievable:
        left.append(f"Documents that a reader still gets: {verdict.n_retrievable}")
    return left


def _limits(case: ErasureView) -> list[str]:
    limits = [EVIDENCE_KEPT]
    if case.subject_hash is not None:
        limits += [FREE_TEXT, NAMESAKES]
    if case.counts.get("member"):
        limits.append(UPLOADS_KEPT)
    if case.n_shared_documents:
        limits.append(
            f"{case.n_shared_documents} of the documents also declare other identifiers, of this"
            " or of other people; they were destroyed whole."
        )
    return limits


def _text(at: datetime) -> str:
    return at.isoformat()
