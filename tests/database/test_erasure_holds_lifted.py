"""What comes back when a hold or a restriction is over, and with what."""

from __future__ import annotations

from uuid import UUID

import pytest
from django.utils import timezone

from ambit.access.clearance import clearance_for
from ambit.access.documents import upload_document
from ambit.corpus.models import Document
from ambit.corpus.queries import (
    get_document_as_custodian,
)
from ambit.erasure.restrictions import (
    AlreadyLifted,
)
from ambit.jobs.kinds import INGEST_VERSION
from ambit.jobs.models import Job
from ambit.jobs.services import claim
from tests.database.erasures import (
    Town,
    documents_seen,
    inhabit,
    keep_from_workers,
)
from tests.database.holding import (
    doors_that_open,
    hold,
    letter,
    release,
    restrict,
)
from tests.database.worlds import working


@pytest.fixture
def town() -> Town:
    return inhabit()


def test_a_release_brings_a_document_back_to_its_readers(town: Town) -> None:
    found = hold(town, documents=[town.about_bob])

    released = release(town, found)

    assert released.lifted_at is not None
    assert documents_seen(town) == town.everything
    assert "key" in doors_that_open(town, town.about_bob)
    with pytest.raises(AlreadyLifted):
        release(town, found)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("second", ["hold", "restriction"])
def test_what_is_kept_twice_comes_back_with_the_last_of_both(
    town: Town, second: str, order: tuple[int, int]
) -> None:
    one = town.about_bob
    placed = [
        hold(town, documents=[one]),
        hold(town, documents=[one]) if second == "hold" else restrict(town, [one]),
    ]

    release(town, placed[order[0]])
    between = doors_that_open(town, one)
    release(town, placed[order[1]])

    assert between == []
    assert documents_seen(town) == town.everything


def test_an_ingest_that_a_hold_interrupted_begins_again_when_it_is_released(town: Town) -> None:
    with working(town.tenant_id):
        one = upload_document(
            clearance=clearance_for(member_id=town.bob),
            collection_id=town.collection_id,
            upload=letter(),
            grants=None,
        )
        keep_from_workers()
    with working(town.tenant_id, custody=True):
        version_id = Document.objects.get(pk=one).latest_version_id
    assert version_id is not None
    found = hold(town, documents=[one])
    with working(town.tenant_id):
        # As a worker does that finds the document hidden.
        Job.objects.filter(name=INGEST_VERSION.name, object_id=version_id).delete()

    release(town, found)

    with working(town.tenant_id):
        job = Job.objects.get(name=INGEST_VERSION.name, object_id=version_id)
        Job.objects.filter(pk=job.pk).update(run_after=timezone.now())
        assert claim(tenant_id=town.tenant_id, job_id=job.pk) is not None


def test_an_external_id_comes_back_unless_another_document_has_it_by_now(town: Town) -> None:
    def upload(name: str) -> UUID:
        with working(town.tenant_id):
            made = upload_document(
                clearance=clearance_for(member_id=town.bob),
                collection_id=town.collection_id,
                upload=letter(external_id=name),
                grants=None,
            )
            keep_from_workers()
        return made

    alone, taken = upload("alone"), upload("taken")
    found = hold(town, documents=[alone, taken])
    by_another = upload("taken")

    release(town, found)

    with working(town.tenant_id):
        names = {
            one: get_document_as_custodian(document_id=one).external_id
            for one in (alone, taken, by_another)
        }
    assert names == {alone: "alone", taken: None, by_another: "taken"}
