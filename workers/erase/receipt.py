"""Step 6 of 6. Write down what became of it, in counts and words that promise no more than is true."""

from __future__ import annotations

from datetime import datetime
from importlib import metadata
from typing import Any, Literal
from uuid import UUID

from ambit.audit.receipts import COUNT
from ambit.erasure.backups import Backups, known_backups
from ambit.erasure.cases import lock_case, mark, note_remaining
from ambit.erasure.clock import stop_watching
from ambit.erasure.disk import FILES
from ambit.erasure.holds import held_among
from ambit.erasure.queries import get_erasure
from ambit.erasure.receipts import sign_receipt
from ambit.erasure.recipients import tell_closed, tell_erased
from ambit.erasure.registry import HOLDINGS
from ambit.erasure.restrictions import BASES
from ambit.erasure.types import Case, ErasureView
from ambit.jobs.services import Claim, finish, keep
from tenants.audit import record
from tenants.ids import public_id
from tenants.scope import tenant_scope
from workers.erase.types import Verdict

End = Literal["closed", "held", "incomplete"]
EVENTS: dict[End, str] = {
    "closed": "erasure.closed",
    "held": "erasure.held",
    "incomplete": "erasure.incomplete",
}
NOT_YET_GONE = (
    "Sealed pieces of the texts can remain in pages of the database, as ciphertext, until Postgres"
    " overwrites them. The keys that opened them were destroyed and scrubbed.",
    "File system: files were removed or written anew, the blocks they had were not overwritten. Keep"
    " data on an encrypted volume.",
    "Backups made earlier keep what they copied, wrapped keys included, until they expire.",
    "A model server may keep the content in memory until it is evicted; no request reaches it there"
    " any more.",
)
EARLIER = (
    "What was deleted before this request, by whomever, can remain in pages and log of the database"
    " until they are overwritten, and in backups made earlier until they expire."
)
FREE_TEXT = (
    "What declares the person was followed, by exact identifiers. Other documents that mention the person"
    " in free text were erased only where a person confirmed them. No search finds every mention, and"
    " other people's questions were not searched."
)
NAMESAKES = "Nothing was erased for a name alone: people who share one were not touched."
UPLOADS_KEPT = (
    "Documents that the member uploaded but that do not declare them as a subject were kept,"
    " without the mark of who uploaded them."
)
BY_AGE = "Nobody asked for this erasure. What it covers was older than the tenant keeps it."
ARCHIVES_KEPT = "Archives made for people before (Art. 15 GDPR) keep the answers that they copied, until their own end."
HELD = (
    "What is held is hidden from everybody and was not destroyed. It is destroyed when the last hold"
    " on it is released; the case stays open until then."
)
REPEATS = (
    "This erasure repeats an earlier one: a backup of before it was restored. Whom and what it covers comes from"
    " the ledger of tombstones, which is kept outside the backups. Its times are those of the repetition."
)
EVIDENCE_KEPT = (
    "Audit events were kept as evidence. They hold ids and counts, no content and no identifier."
)


def write_receipt(held: Claim, case: Case, verdict: Verdict) -> bool:
    """Close the case and finish its job, or leave the case open and say what is left.

    Returns False, having written nothing, where a hold was released meanwhile: there is more to destroy. Raises
    KeyUnavailable, having written nothing, where the key that signs cannot be read: the case waits for it.
    """
    with tenant_scope(held.tenant_id, custody=True):
        keep(held)
        if verdict.complete:
            stop_watching(case.id)
        # Who releases a hold waits for the case, and finds the job ended or lets it go on.
        lock_case(case.id)
        if held_among(case.held_ids) != case.held_ids:
            return False
        note_remaining(case.id, verdict.left)
        state = _state(case, verdict)
        if verdict.complete:
            mark(case.id, "verified")
            tell_erased(case.id, document_ids=case.scope.document_ids)
        mark(case.id, state, attempt=held.attempt)
        if state == "closed":
            tell_closed(case.id, document_ids=case.covered.document_ids)
        view = get_erasure(erasure_id=case.id)
        serial = sign_receipt(case.id, compose(view, verdict, known_backups(), case_id=case.id))
        record(
            EVENTS[state],
            object_id=case.id,
            counts={one.name: one.n for one in verdict.left if one.n} | {COUNT: serial},
        )
        if verdict.complete:
            finish(held)
        return True


