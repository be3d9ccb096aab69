"""Choose which replica of the model server is asked, and leave one alone that fails."""

from __future__ import annotations

import hashlib
import threading
import time
from dataclasses import dataclass, field
from typing import Literal

import httpx2
from django.conf import settings

# So many failures in a row open a replica's circuit: it is asked nothing for OPEN_S, then one
# request at a time, until one of them is answered.
FAILURES_TO_OPEN = 3
OPEN_S = 10.0

CircuitState = Literal["closed", "open", "half_open"]


class ServersNotConfigured(ValueError):
    """The settings name no server that can be asked."""


@dataclass(frozen=True, slots=True)
class Replica:
    """One server; its label is its place in the setting, from 1, and tells nothing of its address."""

    label: str
    # Its root, without the trailing /v1.
    url: str = field(repr=False)
    key: str = field(repr=False)

    def address(self, path: str) -> httpx2.URL:
        """Return the URL of a path of this server."""
        return httpx2.URL(self.url + path)


@dataclass(frozen=True, slots=True)
class ReplicaState:
    """How a replica stands, as this process found it."""

    url_label: str
    state: CircuitState


@dataclass(slots=True)
class _Circuit:
    failures: int = 0
    # When it opened, by the monotonic clock; None: it is closed.
    opened_at: float | None = None
    # A half-open circuit lets one request through at a time.
    is_probed: bool = False

    def state(self) -> CircuitState:
        if self.opened_at is None:
            return "closed"
        return "half_open" if time.monotonic() - self.opened_at >= OPEN_S else "open"


# By root URL, of this process alone; a lock, since the admin pages ask from threads of their own.
_CIRCUITS: dict[str, _Circuit] = {}
_LOCK = threading.Lock()


def replicas() -> list[Replica]:
    """Return the servers that write answers, in the setting's order; raises ServersNotConfigured."""
    return read_servers(urls=settings.AMBIT_VLLM_URL, key=settings.AMBIT_VLLM_KEY)


def read_servers(*, urls: str, key: str) -> list[Replica]:
    """Return the servers that a setting names, comma separated; raises ServersNotConfigured."""
    # A key that is no header value would be quoted in the HTTP library's error.
    if not (key.isascii() and key.isprintable()):
        raise ServersNotConfigured
    roots = [url.strip().rstrip("/").removesuffix("/v1") for url in urls.split(",")]
    for root in roots:
        try:
            parsed = httpx2.URL(root)
        except httpx2.InvalidURL:
            raise ServersNotConfigured from None
        if parsed.scheme not in {"http", "https"} or not parsed.host:
            raise ServersNotConfigured
    return [Replica(str(number), root, key) for number, root in enumerate(roots, start=1)]


def in_order_for(salt: str) -> list[Replica]:
    """Return all replicas, the salt's own first: who shares a salt shares a replica's prefix cache.

    Rendezvous hashing: where a replica goes, its salts alone move, each to the next of its own order.
    """
    return sorted(
        replicas(),
        key=lambda r: hashlib.blake2b(f"{salt} {r.url}".encode(), digest_size=8).digest(),
    )


def admit(replica: Replica) -> bool:
    """Say whether the replica may be asked now; a yes is followed by one of the three below."""
    with _LOCK:
        circuit = _CIRCUITS.setdefault(replica.url, _Circuit())
        state = circuit.state()
        if state == "half_open":
            if circuit.is_probed:
                return False
            circuit.is_probed = True
        return state != "open"


def note_answering(replica: Replica, *, whole: bool) -> None:
    """Close the circuit; until an answer came whole, one more failure opens it again."""
    with _LOCK:
        circuit = _CIRCUITS.setdefault(replica.url, _Circuit())
        circuit.failures = 0 if whole else min(circuit.failures, FAILURES_TO_OPEN - 1)
        circuit.opened_at = None
        circuit.is_probed = False


def note_failure(replica: Replica) -> bool:
    """Count a failure, and return whether it opened the circuit."""
    with _LOCK:
        circuit = _CIRCUITS.setdefault(replica.url, _Circuit())
        circuit.failures += 1
        circuit.is_probed = False
        if circuit.failures < FAILURES_TO_OPEN:
            return False
        was_closed = circuit.opened_at is None
        circuit.opened_at = time.monotonic()
        return was_closed


def note_nothing(replica: Replica) -> None:
    """Learn nothing of the replica: it is busy, or the asker left first."""
    with _LOCK:
        _CIRCUITS.setdefault(replica.url, _Circuit()).is_probed = False


def replica_states() -> list[ReplicaState]:
    """Return how each replica stands in this process, in the setting's order; none where none is set."""
    try:
        known = replicas()
    except ServersNotConfigured:
        return []
    with _LOCK:
        return [ReplicaState(r.label, _CIRCUITS.get(r.url, _Circuit()).state()) for r in known]


def forget_circuits() -> None:
    """Close every circuit of this process."""
    with _LOCK:
        _CIRCUITS.clear()
