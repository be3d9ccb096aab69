"""Why a scrub has to wait."""

from __future__ import annotations

from typing import Literal

Reason = Literal["snapshot", "lock", "log", "busy", "soon", "disk", "login"]
WORDS: dict[str, str] = {
    "snapshot": "a transaction, a replication slot or a standby may still see what was destroyed",
    "lock": "somebody holds on to a table that has to be rewritten",
    "log": "a replication slot or the archive keeps old segments of Postgres' log",
    "busy": "another scrub is under way",
    "soon": "tables were rewritten a moment ago; cases that come together share the next rewriting",
    "disk": "the database's disk is full: a table needs room for a second copy of itself",
    "login": "there is no login that may rewrite tables; the operator sets AMBIT_SCRUBBER_DATABASE_URL",
}


class ScrubBlocked(RuntimeError):
    """What was destroyed is still on disk and cannot be overwritten now; nothing is lost by waiting."""

    def __init__(
        self,
        reason: Reason,
        *,
        files: dict[str, int] | None = None,
        segment: str = "",
        retry_s: float | None = None,
    ) -> None:
        super().__init__(f"the scrub waits: {WORDS[reason]}")
        self.reason: Reason = reason
        # Files that were written in vain, which took what was destroyed along.
        self.files = files or {}
        # The segment of the log that has to go and was left behind.
        self.segment = segment
        # When to come again, where that is known; in seconds.
        self.retry_s = retry_s
