"""What a case can wait for, and that it does: the ledger's and the scrub's own reasons, and the tenant's keys."""

from __future__ import annotations

from uuid import UUID

from ambit.erasure import tombstones
from ambit.erasure.cases import lock_case
from ambit.scrub import blocked

KEYS = "keys"
WORDS = (
    blocked.WORDS
    | tombstones.WORDS
    | {
        KEYS: "keys of the keyring cannot be opened: the key store does not answer, or a key is lost; the operator"
        " looks at /readyz and the log",
    }
)


def note_keys_missing(case_id: UUID) -> None:
    """Note that a case waits for keys; raise CaseNotFound."""
    case = lock_case(case_id)
    case.waits_for = KEYS
    case.save(update_fields=["waits_for"])
