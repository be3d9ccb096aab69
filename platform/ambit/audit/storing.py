"""Put what was signed into a bucket, one object for what was due, in the order in which it was signed.

A copy that fails is tried again until it is there: none is left out, and signing waits for none.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import connections, transaction
from django.utils import timezone

from ambit.audit.bucket import Bucket, BucketFailed
from ambit.audit.copies import COPIED_AT_ONCE, Note, select_notes, select_rows
from ambit.audit.sequence import SEQUENCER
from ambit.audit.verify import NOTE_END
from tenants.ids import public_id

logger = logging.getLogger(__name__)

BUCKET = "bucket"
# Between two rounds while copies fail: twice as long each time.
LONGEST_WAIT_S = 900.0
_BEHIND = "SELECT tenant_id, stored_size FROM audit_log WHERE stored_size < size ORDER BY tenant_id"
_STORED = """
UPDATE audit_log SET stored_size = greatest(stored_size, %s), stored_at = %s WHERE tenant_id = %s
"""
_SAY = """
INSERT INTO audit_copying (place, n_behind, n_tries, fault, failing_since, at)
VALUES (%(place)s, %(behind)s, %(tries)s, %(fault)s, CASE WHEN %(fault)s <> '' THEN %(now)s END, %(now)s)
ON CONFLICT (place) DO UPDATE SET n_behind = excluded.n_behind, n_tries = excluded.n_tries,
  fault = excluded.fault, at = excluded.at, failing_since =
    CASE WHEN excluded.fault <> '' THEN coalesce(audit_copying.failing_since, excluded.at) END
"""
_FORGET = "DELETE FROM audit_copying WHERE place = %s"


@dataclass(slots=True)
class Stored:
    """What a round did: how many checkpoints, and for how many tenants not all."""

    n_copied: int = 0
    n_behind: int = 0
    fault: str = ""


@dataclass(slots=True)
class Keeper:
    """Copies round by round, and waits longer after each that failed."""

    bucket: Bucket
    every_s: float
    n_tries: int = field(default=0, init=False)
    _said: Stored | None = field(default=None, init=False)

    def go_round(self) -> Stored:
        """Copy what is due, and say where it stands for the web server to show."""
        done = store_checkpoints(self.bucket)
        self.n_tries = self.n_tries + 1 if done.fault else 0
        if done.fault:
            names = {"place": BUCKET, "fault": done.fault, "n_behind": done.n_behind}
            logger.error("audit.copy_failed", extra=names | {"retry_s": self.wait_s()})
        elif done.n_copied:
            logger.info("audit.stored", extra={"n_copied": done.n_copied})
        said = Stored(0, done.n_behind, done.fault)
        if done.fault or said != self._said:
            say(done, n_tries=self.n_tries)
            self._said = said
        return done

    def wait_s(self) -> float:
        """Return how long to wait for the next round, in seconds."""
        return min(LONGEST_WAIT_S, self.every_s * 2.0 ** min(self.n_tries, 10))

    def run(self, stopped: threading.Event) -> None:
        """Go round until stopped; what is wrong now may be right at the next."""
        try:
            while not stopped.wait(self.wait_s()):
                try:
                    self.go_round()
                except Exception as error:  # noqa: BLE001 - the thread's outermost edge
                    self.n_tries += 1
                    names = {"place": BUCKET, "fault": type(error).__name__}
                    logger.error("audit.copy_failed", extra=names)  # noqa: TRY400
                    connections.close_all()
        finally:
            connections.close_all()


def store_checkpoints(bucket: Bucket) -> Stored:
    """Put all checkpoints into the bucket that are not there yet; say what was in the way.

    After a kill some may be there twice, in objects of other names; none is left out.
    """
    done = Stored()
    behind = select_rows(_BEHIND, [])
    for n_before, (tenant_id, size) in enumerate(behind):
        try:
            done.n_copied += _store(bucket, tenant_id, size)
        except BucketFailed as error:
            done.fault = error.fault
            done.n_behind += 1
            if error.fault not in {"Differs", "NotLocked"}:
                # The others would wait for the same.
                done.n_behind += len(behind) - n_before - 1
                return done
    return done


def _store(bucket: Bucket, tenant_id: UUID, size: int) -> int:
    n_copied = 0
    while notes := select_notes(tenant_id, above=size, limit=COPIED_AT_ONCE):
        content = "".join(note.rstrip("\n") + NOTE_END for _, _, note in notes).encode()
        bucket.put(_key(tenant_id, notes, content), content)
        size = notes[-1][0]
        with transaction.atomic(using=SEQUENCER), connections[SEQUENCER].cursor() as cursor:
            cursor.execute(_STORED, [size, timezone.now(), tenant_id])
        n_copied += len(notes)
    return n_copied


def _key(tenant_id: UUID, notes: list[Note], content: bytes) -> str:
    """Return a name by which objects are in order, and which no other content has."""
    first, last = notes[0][0], notes[-1][0]
    told = hashlib.sha256(content).hexdigest()[:16]
    return f"{public_id('tenant', tenant_id)}/{first:015}-{last:015}-{told}.notes"


def say(done: Stored, *, n_tries: int) -> None:
    """Note where copying stands, for the web server and its figures."""
    values: dict[str, Any] = {
        "place": BUCKET,
        "behind": done.n_behind,
        "tries": n_tries,
        "fault": done.fault,
        "now": timezone.now(),
    }
    with transaction.atomic(using=SEQUENCER), connections[SEQUENCER].cursor() as cursor:
        cursor.execute(_SAY, values)


def forget() -> None:
    """Take the note of a bucket away that is no longer set."""
    with transaction.atomic(using=SEQUENCER), connections[SEQUENCER].cursor() as cursor:
        cursor.execute(_FORGET, [BUCKET])
