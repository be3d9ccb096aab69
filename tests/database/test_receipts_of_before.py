"""Receipts of before they were signed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.management import call_command

from ambit.erasure.models import Receipt
from ambit.erasure.queries import ReceiptNotReady
from tests.database.erasures import receipt_of
from tests.database.private import PrivateDatabase
from tests.database.worlds import make_tenant, working


@pytest.fixture
def of_before() -> Iterator[PrivateDatabase]:
    """Return a database that nobody else uses: taking migrations back loses what only later ones can hold."""
    made = PrivateDatabase()
    yield made
    made.stop()


def test_a_receipt_of_before_they_were_signed_is_kept_as_it_was(
    of_before: PrivateDatabase,
) -> None:
    said = {"outcome": "destroyed", "complete": True, "left": [], "subject": {"hash": "é"}}
    with of_before.in_use():
        tenant_id = make_tenant()
        call_command("migrate", "erasure", "0008", database="owner", verbosity=0)
        try:
            with of_before.superuser() as superuser:
                case_id = _old_case(superuser, tenant_id, said)
                without = _old_case(superuser, tenant_id, None)
        finally:
            call_command("migrate", database="owner", verbosity=0)

        shown = receipt_of(tenant_id, case_id)
        with pytest.raises(ReceiptNotReady):
            receipt_of(tenant_id, without)
        with working(tenant_id):
            (row,) = Receipt.objects.all()
        with of_before.superuser() as superuser:
            forced = superuser.execute(
                "SELECT relname FROM pg_class WHERE relname LIKE 'erasure_%' AND relkind = 'r'"
                " AND NOT relforcerowsecurity"
                " AND relname <> 'erasure_tombstone'"
            ).fetchall()

    assert {name: value for name, value in shown.items() if name != "signed"} == said
    assert (shown["signed"], row.note.count("\n"), row.serial) == (False, 2, 1)
    assert (row.erasure_id, forced) == (case_id, [])


def _old_case(superuser: Any, tenant_id: UUID, receipt: dict[str, Any] | None) -> UUID:
    case_id = uuid4()
    superuser.execute(
        "INSERT INTO erasure_erasure (id, tenant_id, state, dry_run, subject_type, requested_by_kind, received_at,"
        " closed_at, alarmed_percent, salt_epoch, request_xid, n_shared_documents, attempts, receipt,"
        " shredded_xid, shredded_files, log_position, log_segment, waits_for)"
        " VALUES (%s, %s, 'closed', false, 'documents', 'service', now(), now(), 0, 0, 0, 0, 1, %s,"
        " 0, '{}', '', '', '')",
        [case_id, tenant_id, json.dumps(receipt) if receipt else None],
    )
    return case_id
