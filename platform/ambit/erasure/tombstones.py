"""What is destroyed is written down outside the database before it is, so that no backup brings it back unnoticed.

A line of the ledger is known to the database when it says so (erasure_tombstone), or when all that the line says is
gone is hidden here, and held what it says was kept. Where a backup was restored it is neither: then nothing is served
and nothing destroyed before `manage.py replay_tombstones`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal
from uuid import UUID

from django.db import connections, transaction
from django.db.models import Q, QuerySet
from django.utils.connection import ConnectionDoesNotExist

from ambit.answers.holdings import answers_here
from ambit.corpus.holdings import documents_gone, documents_here
from ambit.erasure.holds import holds_on, was_held
from ambit.erasure.models import Erasure, ErasureItem
from ambit.erasure.subjects import declared_by
from ambit.erasure.types import RETENTION, Case
from ambit.tombstones import ledger
from ambit.tombstones.ledger import (
    NOWHERE,
    Ledger,
    LedgerDamaged,
    LedgerUnusable,
    Line,
    Place,
    Tombstone,
)
from ambit.tombstones.register import begin_register
from tenants.holdings import members_here, trace_member
from tenants.queries import is_tenant_open
from tenants.scope import current_tenant_id, tenant_scope

DISPATCH = "dispatch"
COMMAND = "manage.py replay_tombstones"
Reason = Literal["ledger", "damaged", "replay", "dispatch"]
WORDS: dict[str, str] = {
    "ledger": "the ledger of tombstones cannot be written; nothing is destroyed before it is",
    "damaged": "the ledger of tombstones is not the one that the database knows",
    "replay": f"a backup was restored and its tombstones not replayed; the operator runs `{COMMAND}`",
    "dispatch": "there is no login that may note tombstones; the operator sets AMBIT_DISPATCH_DATABASE_URL",
}
_LAST = """
SELECT number, line_hash, starts_at, ends_at FROM erasure_tombstone ORDER BY number DESC LIMIT 1
"""
_SAID = "SELECT EXISTS (SELECT FROM erasure_tombstone WHERE covers = %s)"
_KNOW = """
INSERT INTO erasure_tombstone (number, line_hash, covers, starts_at, ends_at) VALUES (%s, %s, %s, %s, %s)
"""


class TombstoneBlocked(RuntimeError):
    """Nothing may be destroyed, since it cannot be written down that it was; nothing is lost by waiting."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(f"the tombstone waits: {WORDS[reason]}")
        self.reason: Reason = reason


def tombstone_of(case: Case) -> Tombstone:
    """Return what is to be written of a case before it is worked on, in its tenant's scope and custody."""
    row = Erasure.objects.get(pk=case.id)
    # Without keys nobody is destroyed yet, nor can be told what documents declare a member by.
    member_ids = case.scope.member_ids if case.has_keys else ()
    members = [
        m
        for one in (case.covered.member_ids if case.has_keys else ())
        if (m := trace_member(kind="member", value=str(one)))
    ]
    declared = [(kind, mac.hex()) for member in members for kind, mac in declared_by(member)]
    if row.subject_mac is not None:
        declared.insert(0, (row.subject_type, bytes(row.subject_mac).hex()))
    return Tombstone(
        kind="case",
        tenant_id=current_tenant_id(),
        object_id=case.id,
        document_ids=case.scope.document_ids,
        member_ids=member_ids,
        subjects=tuple(dict.fromkeys(declared)),
        held=holds_on((*case.covered.document_ids, *case.covered.member_ids)),
        until=row.identified_at or row.received_at,
        # Of any other case what is destroyed with them is found by its documents and its member.
        answer_ids=case.scope.answer_ids if row.subject_type == RETENTION else (),
        by_age=row.subject_type == RETENTION,
    )


def tombstone_of_document(document_id: UUID) -> Tombstone:
    """Return what is to be written of a deleted document, in its tenant's scope."""
    return Tombstone("document", current_tenant_id(), document_id, document_ids=(document_id,))


def tombstone_of_tenant() -> Tombstone:
    """Return what is to be written of a tenant that ends, in its scope."""
    return Tombstone("tenant", current_tenant_id(), current_tenant_id())


def write_tombstone(tombstone: Tombstone) -> None:
    """Write a line durably outside the database, and note here that it is known; what is said already is left.

    Outside any tenant's scope. Raises TombstoneBlocked, having written nothing, where that cannot be done, and
    where the ledger has lines that this database knows nothing of.
    """
    try:
        known = known_place(using=DISPATCH)
        with ledger.opened(may_make=known == NOWHERE) as book:
            _catch_up(book)
            if _is_said(tombstone):
                return
            place = book.add(tombstone)
            note([Line(place, tombstone)])
    except ConnectionDoesNotExist as error:
        raise TombstoneBlocked("dispatch") from error
    except LedgerDamaged as error:
        raise TombstoneBlocked("damaged") from error
    except LedgerUnusable as error:
        raise TombstoneBlocked("ledger") from error


def begin_ledger() -> None:
    """Write the first line where this database knows of none and there is no ledger; raise TombstoneBlocked.

    From then on every backup of the database knows that there is one, and misses it.
    """
    try:
        if known_place() == NOWHERE and not ledger.read_after(NOWHERE):
            with ledger.opened(may_make=True) as book:
                _catch_up(book)
    except LedgerUnusable as error:
        raise TombstoneBlocked("ledger") from error


