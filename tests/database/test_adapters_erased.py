"""What becomes of a retired adapter: unloaded, destroyed, counted in receipts, and never said too early."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from django.conf import settings
from django.db import connection
from django.test import override_settings

from ambit.access.clearance import clearance_for
from ambit.access.documents import (
    set_document_grants,
)
from ambit.adapters.holdings import ADAPTERS
from ambit.adapters.services import retire_adapter
from ambit.erasure.restrictions import lift, place_restriction
from ambit.erasure.services import request_erasure
from tenants.holding import HoldingFailed, Scope
from tenants.models import AuditEvent
from tests.database.adapter_office import Office, make_office
from tests.database.adapting import job_of, make_live, row_of, work
from tests.database.erasures import keep_from_workers, receipt_of, work_on
from tests.database.worlds import (
    grant,
    working,
)


@pytest.fixture
def office() -> Office:
    return make_office()


@pytest.fixture
def adapter_id(office: Office) -> Iterator[UUID]:
    """Make a live adapter trained on a document of each collection."""
    yield make_live(office.tenant_id, office.anna, [office.letters, office.wages])
    with working(office.tenant_id):
        keep_from_workers()


def _erase(office: Office) -> None:
    request_erasure(
        subject=None, document_ids=[office.wages], also_document_ids=None, reason="Art. 17 GDPR",
        dry_run=False, identity="verified",
    )  # fmt: skip


def _share_with_fewer(office: Office) -> None:
    set_document_grants(
        clearance=clearance_for(member_id=office.anna),
        document_id=office.wages,
        grants=[grant("owner", member=office.anna)],
    )


def test_its_job_erases_what_is_retired_and_says_so_once(office: Office, adapter_id: UUID) -> None:
    row = row_of(office.tenant_id, adapter_id)
    folder = Path(settings.AMBIT_ADAPTERS_DIR) / row.served_name
    assert sorted(one.name for one in folder.iterdir()) == [
        "adapter_config.json", "adapter_model.safetensors", "ambit.json",
    ]  # fmt: skip
    with working(office.tenant_id):
        _share_with_fewer(office)
        keep_from_workers()

    work(office.tenant_id, adapter_id)

    row = row_of(office.tenant_id, adapter_id)
    assert (row.state, row.name, folder.is_file(), folder.stat().st_size) == ("erased", "", True, 0)
    assert job_of(office.tenant_id, adapter_id) is None
    with working(office.tenant_id):
        events = AuditEvent.objects.filter(object_id=adapter_id).order_by("pk")
        assert [(e.action, e.actor_kind) for e in events] == [
            ("adapter.registered", "service"),
            ("adapter.stored", "service"),
            ("adapter.promoted", "service"),
            ("adapter.retired", "worker"),
            ("adapter.erased", "worker"),
        ]


def test_weights_stay_while_a_document_is_restricted_and_go_when_it_is_back(
    office: Office, adapter_id: UUID
) -> None:
    with working(office.tenant_id):
        placed = place_restriction(subject=None, document_ids=[office.wages], reason="disputed")
        keep_from_workers()
    work(office.tenant_id, adapter_id)
    assert row_of(office.tenant_id, adapter_id).state == "retired"

    with working(office.tenant_id):
        lift(kind="restriction", restriction_id=placed.id)
        keep_from_workers()
    work(office.tenant_id, adapter_id)
    assert row_of(office.tenant_id, adapter_id).state == "erased"


def test_an_erasure_counts_it_destroys_it_and_says_what_is_not_gone(
    office: Office, adapter_id: UUID
) -> None:
    row = row_of(office.tenant_id, adapter_id)
    with working(office.tenant_id):
        case = request_erasure(
            subject=None, document_ids=[office.wages], also_document_ids=None, reason="Art. 17 GDPR",
            dry_run=False, identity="verified",
        )  # fmt: skip
        keep_from_workers()
    # Its own job came first.
    work(office.tenant_id, adapter_id)
    assert case.id is not None
    assert work_on(office.tenant_id, case.id).state == "closed"

    (said,) = (
        h for h in receipt_of(office.tenant_id, case.id)["holdings"] if h["name"] == "adapters"
    )
    assert (said["found"], said["destroyed"], said["remaining"]) == (1, 1, 0)
    assert "memory until they are evicted" in said["destroyed_by"]
    assert row_of(office.tenant_id, adapter_id).state == "erased"
    assert (Path(settings.AMBIT_ADAPTERS_DIR) / row.served_name).stat().st_size == 0


@pytest.mark.parametrize("fault", ["files", "server", "copy"])
def test_an_erasure_stays_open_while_weights_may_be_there(
    office: Office, adapter_id: UUID, tmp_path: Path, fault: str
) -> None:
    row = row_of(office.tenant_id, adapter_id)
    with working(office.tenant_id):
        _erase(office)
        case_id = _last_case()
        keep_from_workers()
    copy = Path(settings.AMBIT_ADAPTERS_DIR) / f"{row.served_name}.copy"
    broken: dict[str, object] = {}
    if fault == "files":
        broken = {"AMBIT_ADAPTERS_DIR": str(tmp_path / "not-mounted")}
    elif fault == "server":
        broken = {"AMBIT_VLLM_ADMIN_URL": "http://127.0.0.1:9"}
    else:
        copy.write_bytes(b"weights")

    with override_settings(**broken):
        assert work_on(office.tenant_id, case_id).state == "incomplete"
    assert (row_of(office.tenant_id, adapter_id).state == "erased") == (fault == "copy")

    copy.unlink(missing_ok=True)
    assert work_on(office.tenant_id, case_id).state == "closed"
    assert row_of(office.tenant_id, adapter_id).state == "erased"


def test_an_erasure_on_a_restored_machine_does_not_miss_what_was_erased_before(
    office: Office, adapter_id: UUID, tmp_path: Path
) -> None:
    with working(office.tenant_id):
        retire_adapter(adapter_id=adapter_id)
        keep_from_workers()
    work(office.tenant_id, adapter_id)
    assert row_of(office.tenant_id, adapter_id).state == "erased"

    # As empty as after a restore.
    with override_settings(AMBIT_ADAPTERS_DIR=str(tmp_path)):
        with working(office.tenant_id):
            _erase(office)
            case_id = _last_case()
            keep_from_workers()
        assert work_on(office.tenant_id, case_id).state == "closed"


def test_the_second_look_asks_every_server_also_when_all_is_erased(
    office: Office, adapter_id: UUID
) -> None:
    with working(office.tenant_id):
        retire_adapter(adapter_id=adapter_id)
        keep_from_workers()
    work(office.tenant_id, adapter_id)
    scope = Scope(tenant_id=office.tenant_id, document_ids=(office.wages,))

    with working(office.tenant_id, custody=True):
        assert ADAPTERS.remains(scope) == 0
        with (
            override_settings(AMBIT_VLLM_ADMIN_URL="http://127.0.0.1:9"),
            pytest.raises(HoldingFailed),
        ):
            ADAPTERS.remains(scope)


def test_a_live_adapter_says_why_it_is_not_loaded(office: Office, adapter_id: UUID) -> None:
    assert work(office.tenant_id, adapter_id)
    assert row_of(office.tenant_id, adapter_id).load_fault == "no_server"
    with override_settings(AMBIT_VLLM_ADMIN_URL="http://127.0.0.1:9"):
        work(office.tenant_id, adapter_id)
    assert row_of(office.tenant_id, adapter_id).load_fault == "unreachable"
    with override_settings(AMBIT_VLLM_ADMIN_URL="http://127.0.0.1:9", AMBIT_LORA_BASE="other"):
        work(office.tenant_id, adapter_id)
    assert row_of(office.tenant_id, adapter_id).load_fault == "other_base"
    assert job_of(office.tenant_id, adapter_id) is not None, "it is looked at again"


def _last_case() -> UUID:
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM erasure_erasure ORDER BY id DESC LIMIT 1")
        return UUID(str(cursor.fetchone()[0]))
