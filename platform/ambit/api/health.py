"""Probes: is the process alive, is everything it needs there."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from redis.exceptions import RedisError
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from ambit.api.permissions import PUBLIC
from ambit.api.shapes import Output
from ambit.api.views import AmbitView
from ambit.audit.outside import copy_places
from ambit.inference.embedding import EmbeddingRefused, EmbeddingUnavailable, embed_query
from ambit.inference.probes import probed_replicas
from ambit.keys.chosen import chosen_store
from ambit.metering.figures import metrics_lines

# A probe may come every second from several places; what it finds is asked once in this time.
FRESH_S = 2.0
PROBE_TEXT = "ready"
REDIS_TIMEOUT_S = 2
# Without these all is still found, and another server would not have them either. Without Redis accepted uploads are
# safe and wait, but answers are refused where requests or places on the model are limited. Signed events are safe in
# the database. Without the key store those whose keys are in memory go on. Without a model server nothing is written.
DELAYING = {"redis", "audit_copies", "key_store", "generation"}


class LiveOutput(Output):
    """Alive."""

    status = serializers.CharField()


class ReadyOutput(Output):
    """Ready, or which part is not."""

    status = serializers.ChoiceField(["ready", "not_ready"])
    parts = serializers.DictField(child=serializers.ChoiceField(["ready", "not_ready"]))


class LiveView(AmbitView):
    """Whether the process answers."""

    policies = {"GET": PUBLIC}

    @extend_schema(responses=LiveOutput)
    def get(self, request: Request) -> Response:
        """Say that the process is alive; asks nothing else."""
        return Response({"status": "live"})


class ReadyView(AmbitView):
    """Whether everything it needs is there."""

    policies = {"GET": PUBLIC}
    # Given by the composition root: what is wrong with the isolation of tenants.
    isolation_faults: Callable[[], list[str]] | None = None
    # And what was erased and is back from a backup.
    tombstone_faults: Callable[[], list[str]] | None = None

    @extend_schema(responses={200: ReadyOutput, 503: ReadyOutput})
    def get(self, request: Request) -> Response:
        """Say whether requests can be served, and which part is missing.

        200 also where parts are not ready without which searches go on; 503 takes a server out of service.
        """
        parts = _fresh_parts(self.isolation_faults, self.tombstone_faults)
        words = {name: "ready" if ok else "not_ready" for name, ok in parts.items()}
        ready = all(ok for name, ok in parts.items() if name not in DELAYING)
        body = {"status": "ready" if ready else "not_ready", "parts": words}
        if ready:
            return Response(body)
        return Response(body, status=503, headers={"Retry-After": "2"})


class MetricsView(AmbitView):
    """Figures of this process, of copies of the audit trail and of model servers; never a tenant's."""

    policies = {"GET": PUBLIC}

    @extend_schema(responses={(200, "text/plain"): OpenApiTypes.STR})
    def get(self, request: Request) -> HttpResponse:
        """Show the process' figures in Prometheus' text format."""
        process = psutil.Process()
        with process.oneshot():
            times = process.cpu_times()
            figures = {
                "process_cpu_seconds_total": ("counter", times.user + times.system),
                "process_resident_memory_bytes": ("gauge", process.memory_info().rss),
                "process_open_fds": ("gauge", process.num_fds()),
                "process_start_time_seconds": ("gauge", process.create_time()),
            }
        lines = [
            *metrics_lines(),
            *_copy_figures(),
            *_replica_figures(),
            "# TYPE ambit_build_info gauge",
            f'ambit_build_info{{version="{version("ambit")}"}} 1',
        ]
        for name, (kind, value) in figures.items():
            lines += [f"# TYPE {name} {kind}", f"{name} {value}"]
        return HttpResponse(
            "\n".join(lines) + "\n", content_type="text/plain; version=0.0.4; charset=utf-8"
        )


_last: dict[str, Any] = {"at": 0.0, "pid": 0, "parts": {}}


def _fresh_parts(
    isolation_faults: Callable[[], list[str]] | None,
    tombstone_faults: Callable[[], list[str]] | None,
) -> dict[str, bool]:
    now = time.monotonic()
    if _last["pid"] != os.getpid() or now - _last["at"] > FRESH_S:
        parts = {
            "postgres": _database_answers(),
            "redis": _redis_answers(),
            "embeddings": _embeddings_answer(),
            "isolation": _is_faultless(isolation_faults),
            "tombstones": _is_faultless(tombstone_faults),
            "keyring": Path(settings.AMBIT_KEYRING_DIR).is_dir(),
        }
        if (store := chosen_store()) is not None:
            parts["key_store"] = store.answers()
        parts |= _copies_arrive() | _answers_are_written()
        _last.update(at=time.monotonic(), pid=os.getpid(), parts=parts)
    found: dict[str, bool] = _last["parts"]
    return found


def _database_answers() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return False
    return True


def _redis_answers() -> bool:
    client = redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=REDIS_TIMEOUT_S, socket_connect_timeout=REDIS_TIMEOUT_S
    )
    try:
        return bool(client.ping())
    except RedisError:
        return False
    finally:
        client.close()


def _embeddings_answer() -> bool:
    try:
        embed_query(PROBE_TEXT)
    except (EmbeddingUnavailable, EmbeddingRefused):
        return False
    return True


def _is_faultless(faults: Callable[[], list[str]] | None) -> bool:
    if faults is None:
        return False
    try:
        return not faults()
    except DatabaseError:
        return False


def _copies_arrive() -> dict[str, bool]:
    """Say whether a bucket for copies of the audit trail takes them; nothing where there is none."""
    try:
        places = copy_places()
    except DatabaseError:
        return {}
    return {"audit_copies": not any(place.fault for place in places)} if places else {}


def _answers_are_written() -> dict[str, bool]:
    """Say whether any replica of the model server can be asked; nothing where none is configured."""
    if not settings.AMBIT_VLLM_URL:
        return {}
    return {"generation": any(replica.is_ready for replica in probed_replicas())}


def _replica_figures() -> list[str]:
    """Return how each replica stands, by its place in the setting: its address is nobody's business."""
    found = probed_replicas()
    if not found:
        return []
    up, resting = "ambit_generation_replica_up", "ambit_generation_replica_circuit_open"
    return [
        f"# TYPE {up} gauge",
        *(f'{up}{{replica="{r.label}"}} {int(r.answer == "serves")}' for r in found),
        f"# TYPE {resting} gauge",
        *(f'{resting}{{replica="{r.label}"}} {int(r.circuit != "closed")}' for r in found),
    ]


def _copy_figures() -> list[str]:
    try:
        places = copy_places()
    except DatabaseError:
        return []
    name = "ambit_audit_copy_failing_seconds"
    now = time.time()
    figures = [
        f'{name}{{place="{p.name}"}} {now - p.failing_since.timestamp() if p.failing_since else 0:.0f}'
        for p in places
    ]
    return [f"# TYPE {name} gauge", *figures] if figures else []
