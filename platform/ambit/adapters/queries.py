"""Read adapters: what an asker may use, and the records for a tenant's administrators."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import QuerySet

from ambit.adapters.models import Adapter, AdapterState, TrainingDocument
from ambit.adapters.types import AdapterView, ServedAdapter
from ambit.corpus.queries import WrongClearance
from ambit.corpus.types import Clearance
from tenants.scope import current_tenant_id


class AdapterNotFound(LookupError):
    """There is no such adapter, it is not live, or the caller may not use it: not told apart."""


def usable_adapter(*, adapter_id: UUID, clearance: Clearance) -> ServedAdapter:
    """Return a live adapter all of whose training documents the asker can see; raise AdapterNotFound."""
    row = _usable(clearance).filter(pk=adapter_id).first()
    if row is None:
        raise AdapterNotFound(adapter_id)
    return ServedAdapter(id=row.pk, served_name=row.served_name, base=row.base)


_USABLE = """
SELECT id FROM adapters_adapter
WHERE tenant_id = %s AND id = ANY (%s) AND state = %s AND base = %s AND audience_ids <@ %s::uuid[]
ORDER BY id
"""
_USABLE_HELD = _USABLE + "FOR SHARE"


def usable_adapters(
    *, adapter_ids: Collection[UUID], clearance: Clearance, locking: bool = True
) -> set[UUID]:
    """Return those of the adapters that the asker may use now, and with locking hold them so until commit.

    Shared row locks, as of documents: what is being retired at this moment is waited for, and then not returned.
    """
    _check(clearance)
    if not adapter_ids or clearance.member_id is None:
        return set()
    values: list[Any] = [
        clearance.tenant_id,
        list(adapter_ids),
        AdapterState.LIVE,
        settings.AMBIT_LORA_BASE,
        list(clearance.audience_ids),
    ]
    with connection.cursor() as cursor:
        if locking:
            cursor.execute(_USABLE_HELD, values)
        else:
            cursor.execute(_USABLE, values)
        return {row[0] for row in cursor.fetchall()}


def adapters_trained_on(document_ids: Collection[UUID]) -> list[UUID]:
    """Return the adapters, whatever became of them, that were trained on any of these documents."""
    found = TrainingDocument.objects.filter(document_id__in=document_ids)
    return list(found.values_list("adapter_id", flat=True).distinct())


def trained_on(adapter_ids: Collection[UUID]) -> QuerySet[TrainingDocument, UUID]:
    """Return the ids of the documents that these adapters were trained on, whatever became of them."""
    found = TrainingDocument.objects.filter(adapter_id__in=adapter_ids)
    return found.values_list("document_id", flat=True)


def adapters_for(*, clearance: Clearance) -> list[AdapterView]:
    """Return the adapters that the asker may use, newest first."""
    return [view_of(row) for row in _usable(clearance).order_by("-pk")]


def get_usable(*, adapter_id: UUID, clearance: Clearance) -> AdapterView:
    """Return the record of an adapter that the asker may use; raise AdapterNotFound."""
    row = _usable(clearance).filter(pk=adapter_id).first()
    if row is None:
        raise AdapterNotFound(adapter_id)
    return view_of(row)


def get_adapter(*, adapter_id: UUID) -> AdapterView:
    """Return any adapter of the tenant in scope, for its administrators; raise AdapterNotFound."""
    row = Adapter.objects.filter(pk=adapter_id).first()
    if row is None:
        raise AdapterNotFound(adapter_id)
    return view_of(row)


def list_adapters(*, after: UUID | None, limit: int) -> list[AdapterView]:
    """Return the tenant's adapters newest first, the erased too, for its administrators."""
    found = Adapter.objects.order_by("-pk")
    return [view_of(row) for row in (found.filter(pk__lt=after) if after else found)[:limit]]


def _usable(clearance: Clearance) -> QuerySet[Adapter]:
    """Return what the asker may use; for a custodian, who never asks, nothing."""
    _check(clearance)
    if clearance.member_id is None:
        return Adapter.objects.none()
    return Adapter.objects.filter(
        state=AdapterState.LIVE,
        # One that was trained for another model would not load, or answer with noise.
        base=settings.AMBIT_LORA_BASE,
        audience_ids__contained_by=list(clearance.audience_ids),
    )


def _check(clearance: Clearance) -> None:
    if clearance.tenant_id != current_tenant_id():
        raise WrongClearance("the clearance is of another tenant")


def view_of(row: Adapter) -> AdapterView:
    """Return a row's record."""
    return AdapterView(
        id=row.pk,
        name=row.name,
        base=row.base,
        rank=row.rank,
        sha256=row.sha256,
        n_bytes=row.n_bytes,
        n_documents=row.n_documents,
        state=row.state,  # type: ignore[arg-type]  # one of the states
        registered_by_id=row.registered_by_id,
        registered_at=row.registered_at,
        live_at=row.live_at,
        retired_at=row.retired_at,
        retired_because=row.retired_because,  # type: ignore[arg-type]  # written here and by the trigger
        retired_for_id=row.retired_for_id,
        erased_at=row.erased_at,
        loaded_at=row.loaded_at,
        load_fault=row.load_fault,
    )
