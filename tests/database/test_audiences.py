"""Audiences of documents with grants of their own: edited, shared and collected."""

from __future__ import annotations

import pytest

from ambit.access.clearance import clearance_for
from ambit.access.documents import write_grants
from ambit.access.models import AudiencePrincipal
from ambit.access.queries import document_grants
from ambit.corpus.queries import get_document_as_custodian
from ambit.corpus.search import search
from ambit.corpus.services import delete_document
from tenants.models import AuditEvent
from tenants.scope import tenant_scope
from tests.database.readers import Begin, Desk
from tests.database.worlds import grant, working
from tests.flows.service import wait_until
from tests.histories.work import do_what_waits


def test_one_more_reader_edits_the_audience_that_one_document_has_alone(desk: Desk) -> None:
    document_id = desk.document(0)
    before = desk.audience_of(document_id)

    with working(desk.tenant_id):
        desk.share(document_id, 0, 1)

    assert desk.audience_of(document_id) == before
    assert desk.readers(document_id) == {0, 1}


def test_one_more_reader_of_one_of_two_documents_is_not_given_the_other(desk: Desk) -> None:
    one, other = desk.document(0), desk.document(0)

    with working(desk.tenant_id):
        desk.share(one, 0, 1)

    assert (desk.readers(one), desk.readers(other)) == ({0, 1}, {0})


def test_a_document_moves_to_the_audience_that_has_the_readers_already(desk: Desk) -> None:
    one, other = desk.document(0), desk.document(0, 1)

    with working(desk.tenant_id):
        desk.share(one, 0, 1)

    assert desk.interned() == {desk.audience_of(one)} == {desk.audience_of(other)}


def test_another_role_for_the_same_readers_leaves_the_audience_as_it_is(desk: Desk) -> None:
    document_id = desk.document(0)
    before = desk.audience_of(document_id)
    editor = [*desk.grants(), grant("editor", member=desk.people[0])]

    with working(desk.tenant_id):
        write_grants(document=get_document_as_custodian(document_id=document_id), grants=editor)

    with working(desk.tenant_id):
        assert set(document_grants(document_id=document_id)) == set(editor)
    assert desk.audience_of(document_id) == before


@pytest.mark.parametrize("numbers", [(), (1,), (1, 2)])
def test_who_is_taken_away_finds_nothing_by_a_clearance_taken_before(
    desk: Desk, begin: Begin, numbers: tuple[int, ...]
) -> None:
    document_id, who = desk.document(0), desk.people[0]
    before = desk.audience_of(document_id)

    with tenant_scope(desk.tenant_id, member_id=who):
        allowed = clearance_for(member_id=who)
        found = search(clearance=allowed, query="harbor", embedding=None, k=10, mode="text")
        assert {p.document_id for p in found} == {document_id}
        begin(desk.tenant_id, lambda: desk.share(document_id, *numbers)).result()
        assert not search(clearance=allowed, query="harbor", embedding=None, k=10, mode="text")

    assert desk.readers(document_id) == set(numbers)
    assert desk.audience_of(document_id) != before
    assert desk.interned() == {desk.audience_of(document_id)}


def test_who_stays_finds_the_document_after_somebody_was_taken_away(desk: Desk) -> None:
    document_id = desk.document(0, 1, 2)

    for numbers in ((0, 1), (0,), (0, 2), (2,)):
        with working(desk.tenant_id):
            desk.share(document_id, *numbers)
        assert desk.readers(document_id) == set(numbers)


def test_no_audience_remains_of_a_document_that_goes_back_to_its_collections_grants(
    desk: Desk,
) -> None:
    document_id = desk.document(0)

    with working(desk.tenant_id):
        desk.put_back(document_id)

    assert desk.interned() == set()
    assert desk.readers(document_id) == set()


def test_no_audience_remains_of_a_document_that_is_destroyed_and_nobody_reads_what_is_left(
    desk: Desk,
) -> None:
    gone, left = desk.document(0), desk.document(1)

    with working(desk.tenant_id):
        delete_document(document_id=gone)
    do_what_waits(desk.tenant_id, destroy=True)

    # Where another test has started the worker, that may have been quicker to take the job.
    wait_until(lambda: desk.interned() == {desk.audience_of(left)}, "the audience is collected")
    with working(desk.tenant_id):
        nobody = AudiencePrincipal.objects.filter(audience_id=desk.audience_of(gone))
        assert not nobody.exists()


def test_a_refused_upload_leaves_no_audience(desk: Desk) -> None:
    with pytest.raises(RuntimeError), working(desk.tenant_id):
        desk.upload(0, 1)
        raise RuntimeError

    assert desk.interned() == set()


def test_a_change_of_grants_is_told_with_the_documents_id_alone(desk: Desk) -> None:
    document_id = desk.document(0)
    for numbers in ((0, 1), (1,)):
        with working(desk.tenant_id):
            desk.share(document_id, *numbers)

    with working(desk.tenant_id):
        told = AuditEvent.objects.filter(action="document.grants_changed")
        kept = {(e.object_id, tuple(e.document_ids), tuple(e.chunk_ids)) for e in told}
        assert (len(told), kept) == (2, {(document_id, (document_id,), ())})
