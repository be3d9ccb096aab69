"""Keep the trail: number → sign → copy outside → let go of what is old."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import connections

from ambit.audit.checkpoints import Signer
from ambit.audit.closing import let_go_of_closing
from ambit.audit.copies import copy_checkpoints
from ambit.audit.retention import erase_old_values, kept_since
from ambit.audit.sequence import SEQUENCER, sequence_events
from ambit.keys.keyring import KeyUnavailable
from ambit.keys.signing import make_signing_key, signing_key

# What the log is called in its notes.
NAME = "ambit"


@dataclass(frozen=True, slots=True)
class Kept:
    """What a round did."""

    n_events: int
    n_checkpoints: int
    n_copied: int
    n_erased: int

    def __bool__(self) -> bool:
        """Say whether there was anything to do."""
        return any((self.n_events, self.n_copied, self.n_erased))


def keep_trail() -> Kept:
    """Bring every tenant's trail up to what was committed; may be run again at any time.

    Raises KeyUnavailable where the signing key is lost: events wait for it, none is lost.
    """
    done = sequence_events(trail_signer(may_make=True))
    return Kept(
        n_events=done.n_events,
        n_checkpoints=done.n_checkpoints,
        n_copied=copy_checkpoints(),
        n_erased=erase_old_values(before=kept_since()) + let_go_of_closing(),
    )


def trail_signer(*, may_make: bool = False) -> Signer:
    """Return what signs; may_make: where nothing was ever signed, with a new key. Raises KeyUnavailable."""
    try:
        return Signer(NAME, signing_key())
    except KeyUnavailable:
        if not may_make or _was_signed():
            raise
    make_signing_key()
    return Signer(NAME, signing_key())


def _was_signed() -> bool:
    with connections[SEQUENCER].cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM audit_checkpoint)")
        (found,) = cursor.fetchone()
    return bool(found)
