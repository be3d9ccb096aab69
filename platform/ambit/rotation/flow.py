"""Rotate a tenant's wrapping key: add → rewrap → settle → retire.

Stopped anywhere, the next run goes on: what is wrapped already stays, a new key that was added is used, and an
old one goes only when nothing lies under it and nobody can still be about to put something there.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from uuid import UUID

from ambit.keys.keyring import (
    TenantKeys,
    add_wrapping_key,
    has_tenant_keys,
    remove_wrapping_keys,
    tenant_keys,
)
from ambit.rotation.registry import WRAPPED
from ambit.rotation.rewrap import (
    NOTHING,
    count_by_version,
    count_older_transactions,
    database_time,
    rewrap_batch,
)
from tenants.audit import record
from tenants.scope import tenant_scope

# A machine that shares the keyring over a network may see its new file only so much later.
SEEN_BY_ALL_S = 60.0
PATIENCE_S = 120.0
PAUSE_S = 0.2


class StillInUse(RuntimeError):
    """An old key cannot be done without now: it was not destroyed, and another run goes on."""


@dataclass(frozen=True, slots=True)
class Rotated:
    """What became of a tenant's keys. Where there are none and nothing needs any, version is 0."""

    version: int
    n_rewrapped: int
    # Data keys that do not open: altered, or under a wrapping key that is lost.
    n_unopened: int


def rotate(tenant_id: UUID) -> Rotated:
    """Give a tenant a new wrapping key and wrap every data key by it; who acts is the caller's to say.

    A rotation that was cut short is ended instead of another one begun. Raises KeyUnavailable, and
    StillInUse where others hold on to rows.
    """
    if not has_tenant_keys(tenant_id) and not _lie_under(tenant_id):
        return Rotated(0, 0, 0)
    keys = tenant_keys(tenant_id)
    n_done, n_unopened = _rewrap_all(tenant_id, keys)
    if not n_done:
        keys = _add(tenant_id)
        n_done, n_unopened = _rewrap_all(tenant_id, keys)
    return Rotated(keys.current, n_done, n_unopened)


def retire(
    tenant_id: UUID, *, seen_by_all_s: float = SEEN_BY_ALL_S, patience_s: float = PATIENCE_S
) -> tuple[int, ...]:
    """Destroy the old wrapping keys of a tenant under which nothing lies; return their versions.

    Waits until every machine has seen the current key and every transaction that may have wrapped by an old
    one has ended. Raises KeyUnavailable, and StillInUse where something still lies under an old one, which stays.
    """
    keys = tenant_keys(tenant_id)
    old = set(keys.wrapping) - {keys.current}
    if not old:
        return ()
    time.sleep(max(0.0, keys.added_at.get(keys.current, 0.0) + seen_by_all_s - time.time()))
    until = time.monotonic() + patience_s
    while True:
        _settle(tenant_id, until)
        # Whatever an older transaction put there is seen by now, and nobody puts anything there again.
        n_done, _ = _rewrap_all(tenant_id, keys)
        if not n_done:
            break
    used = {n: rows for n, rows in _lie_under(tenant_id).items() if n in old}
    if old - used.keys():
        with tenant_scope(tenant_id):
            record("keys.retired", counts={"version": len(old - used.keys())})
            remove_wrapping_keys(tenant_id, versions=old - used.keys())
    if used:
        raise StillInUse(f"{sum(used.values())} data keys lie under an old key and do not open")
    return tuple(sorted(old))


def _add(tenant_id: UUID) -> TenantKeys:
    with tenant_scope(tenant_id):
        record("keys.rotated")
        add_wrapping_key(tenant_id)
    return tenant_keys(tenant_id)


def _rewrap_all(tenant_id: UUID, keys: TenantKeys) -> tuple[int, int]:
    """Go through every place until a whole pass finds nothing to do; return rows done and not opened."""
    n_done = 0
    until = time.monotonic() + PATIENCE_S
    while True:
        n_now, n_unopened = _pass(tenant_id, keys.current)
        n_done += n_now
        left = sum(_left(keys, _lie_under(tenant_id)).values()) - n_unopened
        if not n_now and left <= 0:
            return n_done, n_unopened
        if not n_now:
            if time.monotonic() > until:
                raise StillInUse("somebody holds on to rows with data keys")
            time.sleep(PAUSE_S)


def _pass(tenant_id: UUID, current: int) -> tuple[int, int]:
    n_done = n_unopened = 0
    for place in WRAPPED:
        after: UUID | None = NOTHING
        while after is not None:
            with tenant_scope(tenant_id, custody=True):
                batch = rewrap_batch(place, current=current, after=after)
                if batch.n_done:
                    record("keys.rewrapped", counts={place.table: batch.n_done})
            n_done, n_unopened = n_done + batch.n_done, n_unopened + batch.n_unopened
            after = batch.last_id
    return n_done, n_unopened


def _lie_under(tenant_id: UUID) -> dict[int, int]:
    with tenant_scope(tenant_id, custody=True):
        return count_by_version()


def _left(keys: TenantKeys, counts: dict[int, int]) -> dict[int, int]:
    return {version: n for version, n in counts.items() if version != keys.current}


def _settle(tenant_id: UUID, until: float) -> None:
    with tenant_scope(tenant_id):
        moment = database_time()
    while True:
        with tenant_scope(tenant_id):
            if not count_older_transactions(moment):
                return
        if time.monotonic() > until:
            raise StillInUse("a transaction from before is still open")
        time.sleep(PAUSE_S)
