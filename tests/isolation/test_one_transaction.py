"""Whatever changes a tenant's rows writes its event in the same transaction, and never beside it.

test_unrecorded.py takes the right to record away, which an event that is written beside its effect may survive. Here a
trigger on every table notes which transaction changed it: whatever a caller or a worker changes, an event came with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.db import transaction
from django.utils import timezone

from ambit.adapters.services import retire_adapter
from ambit.corpus.services import delete_document
from ambit.erasure.models import Erasure
from ambit.jobs.kinds import ERASURE_ALARM, EXPORT_END, REMOVE_DOCUMENT
from ambit.jobs.services import Claim
from ambit.notices.services import create_webhook
from tenants.audit import record
from tenants.ids import public_id
from tenants.models import Member
from tenants.queries import OPERATOR
from tests.cast import publish
from tests.database.adapting import make_live, row_of
from tests.database.adapting import work as place_adapter
from tests.database.erasures import Town, file_for, inhabit, keep_from_workers, work_on
from tests.database.exporting import make as make_export
from tests.database.exporting import take
from tests.database.private import PrivateDatabase
from tests.database.telling import happen, post
from tests.database.watching import EVENTS, Watch, unrecorded, unrecorded_work, watched
from tests.database.worlds import make_member, make_tenant, working
from tests.isolation.routes import Call, calls
from tests.isolation.stage import Stage, make_stage
from workers.erase.flow import remove
from workers.erase.remind import remind
from workers.export import flow as export_flow

# Bodies that are taken, where the samples of routes.py are to be refused.
_VALID: dict[str, Any] = {
    "POST v1/members": {
        "external_id": "new", "email": "new@example.test", "name": "New", "role": "member",
    },
    "POST v1/groups": {"external_id": "new", "name": "New"},
    "POST v1/keys": {"name": "new", "scopes": ["search"]},
    "PUT v1/documents/<str:id>/content": {"text": "Other words."},
    # No model server is here, and so no adapter.
    "POST v1/answers": {"question": "When does the harbor open?"},
    "POST v1/chat/completions": {
        "model": "ambit", "messages": [{"role": "user", "content": "When does the harbor open?"}],
    },
}  # fmt: skip
# Nothing on this stage is in the state for these; tests/database looks at what they do.
_NOT_HERE = {
    "POST v1/adapters",
    "POST v1/adapters/<str:id>/promote",
    "POST v1/documents/<str:id>/retry",
    "POST v1/erasures/<str:id>/extension",
    "POST v1/erasures/<str:id>/identity",
    "POST v1/erasures/<str:id>/refusal",
}
# Hide what the calls before need.
_LAST = ("POST v1/holds", "POST v1/restrictions", "POST v1/erasures")
_METHODS = ("POST", "PUT", "PATCH", "DELETE")


@pytest.fixture(scope="module")
def look(private: PrivateDatabase) -> Iterator[psycopg.Connection]:
    """Use the private database, and connect to it as the superuser."""
    with private.in_use(), private.superuser() as found:
        yield found


@pytest.fixture
def watch(look: psycopg.Connection) -> Iterator[Watch]:
    with watched(look) as found:
        yield found


@pytest.mark.usefixtures("embeddings")
def test_every_call_records_in_the_transaction_of_what_it_changes(
    look: psycopg.Connection,
) -> None:
    stage = make_stage(look)
    another = publish(stage.cast.alice, stage.cast.here, text="Another.", title="Another")
    refused, beside = set(), {}
    with watched(look) as watch:
        for call in changing():
            deletes = call.name == "DELETE v1/documents/<str:id>"
            own = {"document": public_id("document", another)} if deletes else {}
            if not _answered(stage, call, stage.alices | own):
                refused.add(call.name)
            if found := unrecorded(watch.taken()):
                beside[call.name] = found

    assert beside == {}, "record() in the transaction of the change, on its own connection"
    assert refused == set(), "nothing was seen of these"


def test_registering_an_adapter_records_in_each_of_its_transactions(
    look: psycopg.Connection,
) -> None:
    stage = make_stage(look)
    (call,) = (c for c in calls() if c.name == "POST v1/adapters")
    with watched(look) as watch:
        made = call.sent_by(stage.registrar, stage.alices)
        transactions = watch.taken()
        live = stage.registrar.post(f"{made.headers['Location']}/promote")
        transactions += watch.taken()

    assert (made.status_code, live.status_code) == (201, 200)
    assert sum("adapters_adapter" in tables for tables in transactions) == 3
    assert unrecorded(transactions) == []


def changing() -> list[Call]:
    """Return every call of a tenant's that changes something, in an order in which each can be answered."""
    found = [c for c in calls() if c.method in _METHODS and not c.policy.operator]
    found = [c for c in found if c.name not in _NOT_HERE]
    return sorted(found, key=lambda c: (c.method == "DELETE", c.name in _LAST, c.name == _LAST[-1]))


