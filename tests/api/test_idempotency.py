"""Idempotency-Key on POSTs."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from ambit.api.idempotency import KEPT, UNDER_WAY
from ambit.corpus.models import Document
from ambit.jobs.kinds import ERASE, REMOVE_DOCUMENT
from ambit.jobs.models import Job
from ambit.jobs.services import claim
from tenants.models import IdempotencyKey
from tests.cast import Cast
from tests.database.erasures import keep_from_workers
from tests.database.worlds import working
from workers.erase.flow import erase, remove

HEADERS = {"Idempotency-Key": "once"}


def body(cast: Cast, **more: Any) -> dict[str, Any]:
    return {"collection": cast.here.collection, "title": "T", "text": "t"} | more


def test_a_repeated_request_makes_nothing_and_shows_the_same(cast: Cast) -> None:
    first = cast.alice.post("/v1/documents", body(cast), headers=HEADERS)
    again = cast.alice.post("/v1/documents", body(cast), headers=HEADERS)

    assert first.status_code == again.status_code == 202
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.headers["Location"] == first.headers["Location"]
    assert again.json()["id"] == first.json()["id"]
    assert len(cast.alice.get("/v1/documents").json()["results"]) == 1


def test_a_repeated_form_is_recognised_by_its_file(cast: Cast) -> None:
    def form(content: bytes) -> dict[str, Any]:
        file = SimpleUploadedFile("a.txt", content, "text/plain")
        return {"file": file, "collection": cast.here.collection}

    first, again, other = (
        cast.alice.post("/v1/documents", form(c), format="multipart", headers=HEADERS)
        for c in (b"a", b"a", b"b")
    )

    assert again.json()["id"] == first.json()["id"]
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")


def test_the_key_with_another_request_is_refused(cast: Cast) -> None:
    cast.alice.post("/v1/documents", body(cast), headers=HEADERS)

    other = cast.alice.post("/v1/documents", body(cast, title="Other"), headers=HEADERS)

    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    assert len(cast.alice.get("/v1/documents").json()["results"]) == 1


def test_a_refused_request_does_not_use_the_key_up(cast: Cast) -> None:
    bad = cast.alice.post("/v1/documents", body(cast, title=""), headers=HEADERS)
    good = cast.alice.post("/v1/documents", body(cast), headers=HEADERS)

    assert (bad.status_code, good.status_code) == (400, 202)


def test_two_members_of_one_service_do_not_share_keys(cast: Cast) -> None:
    service = cast.here.service
    shared = [
        {"principal": "member:alice", "role": "owner"},
        {"principal": "member:carol", "role": "owner"},
    ]
    cast.adam.put(f"/v1/collections/{cast.here.collection}/grants", {"grants": shared})

    alices, carols = (
        service.acting_for(name).post("/v1/documents", body(cast), headers=HEADERS)
        for name in ("alice", "carol")
    )

    assert alices.status_code == carols.status_code == 202
    assert alices.json()["id"] != carols.json()["id"]


def test_a_replay_shows_nothing_that_may_not_be_seen_any_more(cast: Cast) -> None:
    cast.alice.post("/v1/documents", body(cast), headers=HEADERS)
    cast.adam.put(f"/v1/collections/{cast.here.collection}/grants", {"grants": []})

    again = cast.alice.post("/v1/documents", body(cast), headers=HEADERS)

    assert (again.status_code, again.json()["code"]) == (404, "document_not_found")


@pytest.mark.parametrize("how", ["deletion", "erasure"])
def test_a_replay_does_not_bring_back_what_is_destroyed(cast: Cast, how: str) -> None:
    first = cast.alice.post("/v1/documents", body(cast), headers=HEADERS).json()
    if how == "deletion":
        cast.alice.delete(f"/v1/documents/{first['id']}")
    else:
        case = {"documents": [first["id"]], "reason": "Mistake"}
        assert cast.olivia.post("/v1/erasures", case).status_code == 202
    hidden = cast.alice.post("/v1/documents", body(cast), headers=HEADERS)
    _destroy(cast.here.id)

    again = cast.alice.post("/v1/documents", body(cast), headers=HEADERS)
    other = cast.alice.post("/v1/documents", body(cast, title="Other"), headers=HEADERS)

    for answer in (hidden, again, other):
        assert (answer.status_code, answer.json()["code"]) == (404, "document_not_found")
    with working(cast.here.id, custody=True):
        assert Document.objects.get().erased_at is not None
        (kept,) = IdempotencyKey.objects.all()
    assert (kept.request_hash, kept.object_ids) == ("", [UUID(int=0)])


def test_a_replayed_batch_of_which_something_is_destroyed_makes_and_tells_nothing(
    cast: Cast,
) -> None:
    batch = {"documents": [body(cast, title="A"), body(cast, title="B")]}
    made = cast.alice.post("/v1/documents/batch", batch, headers=HEADERS).json()["results"]
    cast.alice.delete(f"/v1/documents/{made[0]['id']}")
    hidden = cast.alice.post("/v1/documents/batch", batch, headers=HEADERS).json()["results"]
    _destroy(cast.here.id)

    again = cast.alice.post("/v1/documents/batch", batch, headers=HEADERS)
    other = cast.alice.post("/v1/documents", body(cast), headers=HEADERS)

    assert [(r["id"], r["status"]) for r in hidden] == [(None, 404), (made[1]["id"], 202)]
    for answer in (again, other):
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_mismatch")
    assert len(cast.alice.get("/v1/documents").json()["results"]) == 1


def test_a_key_of_one_kind_is_not_taken_for_another(cast: Cast) -> None:
    made = {"external_id": "new", "email": "new@example.test"}
    case = {"subject": {"type": "email", "value": made["email"]}, "reason": "Art. 17"}
    cast.here.service.post("/v1/members", made, headers=HEADERS)
    cast.olivia.post("/v1/erasures", case)
    _destroy(cast.here.id)

    group = {"external_id": "g", "name": "G"}
    other = cast.here.service.post("/v1/groups", group, headers=HEADERS)

    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")


def test_a_replay_does_not_bring_an_erased_member_back(cast: Cast) -> None:
    made = {"external_id": "new", "email": "new@example.test"}
    case = {"subject": {"type": "email", "value": made["email"]}, "reason": "Art. 17"}
    assert cast.here.service.post("/v1/members", made, headers=HEADERS).status_code == 201
    assert cast.olivia.post("/v1/erasures", case).status_code == 202
    _destroy(cast.here.id)

    again = cast.here.service.post("/v1/members", made, headers=HEADERS)

    assert (again.status_code, again.json()["code"]) == (404, "member_not_found")


def _destroy(tenant_id: UUID) -> None:
    """Do the jobs that destroy, until none is left; another test's transaction can delay one."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with working(tenant_id):
            waiting = Job.objects.filter(name__in=[ERASE.name, REMOVE_DOCUMENT.name])
            left = waiting.count()
            keep_from_workers()
            waiting.filter(lease=None).update(run_after=timezone.now())
            job = waiting.filter(lease=None).first()
            held = claim(tenant_id=tenant_id, job_id=job.pk) if job else None
        if left == 0:
            return
        if held is not None:
            (erase if held.kind.name == ERASE.name else remove)(held)
        time.sleep(0.05)
    raise TimeoutError


