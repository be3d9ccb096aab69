"""Honour Idempotency-Key: what a key has made is kept as ids, and shown as it is today.

A key's row is written in the transaction of its effect. No body is kept, and no question: only a
keyed hash of the request, to refuse a key that comes back with another one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.db import connection
from django.utils import timezone
from rest_framework.request import Request

from ambit.api.permissions import Caller
from ambit.keys.sealing import keyed_hash
from tenants.models import IdempotencyKey
from tenants.scope import current_tenant_id

HEADER = "Idempotency-Key"
MAX_LENGTH = 200
KEPT = timedelta(hours=24)
FORGOTTEN_AT_ONCE = 20
# For what is done beside waiting for the model and writing: each step in the database, the question's vector.
STEPS_S = 60
# The status of a row whose work is still going on, in a transaction of its own.
UNDER_WAY = 0


class BadIdempotencyKey(ValueError):
    """The header is empty, too long or holds more than visible ASCII."""


class IdempotencyMismatch(ValueError):
    """The key was used before with another request; nothing was done."""


class IdempotencyBusy(RuntimeError):
    """The first request with this key is still under way."""


class KeyShownOnce(ValueError):
    """The first request with this key made an API key, whose text is kept nowhere."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """What the key has made already."""

    status: int
    object_ids: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class Slot:
    """A key's place, taken for the request in hand."""

    row_id: UUID


def begin(request: Request, caller: Caller, *, kind: str) -> Slot | Earlier | None:
    """Take the request's key, or return what it has made; None without one.

    Raises BadIdempotencyKey, IdempotencyMismatch, IdempotencyBusy.
    """
    given = request.headers.get(HEADER)
    if given is None:
        return None
    if not 1 <= len(given) <= MAX_LENGTH or not given.isascii() or not given.isprintable():
        raise BadIdempotencyKey
    key_hash = _hash(f"{caller.member_id}|{given}")
    _lock(caller.key_id, key_hash)
    request_hash = _hash(_fingerprint(request))
    row = IdempotencyKey.objects.filter(actor_id=caller.key_id, key_hash=key_hash).first()
    if row is not None and row.created_at < _oldest(row.status):
        row.delete()
        row = None
    if row is None:
        _forget_some()
        row = IdempotencyKey.objects.create(
            actor_id=caller.key_id,
            key_hash=key_hash,
            request_hash=request_hash,
            status=UNDER_WAY,
            object_kind=kind,
        )
        return Slot(row.pk)
    if row.object_kind != kind or not _is_same(row, request_hash):
        raise IdempotencyMismatch
    if row.status == UNDER_WAY:
        raise IdempotencyBusy
    return Earlier(row.status, tuple(row.object_ids))


def _forget_some() -> None:
    """Delete a few of the tenant's outlived rows: more than come in, so that none is kept for long."""
    outlived = IdempotencyKey.objects.filter(created_at__lt=timezone.now() - KEPT)
    oldest = outlived.select_for_update(skip_locked=True).order_by("created_at")[:FORGOTTEN_AT_ONCE]
    IdempotencyKey.objects.filter(pk__in=[row.pk for row in oldest]).delete()


def _is_same(row: IdempotencyKey, request_hash: str) -> bool:
    """Say whether a row is the request's own.

    Without a hash, something that it made is destroyed, and it is never made again. One object is
    shown as nothing; of several, some may live, and nothing tells whether they are this request's.
    """
    if row.request_hash == "":
        return len(row.object_ids) == 1
    return bool(row.request_hash == request_hash)


def finish(slot: Slot, *, status: int, object_ids: tuple[UUID, ...]) -> None:
    """Keep what the request made, in the transaction that made it."""
    IdempotencyKey.objects.filter(pk=slot.row_id).update(status=status, object_ids=list(object_ids))


def give_up(slot: Slot) -> None:
    """Free the key of a request that made nothing."""
    IdempotencyKey.objects.filter(pk=slot.row_id, status=UNDER_WAY).delete()


def _oldest(status: int) -> Any:
    if status == UNDER_WAY:
        # Whoever holds it gave up or died: an answer's deadline is long over. A place on the model is
        # waited for twice: to put a question that follows others anew, and to answer it.
        longest_s = settings.AMBIT_VLLM_TIMEOUT_S + 2 * settings.AMBIT_VLLM_QUEUE_S + STEPS_S
        return timezone.now() - timedelta(seconds=longest_s)
    return timezone.now() - KEPT


def _lock(actor_id: UUID, key_hash: str) -> None:
    name = f"ambit.idempotency.{current_tenant_id()}.{actor_id}.{key_hash}"
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [name])
        (mine,) = cursor.fetchone()
    if not mine:
        raise IdempotencyBusy


def _hash(text: str) -> str:
    digest = keyed_hash(text.encode(), tenant_id=current_tenant_id(), purpose="idempotency")
    return digest.hex()


def _fingerprint(request: Request) -> str:
    """Return the request as text that is equal for equal requests, whatever a form's boundary is."""
    body = request.data
    plain = {k: _plain(v) for k, v in body.items()} if isinstance(body, Mapping) else None
    return json.dumps([request.method, request.path, plain], sort_keys=True, default=str)


def _plain(value: Any) -> Any:
    if not isinstance(value, UploadedFile):
        return value
    digest = hashlib.sha256()
    for chunk in value.chunks():
        digest.update(chunk)
    value.seek(0)
    return [value.name, value.content_type, value.size, digest.hexdigest()]
