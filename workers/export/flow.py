"""Give a person what is held of them: find → tell → pack.

Whatever dies in between, the next worker begins again with a file of its own; what was erased or
deleted meanwhile is not in the archive that is handed out.
"""

from __future__ import annotations

import logging

from ambit.corpus.holdings import documents_gone, lock_documents
from ambit.corpus.queries import DocumentNotFound
from ambit.erasure.exports import is_being_erased
from ambit.export.packing import (
    NothingToPack,
    discard,
    mark_ready,
    note_contents,
    note_progress,
    take_up,
    write_archive,
)
from ambit.export.services import end_export
from ambit.export.types import End, Order
from ambit.jobs.services import Claim, cancel, finish, keep, put_back
from tenants.audit import Actor, acting_as
from tenants.holdings import SubjectAmbiguous
from tenants.scope import tenant_scope
from workers.export.find import find
from workers.export.pack import pack
from workers.export.tell import tell
from workers.export.types import Contents

logger = logging.getLogger(__name__)

WORKER = Actor("worker", None)
# Begun so often, also by workers that died: eight minutes in all, of waiting alone.
MOST_BEGUN = 8
MAX_DELAY_S = 300.0


def export(held: Claim) -> None:
    """Make a person's archive and hand it out; raise ClaimLost when another worker has it by now."""
    with acting_as(WORKER):
        try:
            order = take_up(held)
            contents = _gather(order)
            content = pack(
                contents,
                tell_progress=lambda n: note_progress(order, held, n_written=n),
            )
            n_bytes = write_archive(order, content)
            is_whole = _hand_out(held, contents, n_bytes=n_bytes)
        except NothingToPack:
            # Its end may have come before there was a folder for it to close.
            discard(held)
            _finish(held)
        except SubjectAmbiguous:
            _fail(held, because="ambiguous")
        except DocumentNotFound:
            _begin_again(held)
        else:
            if not is_whole:
                _begin_again(held)


def give_up(held: Claim) -> None:
    """Say that an archive could not be made, after many tries; raise ClaimLost."""
    with acting_as(WORKER):
        _fail(held, because="unreadable")


def end(held: Claim) -> None:
    """Destroy an archive whose days are over; raise ClaimLost, HoldingFailed."""
    with acting_as(WORKER), tenant_scope(held.tenant_id):
        keep(held)
        end_export(export_id=held.object_id, because="time")
        cancel(held.kind, object_id=held.object_id)


def _gather(order: Order) -> Contents:
    contents = tell(order, find(order))
    member = contents.found.person.member
    with tenant_scope(order.tenant_id):
        note_contents(
            order,
            member_id=member.id if member else None,
            document_ids=contents.document_ids,
            n_originals=len(contents.originals),
            n_left_out=contents.n_left_out,
        )
    return contents


def _hand_out(held: Claim, contents: Contents, *, n_bytes: int) -> bool:
    """Hand the archive out unless something in it was deleted or erased since it was read."""
    ids = contents.document_ids
    member = contents.found.person.member
    with tenant_scope(held.tenant_id, custody=True):
        # Whoever hides one of them has done so, or waits and then finds the archive ready.
        lock_documents(ids)
        if documents_gone(ids) or (member is not None and is_being_erased(member.id)):
            return False
        mark_ready(contents.order, held, n_bytes=n_bytes)
        return True


def _begin_again(held: Claim) -> None:
    """Have it made anew, some times: what changes each time it is looked at is said to, and not tried for ever."""
    names = {"object_id": str(held.object_id), "attempt": held.attempt}
    if held.attempt >= MOST_BEGUN:
        logger.warning("export.kept_changing", extra=names)
        _fail(held, because="changing")
        return
    logger.info("export.begun_again", extra=names)
    put_back(held, delay_s=min(MAX_DELAY_S, 2.0 ** (held.attempt - 1)))


def _fail(held: Claim, *, because: End) -> None:
    with tenant_scope(held.tenant_id):
        keep(held)
        end_export(export_id=held.object_id, because=because)
        cancel(held.kind, object_id=held.object_id)


def _finish(held: Claim) -> None:
    with tenant_scope(held.tenant_id):
        finish(held)