@pytest.mark.parametrize("key", ["", "x" * 201, "ä"])
def test_a_bad_key_is_refused(cast: Cast, key: str) -> None:
    response = cast.alice.post("/v1/documents", body(cast), headers={"Idempotency-Key": key})

    assert (response.status_code, response.json()["code"]) == (400, "bad_idempotency_key")


def test_members_and_groups_are_not_made_twice(cast: Cast) -> None:
    member = {"external_id": "new", "email": "new@example.test"}
    group = {"external_id": "new", "name": "New"}

    for path, made in (("/v1/members", member), ("/v1/groups", group)):
        first, again = (
            cast.here.service.post(path, made, headers={"Idempotency-Key": path}) for _ in range(2)
        )
        assert first.status_code == again.status_code == 201
        assert first.json() == again.json()


def test_keys_are_kept_for_a_day_and_go_as_others_come(cast: Cast) -> None:
    for n in range(3):
        cast.alice.post("/v1/documents", body(cast), headers={"Idempotency-Key": f"old-{n}"})
    with working(cast.here.id):
        IdempotencyKey.objects.update(created_at=timezone.now() - KEPT - timedelta(minutes=1))
    young = cast.alice.post("/v1/documents", body(cast), headers={"Idempotency-Key": "young"})
    with working(cast.here.id):
        assert IdempotencyKey.objects.count() == 1

    again = cast.alice.post("/v1/documents", body(cast), headers={"Idempotency-Key": "young"})
    anew = cast.alice.post("/v1/documents", body(cast), headers={"Idempotency-Key": "old-0"})

    assert again.json()["id"] == young.json()["id"]
    assert (anew.status_code, anew.headers.get("Idempotency-Replayed")) == (202, None)


def test_a_key_under_way_is_held_for_as_long_as_the_longest_answer_takes(
    cast: Cast, settings: Any
) -> None:
    settings.AMBIT_VLLM_TIMEOUT_S, settings.AMBIT_VLLM_QUEUE_S = 120, 600
    # Both places on the model waited for to the end, and the model as slow as it may be.
    longest = timedelta(seconds=600 + 600 + 120)
    cast.alice.post("/v1/documents", body(cast), headers=HEADERS)

    def asked_again_after(age: timedelta) -> Any:
        with working(cast.here.id):
            IdempotencyKey.objects.update(status=UNDER_WAY, created_at=timezone.now() - age)
        return cast.alice.post("/v1/documents", body(cast), headers=HEADERS)

    waiting = asked_again_after(longest + timedelta(seconds=30))
    given_up = asked_again_after(longest + timedelta(seconds=90))

    assert (waiting.status_code, waiting.json()["code"]) == (409, "idempotency_busy")
    assert given_up.status_code == 202
