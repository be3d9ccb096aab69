"""No backup brings a tenant back: its end is written down outside before anything of it is destroyed."""

from __future__ import annotations

import time
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from django.test import override_settings

from ambit.config.restored import NotReplayed, require_replayed
from ambit.erasure.offboarding import Offboarding
from ambit.erasure.replay import replay_tombstones
from ambit.erasure.tombstones import DISPATCH, WORDS, begin_ledger, known_place
from ambit.tombstones import ledger
from ambit.tombstones.ledger import NOWHERE, Tombstone
from tenants.models import Tenant
from tests.database.erasures import inhabit
from tests.database.holding import hold
from tests.database.offboardings import (
    begin,
    certificate_of,
    full_town,
    rows_by_table,
    try_once,
    work_to_the_end,
)
from tests.database.private import PrivateDatabase

TRIES = 100


def _until_it_waits_for_the_ledger(tenant_id: UUID) -> Offboarding:
    """Let a worker try until every writer of before has ended."""
    for _ in range(TRIES):
        shown = try_once(tenant_id)
        if shown.waits_for == WORDS["ledger"]:
            return shown
        time.sleep(0.05)
    raise TimeoutError(f"it waits for: {shown.waits_for}")


def test_nothing_is_destroyed_before_its_end_is_written_down(
    superuser: psycopg.Connection, tmp_path: Path
) -> None:
    begin_ledger()
    town = full_town()
    begin(town.tenant_id)
    before = rows_by_table(superuser, town.tenant_id)
    (tmp_path / "file").write_text("")

    with override_settings(AMBIT_TOMBSTONES_DIR=tmp_path / "file"):
        shown = _until_it_waits_for_the_ledger(town.tenant_id)

    after = rows_by_table(superuser, town.tenant_id)
    assert after["corpus_chunkvector"] == before["corpus_chunkvector"] > 0
    assert {one.destroyed for one in shown.places} == {0}
    assert work_to_the_end(town.tenant_id).complete
    lines = [line.tombstone for line in ledger.read_after(NOWHERE)]
    assert [x.kind for x in lines if x.tenant_id == town.tenant_id][-1:] == ["tenant"]


def test_a_tenant_that_is_back_ends_again_before_anything_is_served(bare: PrivateDatabase) -> None:
    begin_ledger()
    town, neighbour = inhabit(n_chunks=1), inhabit(n_chunks=1)
    hold(town, documents=[town.about_bob])
    with ledger.opened(may_make=False) as book:
        book.read_after(known_place(using=DISPATCH))
        book.add(Tombstone("tenant", town.tenant_id, town.tenant_id))
    with pytest.raises(NotReplayed, match="1 tombstones are not replayed"):
        require_replayed()

    done = replay_tombstones()

    assert done.n_tenants == 1
    require_replayed()
    closing = Tenant.objects.using("operator").filter(closing_at__isnull=False)
    assert set(closing.values_list("pk", flat=True)) >= {town.tenant_id}
    assert work_to_the_end(town.tenant_id).complete
    assert "its second end" in certificate_of(town.tenant_id)["limits"][0]
    assert neighbour.tenant_id not in set(closing.values_list("pk", flat=True))
