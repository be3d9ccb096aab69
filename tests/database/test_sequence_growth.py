"""What numbering an event costs does not grow with the trail."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import connections, transaction

from ambit.audit.checkpoints import Signer
from ambit.audit.sequence import SEQUENCER, sequence_events
from tests.audit.trails import add_events
from tests.database.private import PrivateDatabase
from tests.database.worlds import make_tenant

SIGNER = Signer("ambit.test", Ed25519PrivateKey.generate())
N_EVENTS = 4000
_EVENTS = """
INSERT INTO tenants_auditevent
    (id, tenant_id, at, actor_kind, action, document_ids, chunk_ids, counts)
SELECT gen_random_uuid(), %s, now(), 'worker', 'x', '{}', '{}', '{}' FROM generate_series(1, %s)
"""
# As a planner chooses that knows of a table of one page only.
_SHORT = ("SET enable_indexscan = off", "SET enable_bitmapscan = off")
_GROWN = ("RESET enable_indexscan", "RESET enable_bitmapscan")
_ROWS_READ = """
SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'tenants_auditevent'
"""


def test_a_connection_of_when_the_trail_was_short_does_not_read_the_whole_for_each_event(
    bare: PrivateDatabase,
) -> None:
    tenant_id = make_tenant()
    add_events(tenant_id, 10)
    _run(*_SHORT)
    sequence_events(SIGNER)
    _run(*_GROWN)
    with bare.superuser() as connection:
        connection.execute(_EVENTS, [tenant_id, N_EVENTS])

    with transaction.atomic(using=SEQUENCER):
        numbered = sequence_events(SIGNER).n_events
        with connections[SEQUENCER].cursor() as cursor:
            cursor.execute(_ROWS_READ)
            (n_read,) = cursor.fetchone()

    assert numbered >= N_EVENTS
    # Half of N_EVENTS for each, were no plan made anew; for a round the planner may still err.
    assert n_read <= numbered * N_EVENTS / 10


def _run(*statements: str) -> None:
    with connections[SEQUENCER].cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