def _state(case: Case, verdict: Verdict) -> End:
    if not verdict.complete:
        return "incomplete"
    return "held" if case.held_ids else "closed"


def compose(
    case: ErasureView, verdict: Verdict, backups: Backups, *, case_id: UUID
) -> dict[str, Any]:
    """Return what a receipt says: ids, keyed hashes, counts and times; no content, no identifier. Pure."""
    nothing_found = not any(h.found for h in case.holdings)
    # What another case or a deletion destroyed first was held, and is scrubbed for this one too.
    nothing_held = nothing_found and not case.counts
    return {
        "erasure": public_id("erasure", case_id),
        "tenant": public_id("tenant", case.tenant_id),
        "version": f"ambit {metadata.version('ambit')}",
        "outcome": _outcome(case, verdict, nothing_held=nothing_held, nothing_found=nothing_found),
        "state": case.state,
        "repeats": public_id("erasure", case.repeats) if case.repeats else None,
        "complete": verdict.complete and not case.held,
        "subject": {"type": case.subject_type, "hash": case.subject_hash},
        "received_at": _text(case.received_at),
        "due_at": _text(case.due_at) if case.due_at else None,
        "extended_at": _text(case.extended_at) if case.extended_at else None,
        "states": [{"state": s.state, "at": _text(s.at)} for s in case.states],
        "covered": case.counts,
        "confirmed_documents": case.n_confirmed_documents,
        "holdings": _holdings(case, verdict),
        "scrub": {"transaction": case.shredded_xid, "log_position": case.log_position}
        if case.log_position
        else None,
        "retrievable_documents": verdict.n_retrievable,
        "left": _left(verdict),
        "held": [
            {
                "basis": f"Art. 17(3)({one.basis}) GDPR: {BASES[one.basis]}",
                "documents": one.n_documents,
                "members": one.n_members,
            }
            for one in case.held
        ],
        "database": {
            "at": _text(verdict.position.at),
            "wal": verdict.position.wal,
            "oldest_transaction": verdict.position.oldest_transaction,
        },
        "backups": {
            "expire_at": _text(backups.expire_at) if backups.expire_at else None,
            "words": backups.words,
        },
        "not_yet_gone": [EARLIER] if nothing_held else list(NOT_YET_GONE),
        "limits": _limits(case),
    }


def _outcome(
    case: ErasureView, verdict: Verdict, *, nothing_held: bool, nothing_found: bool
) -> str:
    if not verdict.complete:
        return "incomplete"
    if case.held:
        return "held" if nothing_found else "held in part"
    return "nothing held" if nothing_held else "destroyed"


def _holdings(case: ErasureView, verdict: Verdict) -> list[dict[str, Any]]:
    ways = {h.name: h for h in HOLDINGS}
    why = {one.name: _why_left(one.n) for one in verdict.left}
    return [
        {
            "name": h.name,
            "title": h.title,
            "found": h.found,
            "destroyed": h.destroyed,
            "remaining": h.remaining,
            "found_by": ways[h.name].found_by,
            "destroyed_by": ways[h.name].destroyed_by,
            "verified_by": ways[h.name].verified_by,
            "why_left": why.get(h.name),
        }
        for h in case.holdings
    ]


def _why_left(n: int | None) -> str | None:
    if n is None:
        return "The place could not be reached; it is tried again."
    return "The second look still found it; it is tried again." if n else None


def _left(verdict: Verdict) -> list[str]:
    titles = {h.name: h.title for h in HOLDINGS} | {FILES: "Tables with pages of before"}
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
    if case.by_age:
        limits += [f"{BY_AGE} {case.reason}", ARCHIVES_KEPT]
    if case.repeats:
        limits.append(REPEATS)
    if case.held:
        limits.append(HELD)
    if case.subject_hash is not None:
        limits += [FREE_TEXT, NAMESAKES]
    if case.n_confirmed_documents:
        limits.append(
            f"Confirmed by a person: {case.n_confirmed_documents} documents, which do not declare the"
            " person. That they are about the person is what somebody decided who asked for the erasure."
        )
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
