"""Step 6 of 6. Certify what became of the tenant, in counts and words that promise no more than is true."""

from __future__ import annotations

from datetime import datetime
from importlib import metadata
from typing import Any

from ambit.audit.receipts import COUNT
from ambit.erasure.backups import Backups, known_backups
from ambit.erasure.cases import mark, note_remaining
from ambit.erasure.disk import FILES, TENANT
from ambit.erasure.ending import Ending
from ambit.erasure.offboarding import close_tenant, note_left, places_of, wait_for
from ambit.erasure.places import AUDIT_VALUES, PLACES, STAYS, UNLISTED, kept_counts
from ambit.erasure.queries import get_erasure
from ambit.erasure.receipts import sign_receipt
from ambit.erasure.types import ErasureView, HoldingCount
from ambit.jobs.services import Claim, finish, keep
from tenants.audit import record
from tenants.ids import public_id
from tenants.scope import tenant_scope
from workers.erase.types import Verdict

NOT_YET_GONE = (
    "Sealed pieces of the texts can remain in pages of the database, as ciphertext, until Postgres overwrites them. The"
    " tenant's key, under which all keys that opened them were wrapped, was destroyed.",
    "Names of recipients' events and ids can remain in pages of tables that were not rewritten, until Postgres"
    " overwrites them. They name nothing that is still there.",
    "File system: files were removed, the blocks they had were not overwritten. Keep data on an encrypted volume.",
    "Backups made earlier keep what they copied until they expire. What was sealed in them opens with a copy of the"
    " tenant's key alone: copies of the keyring must be destroyed by who made them.",
    "Processes that had used the tenant's key keep it in memory until they end.",
    "A model server may keep content in memory until it is evicted; no request reaches it there any more.",
)
LIMITS = (
    "What the tenant's people, recipients and other systems took along before is not here, and was not destroyed.",
    "Webhooks were not told of the end: what was still to be sent was destroyed.",
    "The audit trail stays for as long as proofs are kept, without the values about people. The ids of cases and"
    " receipts stay in it, so that receipts can be held against it.",
)


REPEATS = (
    "The tenant had ended before, and was back with a backup that was restored: this certificate is of its second end,"
    " by the ledger of tombstones, which is kept outside the backups. Its times are those of the repetition."
)


def certify(held: Claim, over: Ending, verdict: Verdict) -> None:
    """Close the case and finish its job, or leave it open and say what is left; either is signed.

    Raises KeyUnavailable, having written nothing, where the key that signs cannot be read: the case waits for it.
    """
    with tenant_scope(held.tenant_id, custody=True):
        keep(held)
        note_remaining(over.case_id, verdict.left)
        wait_for(over.case_id, "")
        left = {one.name: one.n for one in verdict.left}
        if (n_left := left[AUDIT_VALUES]) is not None:
            note_left(over, AUDIT_VALUES, n_left)
        if verdict.complete:
            mark(over.case_id, "verified")
            mark(over.case_id, "closed", attempt=held.attempt)
            close_tenant(over.case_id)
        else:
            mark(over.case_id, "incomplete", attempt=held.attempt)
        view = get_erasure(erasure_id=over.case_id)
        said = compose(
            view, verdict, known_backups(), places=places_of(over.case_id), kept=kept_counts(over)
        )
        serial = sign_receipt(over.case_id, said)
        record(
            "erasure.closed" if verdict.complete else "erasure.incomplete",
            object_id=over.case_id,
            counts={name: n for name, n in left.items() if n} | {COUNT: serial},
        )
        if verdict.complete:
            finish(held)


def compose(
    case: ErasureView,
    verdict: Verdict,
    backups: Backups,
    *,
    places: tuple[HoldingCount, ...],
    kept: dict[str, int],
) -> dict[str, Any]:
    """Return what a certificate says: a receipt of the same shape, about a tenant. Ids, counts and times. Pure."""
    return {
        "erasure": public_id("erasure", case.id) if case.id else None,
        "tenant": public_id("tenant", case.tenant_id),
        "version": f"ambit {metadata.version('ambit')}",
        "outcome": "off-boarded" if verdict.complete else "incomplete",
        "state": case.state,
        "complete": verdict.complete,
        "subject": {"type": TENANT, "hash": None},
        "received_at": _text(case.received_at),
        "due_at": None,
        "extended_at": None,
        "states": [{"state": s.state, "at": _text(s.at)} for s in case.states],
        "covered": {"tenant": 1},
        "confirmed_documents": 0,
        "holdings": _places(verdict, places),
        "scrub": {"transaction": case.shredded_xid, "log_position": case.log_position}
        if case.log_position
        else None,
        "retrievable_documents": None,
        "left": _left(verdict),
        "held": [],
        "kept": [{"what": table, "rows": n, "why": STAYS[table]} for table, n in kept.items() if n],
        "database": {
            "at": _text(verdict.position.at),
            "wal": verdict.position.wal,
            "oldest_transaction": verdict.position.oldest_transaction,
        },
        "backups": {
            "expire_at": _text(backups.expire_at) if backups.expire_at else None,
            "words": backups.words,
        },
        "not_yet_gone": list(NOT_YET_GONE),
        "limits": [*([REPEATS] if case.repeats else []), *LIMITS],
    }


def _places(verdict: Verdict, counts: tuple[HoldingCount, ...]) -> list[dict[str, Any]]:
    ways = {p.name: p for p in PLACES}
    left = {one.name: one.n for one in verdict.left}
    return [
        {
            "name": one.name,
            "title": one.title,
            "found": one.found,
            "destroyed": one.destroyed,
            "remaining": left[one.name],
            "found_by": ways[one.name].found_by,
            "destroyed_by": ways[one.name].destroyed_by,
            "verified_by": ways[one.name].verified_by,
            "why_left": _why_left(left[one.name]),
        }
        for one in counts
    ]


def _why_left(n: int | None) -> str | None:
    if n is None:
        return "The place could not be reached; it is tried again."
    return "The second look still found it; it is tried again." if n else None


def _left(verdict: Verdict) -> list[str]:
    titles = {p.name: p.title for p in PLACES} | {
        FILES: "Tables with pages of before",
        UNLISTED: "Rows in tables that no list names",
    }
    return [
        f"{titles[one.name]}: {'could not be reached' if one.n is None else f'{one.n} left'}"
        for one in verdict.left
        if one.n != 0
    ]


def _text(at: datetime) -> str:
    return at.isoformat()
