"""Bring model servers and disk in line with what adapters are; by workers, and by them alone.

Loading is explicit, by the name in our table: no request names an adapter to a model server that it has not. Each
adapter's turn is an advisory lock, held while servers are asked: an erasure waits for a load under way, and ends it.
"""

from __future__ import annotations

import logging
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.utils import timezone

from ambit.adapters.models import Adapter, AdapterState, TrainingDocument
from ambit.adapters.store import has_files, remove_adapter, served_path
from ambit.corpus.queries import some_wait_hidden
from ambit.inference.lora import (
    AdapterNotLoaded,
    load_adapter,
    loaded_adapters,
    unload_adapter,
)
from ambit.inference.operating import ReplicaFailed
from tenants.audit import record
from tenants.holding import HoldingFailed
from tenants.scope import current_tenant_id

logger = logging.getLogger(__name__)

NAME = "adapters"
AGAIN_S = 15.0
# While a training document is hidden its erasure destroys the weights and counts them; a restriction keeps them.
HIDDEN_S = 3600.0


def place_adapter(adapter_id: UUID) -> float | None:
    """Bring an adapter in line; return after how many seconds to look again, None when all is done.

    In the tenant's scope, in one transaction, at whose end its state is what was acted on.
    """
    _alone_with(adapter_id)
    while True:
        row = Adapter.objects.filter(pk=adapter_id).first()
        if row is None:
            return None
        again_s = _bring_in_line(row)
        # Behind this lock nobody retires it until the job's next time is written.
        held = Adapter.objects.select_for_update().get(pk=adapter_id)
        if held.state == row.state:
            return again_s


def destroy_adapter(adapter_id: UUID) -> None:
    """Destroy an adapter's weights wherever we can reach, then say that it is erased; raise HoldingFailed.

    One that is erased already is looked after again: a restored machine has an empty folder of weights.
    """
    _alone_with(adapter_id)
    still = Adapter.objects.filter(
        pk=adapter_id, state__in=(AdapterState.CANDIDATE, AdapterState.LIVE)
    )
    still.update(state=AdapterState.RETIRED, retired_at=timezone.now(), retired_because="hidden")
    row = Adapter.objects.get(pk=adapter_id)
    try:
        _take_down(row)
    except ReplicaFailed as error:
        raise HoldingFailed(NAME) from error
    _erase(row)


def _bring_in_line(row: Adapter) -> float | None:
    if row.state == AdapterState.LIVE:
        return _keep_loaded(row)
    if row.state != AdapterState.RETIRED:
        return None
    _note_retired(row)
    try:
        _take_down(row)
        documents = TrainingDocument.objects.filter(adapter_id=row.pk)
        if some_wait_hidden(document_ids=documents.values_list("document_id", flat=True)):
            return HIDDEN_S
        _erase(row)
        record("adapter.erased", object_id=row.pk)
        # Its state is another by now, and is seen on the next look.
    except (ReplicaFailed, HoldingFailed) as error:
        names = {"adapter_id": str(row.pk), "error": type(error).__name__}
        logger.warning("adapters.retired_waits", extra=names)
        return AGAIN_S
    return None


def _keep_loaded(row: Adapter) -> float:
    fault = _load(row)
    loaded_at = None if fault else row.loaded_at or timezone.now()
    if (loaded_at, fault) != (row.loaded_at, row.load_fault):
        Adapter.objects.filter(pk=row.pk).update(loaded_at=loaded_at, load_fault=fault)
        names = {"adapter_id": str(row.pk), "fault": fault}
        logger.warning("adapters.loading_changed", extra=names)
    return AGAIN_S if fault == "unreachable" else float(settings.AMBIT_ADAPTERS_CHECK_S)


def _load(row: Adapter) -> str:
    """Return why an adapter is not loaded; empty: it is."""
    if not settings.AMBIT_VLLM_ADMIN_URL:
        return "no_server"
    if row.base != settings.AMBIT_LORA_BASE:
        return "other_base"
    if not has_files(row.served_name):
        return "no_files"
    try:
        if row.served_name not in loaded_adapters():
            load_adapter(name=row.served_name, path=served_path(row.served_name))
    except AdapterNotLoaded:
        return "refused"
    except ReplicaFailed:
        return "unreachable"
    return ""


def _take_down(row: Adapter) -> None:
    """Unload an adapter everywhere; raise ReplicaFailed."""
    if settings.AMBIT_VLLM_ADMIN_URL:
        unload_adapter(name=row.served_name)
    if row.loaded_at is not None or row.load_fault:
        Adapter.objects.filter(pk=row.pk).update(loaded_at=None, load_fault="")


def _erase(row: Adapter) -> None:
    remove_adapter(row.served_name)
    Adapter.objects.filter(pk=row.pk, state=AdapterState.RETIRED).update(
        state=AdapterState.ERASED, erased_at=timezone.now(), name=""
    )


def _note_retired(row: Adapter) -> None:
    """Put into the audit trail, once, what a trigger did; what a person did is there."""
    if row.noted_at is None:
        Adapter.objects.filter(pk=row.pk).update(noted_at=timezone.now())
        documents = [row.retired_for_id] if row.retired_for_id else []
        record("adapter.retired", object_id=row.pk, document_ids=documents)


def _alone_with(adapter_id: UUID) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))",
            [f"ambit.adapter.{current_tenant_id()}.{adapter_id}"],
        )
