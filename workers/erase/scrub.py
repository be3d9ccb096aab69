"""Step 4 of 6. Overwrite on disk what was destroyed, and note what shows it.

What was destroyed is gone for every reader before; here its bytes go from Postgres' files.
"""

from __future__ import annotations

from django.conf import settings
from django.db import connections

from ambit.corpus import graphs
from ambit.erasure.disk import mark_of, note_scrubbed, note_waiting, segment_of
from ambit.erasure.types import Case
from ambit.jobs.broker import ARRANGE_GRAPHS, ask_for, wait_for_turn
from ambit.jobs.services import Claim, keep
from ambit.scrub import flow as rewriting
from ambit.scrub.blocked import ScrubBlocked
from tenants.audit import record
from tenants.queries import OPERATOR
from tenants.scope import tenant_scope

SCRUB = "scrub"


def scrub(held: Claim, case: Case) -> None:
    """Scrub what a case destroyed; raise ScrubBlocked, which the case remembers, and ClaimLost."""
    with tenant_scope(held.tenant_id, custody=True):
        keep(held)
        mark, since = mark_of(case.id), segment_of(case.id)
    if mark is None:
        return
    try:
        done = rewriting.scrub(mark, since=since, may_begin=wait_for_others, make_way=make_way)
    except ScrubBlocked as blocked:
        with tenant_scope(held.tenant_id, custody=True):
            keep(held)
            note_waiting(case.id, blocked)
        raise
    with tenant_scope(held.tenant_id, custody=True):
        keep(held)
        note_scrubbed(case.id, done)
        record("erasure.scrubbed", object_id=case.id, counts={"table": done.n_tables})


def wait_for_others() -> None:
    """Let some time pass between two rewritings: each is of all tenants' tables, whoever's rows were destroyed.

    A case that another's rewriting served needs none of its own, and does not wait for its turn. Raises ScrubBlocked.
    """
    every_s = settings.AMBIT_SCRUB_INTERVAL_S
    left_s = wait_for_turn(SCRUB, every_s=every_s) if every_s else 0.0
    if left_s:
        raise ScrubBlocked("soon", retry_s=left_s)


def make_way(table: str) -> None:
    """Have no vector graph built while searches wait for its table, where this worker may drop them."""
    # Who builds them again needs both.
    if table != graphs.TABLE or not {graphs.OWNER, OPERATOR} <= connections.settings.keys():
        return
    try:
        n_graphs = graphs.set_aside()
    except graphs.AlreadyArranging as error:
        raise ScrubBlocked("lock") from error
    if n_graphs:
        ask_for(ARRANGE_GRAPHS)