def _answered(stage: Stage, call: Call, ids: dict[str, str]) -> bool:
    body = _VALID.get(call.name)
    for api in (stage.cast.here.service, stage.cast.olivia, stage.cast.alice):
        response = api.call(call.method, call.path(ids), body) if body else call.sent_by(api, ids)
        if response.streaming:
            response.getvalue()
        if response.status_code < 300:
            return True
    return False


# Called once what is to be worked on was asked for.
Begin = Callable[[], object]


def _erase(town: Town, begin: Begin) -> None:
    case_id = file_for(town)
    begin()
    assert work_on(town.tenant_id, case_id).state == "closed"


def _remove(town: Town, begin: Begin) -> None:
    with working(town.tenant_id):
        delete_document(document_id=town.about_bob)
        keep_from_workers()
    begin()
    remove(_held(take(town.tenant_id, town.about_bob, kind=REMOVE_DOCUMENT)))


def _remind(town: Town, begin: Begin) -> None:
    case_id = file_for(town)
    with working(town.tenant_id):
        case = Erasure.objects.filter(pk=case_id)
        case.update(due_at=timezone.now() - timedelta(days=1))
    begin()
    remind(_held(take(town.tenant_id, case_id, kind=ERASURE_ALARM)))


def _export(town: Town, begin: Begin) -> None:
    export_id = town.export_of_alice
    begin()
    assert make_export(town.tenant_id, export_id).state == "ready"
    export_flow.end(_held(take(town.tenant_id, export_id, kind=EXPORT_END)))


def _tell(town: Town, begin: Begin) -> None:
    with working(town.tenant_id):
        create_webhook(name="x", url="https://127.0.0.1:1/", events=["document.erased"])
    happen(town.tenant_id)
    begin()
    post(town.tenant_id, tries=12)


def _held(claimed: Claim | None) -> Claim:
    assert claimed is not None
    return claimed


def _adapt(town: Town, begin: Begin) -> None:
    adapter_id = make_live(town.tenant_id, town.bob, [town.about_bob])
    with working(town.tenant_id):
        retire_adapter(adapter_id=adapter_id)
    begin()
    place_adapter(town.tenant_id, adapter_id)
    assert row_of(town.tenant_id, adapter_id).state == "erased"


@pytest.mark.parametrize("work", [_erase, _remove, _remind, _export, _tell, _adapt])
def test_every_worker_records_in_the_transaction_of_what_it_changes(
    watch: Watch, work: Callable[[Town, Begin], None]
) -> None:
    work(inhabit(), watch.taken)

    transactions = watch.taken()
    assert any(EVENTS in tables for tables in transactions)
    assert unrecorded_work(transactions) == [], "hold the job, and record() where it is finished"


def test_an_event_beside_its_change_is_seen(watch: Watch) -> None:
    tenant_id = make_tenant()
    with working(tenant_id):
        member_id = make_member()
    watch.taken()

    with working(tenant_id):
        Member.objects.filter(pk=member_id).update(name="Changed")
        transaction.on_commit(partial(_record_alone, tenant_id, member_id))
    after = watch.taken()
    with working(tenant_id):
        with transaction.atomic(using=OPERATOR):
            record("member.changed", object_id=member_id, using=OPERATOR, tenant_id=tenant_id)
        Member.objects.filter(pk=member_id).update(name="Changed again")
    before = watch.taken()
    with working(tenant_id):
        Member.objects.filter(pk=member_id).update(name="Changed at last")
        record("member.changed", object_id=member_id)
    within = watch.taken()

    assert unrecorded(after) == unrecorded(before) == [["tenants_member"]]
    assert unrecorded_work(before) == [["tenants_auditevent"]]
    assert unrecorded(within) == []


def _record_alone(tenant_id: UUID, member_id: UUID) -> None:
    with working(tenant_id):
        record("member.changed", object_id=member_id)
