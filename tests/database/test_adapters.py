"""Who may use an adapter, and what retires it in the same transaction, whoever does it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import UUID, uuid4

import pytest
from django.db import DatabaseError, IntegrityError, connection
from django.test import override_settings

from ambit.access.clearance import clearance_for, custodian_clearance
from ambit.access.documents import (
    delete_document,
    replace_content,
    set_collection_grants,
    set_document_grants,
)
from ambit.adapters.models import Adapter, AdapterState
from ambit.adapters.queries import AdapterNotFound, adapters_for, list_adapters, usable_adapter
from ambit.adapters.services import (
    NotPromotable,
    TrainingDocumentsUnknown,
    TrainingDocumentTwice,
    promote_adapter,
    retire_adapter,
)
from ambit.corpus.queries import WrongClearance
from ambit.corpus.types import Upload
from ambit.erasure.restrictions import lift, place_restriction
from ambit.erasure.services import request_erasure
from tenants import services
from tests.database.adapter_office import Office, make_office
from tests.database.adapting import BASE, job_of, make_live, register, row_of, start
from tests.database.erasures import keep_from_workers
from tests.database.readers import Begin
from tests.database.worlds import (
    Passage,
    grant,
    ingest,
    make_member,
    make_tenant,
    unit,
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


def test_an_asker_uses_it_who_sees_every_training_document(
    office: Office, adapter_id: UUID
) -> None:
    assert office.may(office.anna, adapter_id)
    assert office.may(office.ben, adapter_id)
    assert not office.may(office.cleo, adapter_id), "she sees one of the two"


def test_an_asker_of_another_tenant_never_does(office: Office, adapter_id: UUID) -> None:
    elsewhere = make_tenant()
    with working(elsewhere):
        stranger = make_member("stranger", role="admin")
        clearance = clearance_for(member_id=stranger)
        with pytest.raises(AdapterNotFound):
            usable_adapter(adapter_id=adapter_id, clearance=clearance)
        assert adapters_for(clearance=clearance) == []
        assert list_adapters(after=None, limit=50) == []
    with working(office.tenant_id), pytest.raises(WrongClearance):
        usable_adapter(adapter_id=adapter_id, clearance=clearance)


def test_nobody_uses_one_as_a_custodian_or_one_that_is_made_up(
    office: Office, adapter_id: UUID
) -> None:
    audiences = row_of(office.tenant_id, adapter_id).audience_ids
    with working(office.tenant_id):
        with pytest.raises(AdapterNotFound):
            usable_adapter(
                adapter_id=adapter_id, clearance=custodian_clearance(audience_ids=audiences)
            )
        with pytest.raises(AdapterNotFound):
            usable_adapter(adapter_id=uuid4(), clearance=clearance_for(member_id=office.anna))


def test_a_candidate_and_one_for_another_model_are_used_by_nobody(office: Office) -> None:
    candidate = register(office.tenant_id, office.anna, [office.letters])
    assert not office.may(office.anna, candidate)
    with working(office.tenant_id):
        promote_adapter(adapter_id=candidate)
        keep_from_workers()
    assert office.may(office.anna, candidate)
    with override_settings(AMBIT_LORA_BASE="another-model"):
        assert not office.may(office.anna, candidate)


def test_who_leaves_the_group_or_loses_the_collection_loses_the_adapter_at_once(
    office: Office, adapter_id: UUID
) -> None:
    with working(office.tenant_id):
        services.remove_from_group(group_id=office.group, member_id=office.ben)
    assert not office.may(office.ben, adapter_id)
    with working(office.tenant_id):
        services.add_to_group(group_id=office.group, member_id=office.ben)
    assert office.may(office.ben, adapter_id)
    with working(office.tenant_id):
        set_collection_grants(
            clearance=clearance_for(member_id=office.anna),
            collection_id=office.second,
            grants=[grant("owner", member=office.anna)],
        )
    assert not office.may(office.ben, adapter_id)
    assert office.may(office.anna, adapter_id), "nothing was retired"


def test_a_suspended_member_uses_nothing(office: Office, adapter_id: UUID) -> None:
    with working(office.tenant_id):
        services.set_member_suspended(member_id=office.ben, suspended=True)
    assert not office.may(office.ben, adapter_id)


def _delete(office: Office) -> None:
    delete_document(clearance=clearance_for(member_id=office.anna), document_id=office.wages)


def _restrict(office: Office) -> None:
    place_restriction(subject=None, document_ids=[office.wages], reason="disputed")


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


def _by_sql(assignment: str) -> Callable[[Office], None]:
    def change(office: Office) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('ambit.custody', 'on', true)")
            cursor.execute(
                f"UPDATE corpus_document SET {assignment} WHERE id = %s",  # noqa: S608 - written above
                [office.wages],
            )

    return change


@pytest.mark.parametrize(
    ("change", "because"),
    [
        (_delete, "hidden"),
        (_restrict, "hidden"),
        (_erase, "hidden"),
        (_share_with_fewer, "moved"),
        (_by_sql("hidden_at = now()"), "hidden"),
        (_by_sql("current_version_id = NULL"), "replaced"),
        (_by_sql("audience_id = (SELECT audience_id FROM corpus_document c WHERE c.id <> corpus_document.id"
                 " AND c.tenant_id = corpus_document.tenant_id LIMIT 1)"), "moved"),
    ],
    ids=["delete", "restrict", "erase", "other-grants", "sql-hide", "sql-version", "sql-audience"],
)  # fmt: skip
def test_what_changes_a_training_document_retires_it_in_the_same_transaction(
    office: Office, adapter_id: UUID, change: Callable[[Office], None], because: str
) -> None:
    candidate = register(office.tenant_id, office.anna, [office.wages])
    other = make_live(office.tenant_id, office.anna, [office.letters])

    with working(office.tenant_id):
        change(office)
        # Before the commit already: no moment lies between the two.
        states = dict(Adapter.objects.values_list("pk", "state"))
        keep_from_workers()

    assert states == {adapter_id: "retired", candidate: "retired", other: "live"}
    row = row_of(office.tenant_id, adapter_id)
    assert (row.retired_because, row.retired_for_id) == (because, office.wages)
    assert not office.may(office.anna, adapter_id)
    assert job_of(office.tenant_id, adapter_id) is not None, "somebody unloads it"


def test_a_change_that_is_rolled_back_retires_nothing(office: Office, adapter_id: UUID) -> None:
    with pytest.raises(ZeroDivisionError), working(office.tenant_id):
        _delete(office)
        raise ZeroDivisionError

    assert office.may(office.anna, adapter_id)


def test_new_content_retires_it_when_it_is_ready_and_not_before(
    office: Office, adapter_id: UUID
) -> None:
    with working(office.tenant_id):
        replace_content(
            clearance=clearance_for(member_id=office.anna),
            document_id=office.wages,
            upload=Upload(title="t", file_name="t.txt", media_type="text/plain", chunks=[b"New."]),
        )
    assert office.may(office.anna, adapter_id), "the old content is what is found, still"

    with working(office.tenant_id):
        ingest(tenant_id=office.tenant_id, passages=[Passage("New.", unit(1))])
        keep_from_workers()

    row = row_of(office.tenant_id, adapter_id)
    assert (row.state, row.retired_because) == ("retired", "replaced")


def test_what_comes_back_does_not_bring_the_adapter_back(office: Office, adapter_id: UUID) -> None:
    with working(office.tenant_id):
        placed = place_restriction(subject=None, document_ids=[office.wages], reason="disputed")
    with working(office.tenant_id):
        lift(kind="restriction", restriction_id=placed.id)
        keep_from_workers()

    assert row_of(office.tenant_id, adapter_id).state == "retired"
    with working(office.tenant_id), pytest.raises(NotPromotable):
        promote_adapter(adapter_id=adapter_id)
    assert not office.may(office.anna, adapter_id)


@pytest.mark.parametrize(
    "assignment",
    [
        "state = 'live'", "state = 'candidate'", "audience_ids = '{}'", "served_name = 'another'",
        "sha256 = 'another'", "base = 'another'", "rank = 1",
    ],
)  # fmt: skip
def test_the_database_refuses_to_alter_a_retired_adapter(
    office: Office, adapter_id: UUID, assignment: str
) -> None:
    with working(office.tenant_id):
        retire_adapter(adapter_id=adapter_id)
        keep_from_workers()

    with pytest.raises(DatabaseError), working(office.tenant_id), connection.cursor() as cursor:
        cursor.execute(f"UPDATE adapters_adapter SET {assignment} WHERE id = %s", [adapter_id])  # noqa: S608


@pytest.mark.parametrize("state", ["erased", "candidate"])
def test_the_database_lets_no_live_adapter_skip_its_retirement(
    office: Office, adapter_id: UUID, state: str
) -> None:
    with pytest.raises(IntegrityError), working(office.tenant_id):
        Adapter.objects.filter(pk=adapter_id).update(state=state)


def test_nothing_is_live_without_its_documents(office: Office) -> None:
    values = {
        "name": "n", "served_name": uuid4().hex, "base": BASE, "rank": 8, "sha256": "s", "n_bytes": 1,
        "registered_by_id": office.anna,
    }  # fmt: skip
    with pytest.raises(IntegrityError), working(office.tenant_id):
        Adapter.objects.create(**values, audience_ids=[], n_documents=0)
    with pytest.raises(IntegrityError), working(office.tenant_id):
        Adapter.objects.create(
            **values, audience_ids=[uuid4()], n_documents=1, state=AdapterState.LIVE
        )
    with working(office.tenant_id):
        bare = Adapter.objects.create(**values, audience_ids=[uuid4()], n_documents=1)
        with pytest.raises(NotPromotable):
            promote_adapter(adapter_id=bare.pk)
    with pytest.raises(IntegrityError), working(office.tenant_id):
        Adapter.objects.filter(pk=bare.pk).update(state="live", stored_at="2026-01-01T00:00Z")


def test_a_manifest_is_of_what_its_registrar_sees_now(office: Office) -> None:
    with pytest.raises(TrainingDocumentsUnknown) as unseen:
        register(office.tenant_id, office.cleo, [office.letters, office.wages])
    assert unseen.value.places == (1,)
    with pytest.raises(TrainingDocumentsUnknown):
        register(office.tenant_id, office.anna, [uuid4()])
    with pytest.raises(TrainingDocumentsUnknown):
        register(office.tenant_id, office.anna, [])
    with pytest.raises(TrainingDocumentTwice):
        register(office.tenant_id, office.anna, [office.letters, office.letters])
    with working(office.tenant_id):
        assert list_adapters(after=None, limit=50) == []


def test_a_document_is_not_deleted_under_an_adapter(office: Office, adapter_id: UUID) -> None:
    with (
        pytest.raises(IntegrityError),
        working(office.tenant_id, custody=True),
        connection.cursor() as cursor,
    ):
        cursor.execute("DELETE FROM corpus_document WHERE id = %s", [office.letters])


def test_who_hides_a_document_waits_for_a_registration_and_finds_it(
    office: Office, begin: Begin
) -> None:
    with working(office.tenant_id):
        made = start(office.tenant_id, office.anna, [office.wages])
        hide = _by_sql("hidden_at = now()")
        hiding = begin(office.tenant_id, lambda: hide(office))
        assert hiding.waits()
    hiding.result()

    row = row_of(office.tenant_id, made.id)
    assert (row.state, row.retired_because) == ("retired", "hidden")
    with working(office.tenant_id):
        keep_from_workers()


def test_who_promotes_one_that_is_retired_meanwhile_is_refused(
    office: Office, begin: Begin
) -> None:
    candidate = register(office.tenant_id, office.anna, [office.wages])
    with working(office.tenant_id):
        _delete(office)
        promoting = begin(office.tenant_id, lambda: promote_adapter(adapter_id=candidate))
        assert promoting.waits()
    with pytest.raises(NotPromotable):
        promoting.result()

    assert row_of(office.tenant_id, candidate).state == "retired"
    with working(office.tenant_id):
        keep_from_workers()
