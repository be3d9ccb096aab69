"""Every kind of work there is; workers/tasks.py holds one handler for each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class JobKind:
    """A kind of work: its queue, and how often it may be tried before a person must look."""

    name: str
    queue: str
    attempts: int


INGEST_VERSION = JobKind("ingest.version", queue="ingest", attempts=5)
REMOVE_DOCUMENT = JobKind("remove.document", queue="erase", attempts=1000)
ERASE = JobKind("erase.case", queue="erase", attempts=1000)

KINDS = {kind.name: kind for kind in (INGEST_VERSION, REMOVE_DOCUMENT, ERASE)}
# Erasures go first: a worker takes from the queues in this order.
QUEUES = ("erase", "ingest", "upkeep")
