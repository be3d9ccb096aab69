"""Sessions that cross while they share, upload and destroy documents with grants of their own.

One stands still inside its transaction while the other begins; the other must wait, or need not; then both commit.
What must be true then is looked up row by row (tests/database/readers.py).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from uuid import UUID

import pytest
from django.db import OperationalError

from ambit.access.audiences import audience_for
from ambit.access.clearance import clearance_for
from ambit.access.documents import NotAllowed, set_document_grants, write_grants
from ambit.access.types import RoleName
from ambit.corpus.queries import DocumentNotFound, get_document_as_custodian
from ambit.corpus.services import delete_document
from tests.database.readers import Begin, Desk, broken_promises
from tests.database.worlds import grant, working

N_SESSIONS = 4
N_DEEDS = 40


def test_an_upload_that_found_the_audience_keeps_it_from_being_edited(
    desk: Desk, begin: Begin
) -> None:
    one = desk.document(0)

    with working(desk.tenant_id):
        other = desk.upload(0)
        sharing = begin(desk.tenant_id, lambda: desk.share(one, 0, 1))
        assert sharing.waits()
    sharing.result()

    assert desk.audience_of(one) != desk.audience_of(other)


def test_an_upload_that_found_the_audience_keeps_it_from_being_deleted(
    desk: Desk, begin: Begin
) -> None:
    one = desk.document(0)

    with working(desk.tenant_id):
        other = desk.upload(0)
        sharing = begin(desk.tenant_id, lambda: desk.share(one))
        assert sharing.waits()
    sharing.result()

    assert desk.interned() == {desk.audience_of(one), desk.audience_of(other)}


def test_an_upload_does_not_join_an_audience_that_is_being_edited(desk: Desk, begin: Begin) -> None:
    one = desk.document(0)

    with working(desk.tenant_id):
        desk.share(one, 0, 1)
        upload = begin(desk.tenant_id, lambda: desk.upload(0))
        assert upload.waits()
    other = upload.result()

    assert desk.audience_of(one) != desk.audience_of(other)


@pytest.mark.parametrize("leave", [Desk.share, Desk.put_back, Desk.destroy])
def test_an_upload_does_not_join_an_audience_that_is_being_deleted(
    desk: Desk, begin: Begin, leave: Callable[[Desk, UUID], None]
) -> None:
    one = desk.document(0)

    with working(desk.tenant_id, custody=True):
        leave(desk, one)
        upload = begin(desk.tenant_id, lambda: desk.upload(0))
        assert upload.waits()

    assert desk.audience_of(upload.result()) in desk.interned()


def test_uploads_into_an_audience_that_exists_do_not_wait_for_each_other(
    desk: Desk, begin: Begin
) -> None:
    desk.document(0)

    with working(desk.tenant_id):
        desk.upload(0)
        begin(desk.tenant_id, lambda: desk.upload(0)).result()

    assert len(desk.interned()) == 1


def test_two_sessions_that_want_the_same_new_readers_make_one_audience(
    desk: Desk, begin: Begin
) -> None:
    one = desk.document(2)

    with working(desk.tenant_id):
        audience_id = audience_for(grants=desk.grants(0, 1))
        other = desk.upload(0, 1)
        sharing = begin(desk.tenant_id, lambda: desk.share(one, 0, 1))
        assert sharing.waits()
    sharing.result()

    assert {desk.audience_of(one), desk.audience_of(other)} == {audience_id}


@pytest.mark.parametrize(
    ("first", "second"),
    [((0, 1), (0, 1)), ((0, 1), (0, 2)), ((), ()), ((), (1,)), ((0, 1), ()), ((), (0, 1))],
)
def test_two_documents_of_one_audience_are_shared_by_two_sessions(
    desk: Desk, begin: Begin, first: tuple[int, ...], second: tuple[int, ...]
) -> None:
    one, other = desk.document(0), desk.document(0)

    with working(desk.tenant_id):
        desk.share(one, *first)
        sharing = begin(desk.tenant_id, lambda: desk.share(other, *second))
        assert sharing.waits()
    sharing.result()

    assert (desk.readers(one), desk.readers(other)) == (set(first), set(second))


@pytest.mark.parametrize("second", [(0, 2), (2,), (), (0, 1)])
def test_one_document_is_shared_by_two_sessions_and_the_last_one_counts(
    desk: Desk, begin: Begin, second: tuple[int, ...]
) -> None:
    document_id = desk.document(0)

    with working(desk.tenant_id):
        desk.share(document_id, 0, 1)
        sharing = begin(desk.tenant_id, lambda: desk.share(document_id, *second))
        assert sharing.waits()
    sharing.result()

    assert desk.readers(document_id) == set(second)


@pytest.mark.parametrize(
    ("left_to_jon", "refusal"), [(None, DocumentNotFound), ("reader", NotAllowed)]
)
def test_who_is_made_an_owner_no_more_meanwhile_cannot_undo_it(
    desk: Desk, begin: Begin, left_to_jon: RoleName | None, refusal: type[Exception]
) -> None:
    jon = desk.people[1]
    document_id = desk.document(0)
    both = [*desk.grants(), grant("owner", member=jon)]
    with working(desk.tenant_id):
        write_grants(document=get_document_as_custodian(document_id=document_id), grants=both)

    def restore() -> None:
        allowed = clearance_for(member_id=jon)
        set_document_grants(clearance=allowed, document_id=document_id, grants=both)

    with working(desk.tenant_id):
        left = [grant(left_to_jon, member=jon)] if left_to_jon else []
        document = get_document_as_custodian(document_id=document_id)
        write_grants(document=document, grants=[*desk.grants(), *left])
        restoring = begin(desk.tenant_id, restore)
        assert restoring.waits()

    with pytest.raises(refusal):
        restoring.result()


def test_two_documents_change_places_at_the_same_time(desk: Desk, begin: Begin) -> None:
    one, other = desk.document(0), desk.document(1)

    with working(desk.tenant_id):
        desk.share(one, 1)
        sharing = begin(desk.tenant_id, lambda: desk.share(other, 0))
        assert sharing.waits()
    sharing.result()

    assert (desk.readers(one), desk.readers(other)) == ({1}, {0})


def test_a_document_is_shared_while_another_of_its_audience_is_destroyed(
    desk: Desk, begin: Begin
) -> None:
    one, other = desk.document(0), desk.document(0)

    with working(desk.tenant_id, custody=True):
        desk.destroy(one)
        sharing = begin(desk.tenant_id, lambda: desk.share(other, 1))
        assert sharing.waits()
    sharing.result()

    assert desk.interned() == {desk.audience_of(other)}


def test_a_document_that_is_deleted_meanwhile_is_not_shared(desk: Desk, begin: Begin) -> None:
    document_id = desk.document(0)

    with working(desk.tenant_id):
        delete_document(document_id=document_id)
        sharing = begin(desk.tenant_id, lambda: desk.share(document_id, 1))
        assert sharing.waits()

    with pytest.raises(DocumentNotFound):
        sharing.result()


@pytest.mark.parametrize("seed", range(3))
def test_many_sessions_at_once_end_in_order_and_none_is_refused(
    desk: Desk, begin: Begin, seed: int
) -> None:
    documents = [desk.document(0) for _ in range(4)]

    def work(number: int) -> Callable[[], None]:
        chance = random.Random(1000 * seed + number)

        def one_deed() -> None:
            document_id = chance.choice(documents)
            numbers = [n for n in range(3) if chance.random() < 0.5]
            kind = chance.choice(["share", "share", "share", "upload", "put_back"])
            if kind == "share":
                desk.share(document_id, *numbers)
            elif kind == "upload":
                desk.upload(*numbers)
            else:
                desk.put_back(document_id)

        return one_deed

    sessions = [work(n) for n in range(N_SESSIONS)]
    for _ in range(N_DEEDS):
        others = [begin(desk.tenant_id, deed) for deed in sessions]
        refused = [e for o in others if (e := o.done.exception(timeout=60)) is not None]
        assert not [e for e in refused if isinstance(e, OperationalError)], "a deadlock"
        assert refused == []
        assert broken_promises(desk.tenant_id) == []