def known_place(*, using: str = "default") -> Place:
    """Return where the last line stands that the database knows; NOWHERE where it knows none."""
    with connections[using].cursor() as cursor:
        cursor.execute(_LAST)
        row = cursor.fetchone()
    return Place(row[0], bytes(row[1]), row[2], row[3]) if row else NOWHERE


def note(lines: Iterable[Line]) -> None:
    """Note lines as known to the database."""
    rows: list[tuple[int | bytes, ...]] = [
        (
            one.place.number,
            one.place.hash,
            one.tombstone.covers,
            one.place.starts_at,
            one.place.ends_at,
        )
        for one in lines
    ]
    with transaction.atomic(using=DISPATCH), connections[DISPATCH].cursor() as cursor:
        cursor.executemany(_KNOW, rows)


def read_unknown(*, whole: bool) -> list[Line]:
    """Return the lines that the database has not noted; raise LedgerUnusable, LedgerDamaged.

    whole: go through all of the ledger, each line compared with the one before.
    """
    known = known_place()
    if not whole:
        return ledger.read_after(known)
    lines = ledger.read_after(NOWHERE)
    if known != NOWHERE:
        if not lines:
            raise LedgerUnusable("it is missing")
        if len(lines) < known.number:
            raise LedgerDamaged(
                f"it ends with line {len(lines)}, the database knows line {known.number}"
            )
        if lines[known.number - 1].place != known:
            raise LedgerDamaged(f"its line {known.number} is not the one that the database knows")
    return lines[known.number :]


def faults(*, whole: bool) -> list[str]:
    """Say why nothing may be served: tombstones not replayed, or a ledger that cannot tell."""
    try:
        lines = read_unknown(whole=whole)
    except LedgerUnusable as error:
        place = ledger.folder() / ledger.FILE
        return [
            f"the ledger of tombstones, {place}, cannot be used: {error}."
            f" Bring the newest copy of it and run `{COMMAND}`"
        ]
    n_unknown = sum(not is_known(one) for one in merged(lines))
    if not n_unknown:
        return []
    return [
        f"{n_unknown} tombstones are not replayed: what they name was destroyed after the backup was made from"
        f" which this database was restored. Run `{COMMAND}`"
    ]


def merged(lines: Iterable[Line]) -> list[Tombstone]:
    """Return one tombstone for each thing: all that was destroyed of it, and what was held at last. Pure."""
    found: dict[tuple[str, UUID, UUID], Tombstone] = {}
    for line in lines:
        said = line.tombstone
        key = (said.kind, said.tenant_id, said.object_id)
        before = found.get(key)
        if before is not None:
            said = replace(
                said,
                document_ids=tuple(sorted({*before.document_ids, *said.document_ids})),
                member_ids=tuple(sorted({*before.member_ids, *said.member_ids})),
                subjects=tuple(dict.fromkeys((*before.subjects, *said.subjects))),
                answer_ids=tuple(sorted({*before.answer_ids, *said.answer_ids})),
            )
        found[key] = said
    return list(found.values())


def is_known(said: Tombstone) -> bool:
    """Say whether all that a tombstone names is hidden here already, or not here at all."""
    if said.kind == "begun":
        return True
    with tenant_scope(said.tenant_id, custody=True):
        # Of a tenant that ends, or ended, nobody is let in.
        if not is_tenant_open():
            return True
        if said.kind == "tenant":
            return False
        if said.kind == "document":
            covered = _covered(Erasure.objects.filter(hidden_at__isnull=False), said)
            # Under a hold it is kept, and a case waits for the release.
            return documents_here(said.document_ids) <= documents_gone(said.document_ids) | covered
        return _is_case_known(said)


def _is_case_known(said: Tombstone) -> bool:
    cases = Erasure.objects.filter(
        Q(pk=said.object_id) | Q(repeats_id=said.object_id), hidden_at__isnull=False
    )
    if not cases.exists():
        return False
    covered = _covered(cases, said)
    lacking = (
        documents_here(set(said.document_ids) - covered),
        members_here(set(said.member_ids) - covered),
        answers_here(set(said.answer_ids) - covered),
        holds_lost(said),
    )
    return not any(lacking)


def _covered(cases: QuerySet[Erasure], said: Tombstone) -> set[UUID]:
    """Return what of a tombstone these cases cover."""
    named = (*said.document_ids, *said.member_ids, *said.answer_ids)
    items = ErasureItem.objects.filter(object_id__in=named, erasure_id__in=cases.values("pk"))
    return set(items.values_list("object_id", flat=True))


def holds_lost(said: Tombstone) -> Sequence[ledger.Held]:
    """Return the holds of which this database knows nothing, in scope: they were placed after the backup."""
    here = {
        *documents_here(one for _, kind, one in said.held if kind == "document"),
        *members_here(one for _, kind, one in said.held if kind == "member"),
    }
    known = was_held(here, at=said.at)
    return [one for one in said.held if one[2] in here - known]


def _catch_up(book: Ledger) -> None:
    """Note the lines that a killed worker had added; raise TombstoneBlocked where they are of after a backup."""
    known = known_place(using=DISPATCH)
    lines = book.read_after(known)
    if not all(is_known(one) for one in merged(lines)):
        raise TombstoneBlocked("replay")
    if lines:
        note(lines)
    elif known == NOWHERE:
        begin_register()
        first = ledger.begun()
        note([Line(book.add(first), first)])


def _is_said(tombstone: Tombstone) -> bool:
    with connections[DISPATCH].cursor() as cursor:
        cursor.execute(_SAID, [tombstone.covers])
        (said,) = cursor.fetchone()
    return bool(said)
