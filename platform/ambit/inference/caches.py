"""Empty the replicas' prefix caches, so that no request finds what was computed from erased text, whatever its salt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import httpx2

from ambit.inference.operating import ReplicaFailed, call, operated_replicas
from ambit.inference.replicas import Replica

RESET_S = 20.0
# Requests at work let go of their blocks and are computed again; without that a busy server, whose
# blocks are always held, never empties its cache. External: also what a connector keeps elsewhere.
RESET_PATH = "/reset_prefix_cache?reset_running_requests=true&reset_external=true"

ResetOutcome = Literal["emptied", "held", "not_offered", "credentials", "unreachable", "failed"]


@dataclass(frozen=True, slots=True)
class CacheReset:
    """What became of one replica's cache; the replica is named by its place in the setting."""

    replica: str
    outcome: ResetOutcome


def reset_prefix_caches() -> list[CacheReset]:
    """Ask every replica to empty its prefix cache, and return what each said; none where none is set.

    Not needed for sealing: another salt epoch puts the blocks out of reach. NEVER raises for a
    replica: `not_offered` where it has no such path, as recommended for those without a private one.
    """
    try:
        known = operated_replicas()
    except ReplicaFailed:
        return []
    return [CacheReset(replica.label, _reset(replica)) for replica in known]


def _reset(replica: Replica) -> ResetOutcome:
    try:
        status, said = call(replica, "POST", RESET_PATH, timeout_s=RESET_S)
    except ReplicaFailed as fault:
        return fault.reason if fault.reason in {"credentials", "unreachable"} else "failed"
    if status in {httpx2.codes.NOT_FOUND, httpx2.codes.METHOD_NOT_ALLOWED}:
        return "not_offered"
    if status != httpx2.codes.OK or not isinstance(said, dict):
        return "failed"
    return "emptied" if said.get("success") is True else "held"
