"""Ask each replica whether it is there and serves the configured model, for health and metrics."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from django.conf import settings

from ambit.inference.operating import ReplicaFailed, served_models
from ambit.inference.replicas import (
    CircuitState,
    Replica,
    ServersNotConfigured,
    replica_states,
    replicas,
)

# A probe must not wait for a server that hangs; and probes of several kinds share what was found.
PROBE_S = 2.0
FRESH_S = 5.0

Answer = Literal["serves", "other_model", "refuses_key", "silent"]


@dataclass(frozen=True, slots=True)
class ProbedReplica:
    """What a replica answers just now, and whether this process asks it for answers."""

    label: str
    answer: Answer
    circuit: CircuitState

    @property
    def is_ready(self) -> bool:
        """Whether questions can be written by it."""
        return self.answer == "serves" and self.circuit != "open"


_lock = threading.Lock()
_last: tuple[float, str, list[Answer]] = (0.0, "", [])


def probed_replicas() -> list[ProbedReplica]:
    """Return each replica as it was at most FRESH_S ago, in the setting's order; none where none is set."""
    try:
        known = replicas()
    except ServersNotConfigured:
        return []
    return [
        ProbedReplica(replica.label, answer, circuit.state)
        for replica, answer, circuit in zip(
            known, _fresh_answers(known), replica_states(), strict=True
        )
    ]


def _fresh_answers(known: list[Replica]) -> list[Answer]:
    global _last
    with _lock:
        at, asked, answers = _last
        if asked != settings.AMBIT_VLLM_URL or time.monotonic() - at > FRESH_S:
            with ThreadPoolExecutor(max_workers=min(8, len(known))) as threads:
                answers = list(threads.map(_ask, known))
            _last = (time.monotonic(), settings.AMBIT_VLLM_URL, answers)
        return answers


def _ask(replica: Replica) -> Answer:
    try:
        models = served_models(replica, timeout_s=PROBE_S)
    except ReplicaFailed as fault:
        return "refuses_key" if fault.reason == "credentials" else "silent"
    names = {model.get("id") for model in models}
    return "serves" if settings.AMBIT_VLLM_MODEL in names else "other_model"
