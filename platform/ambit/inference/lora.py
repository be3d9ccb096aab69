"""Load adapters into every replica and take them out again; for workers, never for a request."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import httpx2

from ambit.inference.operating import ReplicaFailed, call, operated_replicas, served_models
from ambit.inference.replicas import Replica
from ambit.inference.wire import check_adapter

logger = logging.getLogger(__name__)

# Weights are read from the server's disk meanwhile.
LOAD_S = 120.0
ASK_S = 10.0


class AdapterNotLoaded(Exception):
    """A replica refused the adapter: no such path there, too high a rank, or the name is taken."""

    def __init__(self, *, replica: str, status: int) -> None:
        super().__init__(f"replica {replica} refused the adapter ({status})")
        self.replica = replica
        self.status = status


def load_adapter(*, name: str, path: str) -> None:
    """Load the adapter at this path, a path of the servers, into every replica; again does nothing.

    A name once loaded stands for one path for ever: vLLM's cached blocks hold the name. Raises
    AdapterNotLoaded or ReplicaFailed of the first replica at fault, after trying all of them, and
    InvalidAdapterName.
    """
    check_adapter(name)

    def load(replica: Replica) -> None:
        asked = {"lora_name": name, "lora_path": path}
        status, _ = call(replica, "POST", "/v1/load_lora_adapter", timeout_s=LOAD_S, body=asked)
        if status != httpx2.codes.OK and _served_path(replica, name) != path:
            raise AdapterNotLoaded(replica=replica.label, status=status)

    _on_every_replica(load)
    logger.info("adapter.loaded", extra={"adapter": name})


def unload_adapter(*, name: str) -> None:
    """Take the adapter out of every replica; one that has not got it is done.

    From then on nobody can ask for it. Its weights stay in the memory of the server, unreachable,
    until others need the room or it restarts. Raises ReplicaFailed of the first replica at fault,
    after trying all of them, and InvalidAdapterName.
    """
    check_adapter(name)

    def unload(replica: Replica) -> None:
        status, _ = call(
            replica, "POST", "/v1/unload_lora_adapter", timeout_s=ASK_S, body={"lora_name": name}
        )
        if status != httpx2.codes.OK and _served_path(replica, name) is not None:
            raise ReplicaFailed(replica=replica.label, reason="not_offered", status=status)

    _on_every_replica(unload)
    logger.info("adapter.unloaded", extra={"adapter": name})


def loaded_adapters() -> set[str]:
    """Return the names loaded in EVERY replica; raises ReplicaFailed where one cannot be asked."""
    return set.intersection(*_loaded_in_each())


def loaded_anywhere() -> set[str]:
    """Return the names loaded in any replica; raises ReplicaFailed where one cannot be asked."""
    return set().union(*_loaded_in_each())


def _loaded_in_each() -> list[set[str]]:
    return [
        {str(model.get("id")) for model in served_models(r, timeout_s=ASK_S) if _is_adapter(model)}
        for r in operated_replicas()
    ]


def _on_every_replica(do: Callable[[Replica], None]) -> None:
    faults: list[ReplicaFailed | AdapterNotLoaded] = []
    for replica in operated_replicas():
        try:
            do(replica)
        except (ReplicaFailed, AdapterNotLoaded) as fault:
            logger.warning("adapter.replica_failed", extra={"replica": fault.replica})
            faults.append(fault)
    if faults:
        raise faults[0]


def _served_path(replica: Replica, name: str) -> str | None:
    """Return from where the replica loaded the adapter, None where it serves none of that name."""
    for model in served_models(replica, timeout_s=ASK_S):
        if model.get("id") == name and _is_adapter(model):
            return str(model.get("root"))
    return None


def _is_adapter(model: dict[str, Any]) -> bool:
    return bool(model.get("parent"))
