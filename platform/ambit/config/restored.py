"""The start-up check after a restore: what was erased since the backup is hidden again, or nothing is served."""

from __future__ import annotations

from ambit.erasure.tombstones import faults


class NotReplayed(RuntimeError):
    """A backup was restored that may hold what was erased since; nothing may be served."""

    def __init__(self, found: list[str]) -> None:
        super().__init__("Refusing to start: " + "; ".join(found))


def require_replayed() -> None:
    """Raise NotReplayed where the database lacks what the ledger of tombstones says, all of it gone through."""
    found = faults(whole=True)
    if found:
        raise NotReplayed(found)


def tombstone_faults() -> list[str]:
    """Say why nothing may be served; of the ledger, only what was added since is gone through."""
    return faults(whole=False)
