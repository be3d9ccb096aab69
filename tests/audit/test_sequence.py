"""Every event gets its place, whatever else is going on; what was exported and signed proves it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import DatabaseError, ProgrammingError, connection, connections

from ambit.audit.checkpoints import Signer
from ambit.audit.models import Checkpoint, Leaf
from ambit.audit.sequence import sequence_events
from ambit.audit.verify import Key
from ambit.config.settings import EMBEDDED
from tenants.audit import record
from tenants.models import AuditEvent
from tenants.scope import tenant_scope
from tests.audit.trails import add_events, checked, exported
from tests.database.private import superuser_url
from tests.database.worlds import make_tenant, working

pytestmark = pytest.mark.usefixtures("database")
SIGNER = Signer("ambit.test", Ed25519PrivateKey.generate())
KEY = Key.read(SIGNER.key)


@pytest.fixture
def tenant_id() -> UUID:
    """Return a fresh tenant."""
    return make_tenant()


def numbered(tenant_id: UUID) -> set[UUID]:
    """Return the events that have their place, and see that there is no gap."""
    with tenant_scope(tenant_id):
        leaves = list(Leaf.objects.order_by("number"))
    assert [leaf.number for leaf in leaves] == list(range(len(leaves)))
    return {leaf.pk for leaf in leaves}


def written(tenant_id: UUID) -> set[UUID]:
    """Return all events."""
    with tenant_scope(tenant_id):
        return set(AuditEvent.objects.values_list("pk", flat=True))


def test_each_event_has_its_place_and_the_export_proves_it(tenant_id: UUID, tmp_path: Path) -> None:
    for n in (1, 300, 1500):
        add_events(tenant_id, n)
        sequence_events(SIGNER)

    assert numbered(tenant_id) == written(tenant_id)
    report = checked(exported(tenant_id, tmp_path), KEY)
    assert report.faults == []
    assert report.n_signed == report.n_events == len(written(tenant_id)) > 1800
    with tenant_scope(tenant_id):
        sizes = [0, *Checkpoint.objects.order_by("size").values_list("size", flat=True)]
    assert max(after - before for before, after in pairwise(sizes)) <= 1000


def test_a_transaction_that_ends_late_leaves_no_gap(tenant_id: UUID) -> None:
    import psycopg

    with psycopg.connect(superuser_url(EMBEDDED)) as slow:
        slow.execute("SELECT set_config('ambit.tenant_id', %s, true)", [str(tenant_id)])
        (late,) = slow.execute(
            "INSERT INTO tenants_auditevent (id, tenant_id, at, actor_kind, action, document_ids, chunk_ids, counts)"
            " VALUES (gen_random_uuid(), %s, now(), 'worker', 'search', '{}', '{}', '{}') RETURNING id",
            [tenant_id],
        ).fetchone() or (None,)
        add_events(tenant_id, 5)
        sequence_events(SIGNER)
        before = numbered(tenant_id)
        slow.commit()
    sequence_events(SIGNER)

    assert before < numbered(tenant_id) == written(tenant_id)
    assert late not in before
    assert late in numbered(tenant_id)


def test_what_is_undone_has_no_number(tenant_id: UUID) -> None:
    with pytest.raises(ZeroDivisionError), working(tenant_id):
        record("search")
        raise ZeroDivisionError
    add_events(tenant_id, 1)
    sequence_events(SIGNER)

    assert numbered(tenant_id) == written(tenant_id)


@pytest.mark.parametrize(
    "change",
    [
        "action = 'document.read'",
        "at = at - interval '1 day'",
        "counts = '{}'",
        "actor_id = gen_random_uuid()",
        "who_salt = NULL, actor_id = gen_random_uuid()",
        "who_salt = decode('00', 'hex')",
        "what_salt = NULL, document_ids = ARRAY[gen_random_uuid()]",
        "actor_id = NULL, member_id = NULL, request_id = NULL, who_salt = NULL, action = 'x'",
    ],
)
def test_an_event_is_never_changed(tenant_id: UUID, change: str) -> None:
    import psycopg

    add_events(tenant_id, 1)
    sequence_events(SIGNER)

    with (
        psycopg.connect(superuser_url(EMBEDDED)) as superuser,
        pytest.raises(psycopg.errors.RaiseException),
    ):
        superuser.execute(
            f"UPDATE tenants_auditevent SET {change} WHERE tenant_id = %s",  # noqa: S608 - ours
            [tenant_id],
        )


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE tenants_auditevent SET who_salt = NULL",
        "UPDATE audit_log SET size = 0",
        "UPDATE audit_watermark SET xact = '0'",
        "DELETE FROM audit_leaf",
        "TRUNCATE audit_checkpoint",
    ],
)
def test_the_application_changes_nothing_of_it(tenant_id: UUID, change: str) -> None:
    with (
        pytest.raises(ProgrammingError, match="denied"),
        tenant_scope(tenant_id),
        connection.cursor() as cursor,
    ):
        cursor.execute(change)


def test_values_are_not_erased_before_the_tree_has_them(tenant_id: UUID) -> None:
    add_events(tenant_id, 1)

    with (
        connections["sequencer"].cursor() as cursor,
        pytest.raises(DatabaseError, match="after its tree has it"),
    ):
        cursor.execute(
            "UPDATE tenants_auditevent"
            " SET actor_id = NULL, member_id = NULL, request_id = NULL, who_salt = NULL"
            " WHERE tenant_id = %s",
            [tenant_id],
        )
