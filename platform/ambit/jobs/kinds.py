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
# Destroys what a member deleted of its questions, but what is held; for that it wakes again.
REMOVE_CONVERSATION = JobKind("remove.conversation", queue="erase", attempts=1000)
ERASE = JobKind("erase.case", queue="erase", attempts=1000)
# Destroys everything of a tenant that ends; it alone outlives the tenant's other work.
OFFBOARD = JobKind("offboard.tenant", queue="erase", attempts=1000)
# Each wakes at its time, and again at the next.
ERASURE_ALARM = JobKind("erasure.alarm", queue="upkeep", attempts=1000)
# Looks once a day for what a tenant keeps no longer; there is one where a tenant has set a time.
RETENTION = JobKind("retention.round", queue="upkeep", attempts=1000)
# Makes what a person is given of themselves, and destroys it when its days are over.
EXPORT = JobKind("export.pack", queue="upkeep", attempts=10)
EXPORT_END = JobKind("export.end", queue="upkeep", attempts=1000)
# Tells one recipient one thing; how often is its own to say.
NOTICE = JobKind("notice.send", queue="notices", attempts=1000)
# Notes what one recipient is to be told of the audit trail, and wakes again after an hour.
CHECKPOINT_NOTICE = JobKind("notice.checkpoint", queue="upkeep", attempts=1000)
# Has model servers load a live adapter, and let go of one that is not; a trigger of the database adds it too.
PLACE_ADAPTER = JobKind("adapters.place", queue="upkeep", attempts=1000)

KINDS = {
    kind.name: kind
    for kind in (
        INGEST_VERSION,
        REMOVE_DOCUMENT,
        REMOVE_CONVERSATION,
        ERASE,
        OFFBOARD,
        ERASURE_ALARM,
        RETENTION,
        EXPORT,
        EXPORT_END,
        NOTICE,
        CHECKPOINT_NOTICE,
        PLACE_ADAPTER,
    )
}
# Erasures go first, and what others' servers may hold up last: a worker takes from the queues in this order.
QUEUES = ("erase", "ingest", "upkeep", "notices")
