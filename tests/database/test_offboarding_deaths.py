"""Whoever dies at whatever point of a tenant's end: the next worker ends it the same, and nothing is signed early."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import psycopg
import pytest

from ambit.audit.flow import keep_trail
from ambit.config.runtime.processes import ROOT
from ambit.erasure.places import PLACES, STAYS
from tests.database.dying_tenants import points, steps
from tests.database.offboardings import (
    begin,
    certificate_of,
    full_town,
    rows_by_table,
    work_to_the_end,
)

pytestmark = pytest.mark.long

SECONDS = 20
UNCOVERED = {"after queue", "after originals", "after wrapping_key"}


@contextmanager
def _killer() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "tests.database.dying_tenants"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "ambit.config.settings"},
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def _kill(killer: subprocess.Popen[str], tenant_id: UUID, point: str) -> int:
    assert killer.stdin is not None
    assert killer.stdout is not None
    killer.stdin.write(f"{tenant_id}\t{point}\n")
    killer.stdin.flush()
    return int(killer.stdout.readline())


def _kill_at(killer: subprocess.Popen[str], tenant_id: UUID, point: str) -> bool:
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        keep_trail()
        if _kill(killer, tenant_id, point) == signal.SIGKILL:
            return True
        # Another test's transaction is older, or has a table that is to be written anew.
        time.sleep(0.1)
    return False


def _chosen() -> list[str]:
    """Return each step, the end of what no transaction covers, and some other points: all of them take a minute."""
    every = points()
    always = {p for p in every if " step " in p or p in UNCOVERED}
    some = random.sample([p for p in every if p not in always], 4)
    return [point for point in every if point in {*always, *some, "before closing"}]


def test_the_points_are_read_from_the_code() -> None:
    assert steps() == [
        "take_up",
        "find",
        "lay_tombstone",
        "destroy",
        "scrub",
        "verify",
        "waits_for_audit",
        "certify",
    ]
    assert {point.partition(" ")[2] for point in points()} >= {p.name for p in PLACES if p.destroy}


def test_a_tenant_ends_the_same_whatever_kills_its_workers(superuser: psycopg.Connection) -> None:
    town, neighbour = full_town(), full_town()
    rows = rows_by_table(superuser, neighbour.tenant_id)
    kept = {t: n for t, n in rows.items() if not t.startswith("audit_")}
    before = rows_by_table(superuser, town.tenant_id)
    begin(town.tenant_id)

    with _killer() as killer:
        missed = [p for p in _chosen() if not _kill_at(killer, town.tenant_id, p)]
        receipts = superuser.execute(
            "SELECT count(*) FROM erasure_receipt WHERE tenant_id = %s", [town.tenant_id]
        ).fetchone()
    work_to_the_end(town.tenant_id)

    assert missed == []
    assert receipts == (before["erasure_receipt"],), "signed before it was true"
    said = certificate_of(town.tenant_id)
    assert (said["complete"], said["serial"]) == (True, 1)
    assert [o["name"] for o in said["holdings"] if o["destroyed"] != o["found"]] == []
    places = {one["name"]: one["found"] for one in said["holdings"]}
    tables = {p.table for p in PLACES if p.table}
    assert {t: places[t] for t in tables} == {t: before.get(t, 0) for t in tables}
    assert set(rows_by_table(superuser, town.tenant_id)) <= set(STAYS)
    left = rows_by_table(superuser, neighbour.tenant_id)
    assert {t: n for t, n in left.items() if not t.startswith("audit_")} == kept
