"""Register, promote and retire adapters."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from ambit.adapters.models import Adapter, AdapterState, TrainingDocument
from ambit.adapters.queries import AdapterNotFound
from ambit.adapters.store import require_store, write_adapter
from ambit.adapters.types import Registered, TrainedOn
from ambit.adapters.weights import LoraConfig
from ambit.corpus.queries import current_versions, reading
from ambit.corpus.types import Clearance, CurrentVersion
from ambit.jobs.kinds import PLACE_ADAPTER
from ambit.jobs.services import hurry
from tenants.audit import record
from tenants.ids import uuid7

# What still can be used, or can come to be.
OPEN = (AdapterState.CANDIDATE, AdapterState.LIVE)


class TrainingDocumentsUnknown(LookupError):
    """Training documents are not to be seen, or not the versions that are found now; carries their places."""

    def __init__(self, places: Iterable[int]) -> None:
        self.places = tuple(places)
        super().__init__(f"{len(self.places)} training documents")


class TrainingDocumentTwice(ValueError):
    """A document is named twice; nothing was registered."""


class NotPromotable(ValueError):
    """Only a candidate whose weights are stored can go live; carries the state it is in."""

    def __init__(self, state: str) -> None:
        super().__init__(state)
        self.state = state


class NotStored(OSError):
    """The weights could not be written; the adapter is retired and says so."""


def register_adapter(
    *,
    name: str,
    config: LoraConfig,
    sha256: str,
    n_bytes: int,
    trained_on: Sequence[TrainedOn],
    clearance: Clearance,
) -> Registered:
    """Make a candidate of what a member that can see all of it says it was trained on; weights come after.

    So no weights lie where no row leads. Raises TrainingDocumentsUnknown, TrainingDocumentTwice, AdaptersOff.
    """
    require_store()
    if clearance.member_id is None:
        raise TrainingDocumentsUnknown(range(len(trained_on)))
    found = _found(trained_on, clearance)
    adapter_id, served_name = uuid7(), f"a-{secrets.token_hex(16)}"
    with reading(clearance):
        Adapter.objects.create(
            id=adapter_id,
            name=name,
            served_name=served_name,
            base=config.base,
            rank=config.rank,
            sha256=sha256,
            n_bytes=n_bytes,
            audience_ids=sorted({one.audience_id for one in found.values()}),
            n_documents=len(found),
            registered_by_id=clearance.member_id,
        )
        _write_manifest(adapter_id, found, [one.document_id for one in trained_on])
    record("adapter.registered", object_id=adapter_id, counts={"documents": len(found)})
    return Registered(adapter_id, clearance.tenant_id, served_name)


def write_weights(made: Registered, *, config: LoraConfig, weights: Iterable[bytes]) -> None:
    """Write a candidate's weights, outside any transaction once its row is committed; raise NotStored."""
    try:
        write_adapter(
            served_name=made.served_name,
            tenant_id=made.tenant_id,
            config=config.as_json(),
            weights=weights,
        )
    except OSError as error:
        raise NotStored from error


def finish_registration(made: Registered) -> None:
    """Note that a candidate's weights are whole; one that was retired meanwhile is left to the workers."""
    candidate = Adapter.objects.filter(pk=made.id, state=AdapterState.CANDIDATE)
    if not candidate.update(stored_at=timezone.now()):
        hurry(PLACE_ADAPTER, object_id=made.id)
    record("adapter.stored", object_id=made.id)


def give_up_registration(*, adapter_id: UUID) -> None:
    """Retire a candidate whose weights could not be stored."""
    _retire(adapter_id, because="not_stored")


def promote_adapter(*, adapter_id: UUID) -> None:
    """Make a candidate live: whoever can see all it was trained on may use it; raise NotPromotable."""
    ready = Adapter.objects.filter(
        pk=adapter_id, state=AdapterState.CANDIDATE, stored_at__isnull=False
    )
    if not ready.update(state=AdapterState.LIVE, live_at=timezone.now()):
        raise NotPromotable(_row(adapter_id).state)
    # A trigger has added the work; a worker is told at once.
    hurry(PLACE_ADAPTER, object_id=adapter_id)
    record("adapter.promoted", object_id=adapter_id)


def retire_adapter(*, adapter_id: UUID) -> None:
    """Retire an adapter for good; one that is retired stays so. Raises AdapterNotFound."""
    _retire(adapter_id, because="by_hand")


def _retire(adapter_id: UUID, *, because: str) -> None:
    now = timezone.now()
    _row(adapter_id)
    retired = Adapter.objects.filter(pk=adapter_id, state__in=OPEN).update(
        state=AdapterState.RETIRED, retired_at=now, retired_because=because, noted_at=now
    )
    if retired:
        hurry(PLACE_ADAPTER, object_id=adapter_id)
        record("adapter.retired", object_id=adapter_id)


def _found(trained_on: Sequence[TrainedOn], clearance: Clearance) -> dict[UUID, CurrentVersion]:
    ids = [one.document_id for one in trained_on]
    if len(set(ids)) != len(ids):
        raise TrainingDocumentTwice
    found = current_versions(document_ids=ids, clearance=clearance)
    missing = [
        place
        for place, one in enumerate(trained_on)
        if one.document_id not in found or found[one.document_id].number != one.version
    ]
    if missing or not found:
        raise TrainingDocumentsUnknown(missing)
    return found


def _write_manifest(
    adapter_id: UUID, found: dict[UUID, CurrentVersion], in_order: Sequence[UUID]
) -> None:
    # In order of id, as everybody locks documents: a trigger holds each until the commit.
    rows = [
        TrainingDocument(
            adapter_id=adapter_id,
            document_id=document_id,
            version_id=found[document_id].id,
            audience_id=found[document_id].audience_id,
        )
        for document_id in sorted(found)
    ]
    try:
        with transaction.atomic():
            TrainingDocument.objects.bulk_create(rows, batch_size=1000)
    except IntegrityError as error:
        if "is not what it was" not in str(error):
            raise
        # One of them was changed just now: which is asked for again with the next try.
        raise TrainingDocumentsUnknown(range(len(in_order))) from error


def _row(adapter_id: UUID) -> Adapter:
    row = Adapter.objects.filter(pk=adapter_id).first()
    if row is None:
        raise AdapterNotFound(adapter_id)
    return row
