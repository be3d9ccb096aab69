"""What adapters hold of their training documents: weights that were learnt from them.

A row of an erased one stays, without the tenant's word for it: that it was there, and what it was trained on, by id.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import QuerySet

from ambit.adapters.models import Adapter, AdapterState, TrainingDocument
from ambit.adapters.placing import NAME, destroy_adapter
from ambit.inference.lora import loaded_anywhere
from ambit.inference.operating import ReplicaFailed
from tenants.holding import Holding, HoldingFailed, Scope
from tenants.scope import current_tenant_id

AT_ONCE = 20
# Compared as text, so that every row is read and no index that found them is trusted.
_LEFT = """
SELECT a.served_name, a.state <> 'erased' OR a.name <> '' OR a.erased_at IS NULL
FROM adapters_adapter a
WHERE a.tenant_id = %(tenant)s AND a.id::text IN (
    SELECT t.adapter_id::text FROM adapters_trainingdocument t
    WHERE t.tenant_id = %(tenant)s AND t.document_id::text = ANY (%(documents)s))
"""


def count_adapters() -> int:
    """Count the adapters of the tenant in scope that are not erased."""
    return Adapter.objects.exclude(state=AdapterState.ERASED).count()


def destroy_adapters() -> int:
    """Destroy some adapters of the tenant in scope; return how many, 0 when none is left. Raises HoldingFailed."""
    rest = Adapter.objects.exclude(state=AdapterState.ERASED).order_by("pk")
    ids = list(rest.values_list("pk", flat=True)[:AT_ONCE])
    for adapter_id in ids:
        destroy_adapter(adapter_id)
    return len(ids)


def count_files_of_tenant(tenant_id: UUID) -> int:
    """Count folders that say they are the tenant's, listed from the store's root; raise HoldingFailed."""
    root = settings.AMBIT_ADAPTERS_DIR
    if not root:
        return 0
    if not os.path.isdir(root):
        if Path(settings.AMBIT_DATA_DIR) in Path(root).parents:
            return 0
        raise HoldingFailed(NAME)
    try:
        with os.scandir(root) as entries:
            return sum(_owner(entry) == str(tenant_id) for entry in entries)
    except OSError as error:
        raise HoldingFailed(NAME) from error


def _owner(entry: os.DirEntry[str]) -> str:
    said = Path(entry.path) / "ambit.json"
    return str(json.loads(said.read_text())["tenant"]) if said.is_file() else ""


def _covered(scope: Scope) -> QuerySet[Adapter]:
    trained = TrainingDocument.objects.filter(document_id__in=scope.document_ids)
    return Adapter.objects.filter(pk__in=trained.values("adapter_id"))


def _find(scope: Scope) -> int:
    return _covered(scope).exclude(state=AdapterState.ERASED).count()


def _destroy(scope: Scope) -> None:
    for adapter_id in _covered(scope).order_by("pk").values_list("pk", flat=True):
        destroy_adapter(adapter_id)


def _remains(scope: Scope) -> int:
    """Count rows that are not erased, files under their names, and names that a model server still knows."""
    if not scope.document_ids:
        return 0
    values: dict[str, Any] = {
        "tenant": current_tenant_id(),
        "documents": [str(one) for one in scope.document_ids],
    }
    with connection.cursor() as cursor:
        cursor.execute(_LEFT, values)
        rows = dict(cursor.fetchall())
    if not rows:
        return 0
    return sum(rows.values()) + _files_named(set(rows)) + _loaded(set(rows))


def _files_named(names: set[str]) -> int:
    try:
        found = os.listdir(settings.AMBIT_ADAPTERS_DIR)
        if not names <= set(found):
            # What bars each place stands in it: without that this is not the store that was emptied.
            raise HoldingFailed(NAME)
        places = [
            os.path.join(settings.AMBIT_ADAPTERS_DIR, one)
            for one in found
            if any(name in one for name in names)
        ]
        return sum(os.path.isdir(place) or os.path.getsize(place) > 0 for place in places)
    except OSError as error:
        raise HoldingFailed(NAME) from error


def _loaded(names: set[str]) -> int:
    if not settings.AMBIT_VLLM_ADMIN_URL:
        return 0
    try:
        return len(names & loaded_anywhere())
    except ReplicaFailed as error:
        raise HoldingFailed(NAME) from error


ADAPTERS = Holding(
    name=NAME,
    title="Adapters (LoRA) that were trained on the documents: their weights",
    found_by="the documents that each adapter was trained on",
    destroyed_by="retirement, unloading from every model server and deletion of the files; a model server may keep"
    " weights in its memory until they are evicted or it is started anew, where no request reaches them",
    verified_by="every adapter of the tenant, read row by row, a listing of the folder of weights, and each model"
    " server's own list",
    find=_find,
    destroy=_destroy,
    remains=_remains,
)
