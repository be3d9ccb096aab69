"""Whatever dies in the middle of an ingest, the document ends ready, once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID, uuid4

import httpx2
import psutil
import psycopg
import pytest

from tests.flows.service import Json, Service, Tenant, uuid_of, wait_until
from tests.flows.stepper import IN_STORE, STORED, Stepper, points

pytestmark = pytest.mark.long

POINTS = points()
CASES = [(point, 1) for point in POINTS] + [(point, 2) for point in (*IN_STORE, STORED)]
SENTENCE = "The keeper of the lighthouse writes down the weather every hour. "


def _word() -> str:
    return f"w{uuid4().hex[:14]}"


def _text(word: str, *, version: int = 1) -> str:
    """Return a text of two chunks, each of which holds the word."""
    return "\n\n".join(f"{word} {version} {part}. {SENTENCE * 14}" for part in ("first", "then"))


def _job_of(tenant: Tenant, document: str) -> UUID:
    version = tenant.alice.document(document)["versions"]["latest"]["id"]
    rows = tenant.service.ask_database(
        "SELECT id FROM jobs_job WHERE tenant_id = %s AND object_id = %s",
        tenant.uuid,
        uuid_of("version", version),
    )
    ((job_id,),) = rows
    assert isinstance(job_id, UUID)
    return job_id


def _versions_found(tenant: Tenant, word: str) -> list[int]:
    return [one["document"]["version"] for one in tenant.alice.search(word, mode="text")]


@pytest.fixture(scope="module")
def stepper(service: Service) -> Iterator[Stepper]:
    made = Stepper(service)
    yield made
    made.close()


@dataclass(frozen=True)
class Story:
    """What became of a document whose worker was killed."""

    ended_by: int
    found_between: list[int]
    found_at_last: list[int]
    document: Json
    n_chunks: int
    n_ready: int
    files: list[str]


@pytest.fixture(scope="module")
def killed(service: Service, stepper: Stepper) -> dict[tuple[str, int], Story]:
    """Kill a worker at each point, where it stores also of a second version, all at once."""
    tenant = service.tenant()
    cases = CASES
    words = {case: _word() for case in cases}
    documents = {
        case: tenant.alice.upload(tenant.collection, _text(words[case]))
        for case in cases
        if case[1] == 2
    }
    for document in documents.values():
        tenant.alice.wait(document)
    with service.worker_asleep():
        for case in cases:
            if case in documents:
                tenant.alice.replace(documents[case], _text(words[case], version=2))
            else:
                documents[case] = tenant.alice.upload(tenant.collection, _text(words[case]))
        pids = {
            case: stepper.start(
                tenant.uuid, _job_of(tenant, documents[case]), case[0], signal.SIGKILL
            )
            for case in cases
        }
        ended_by = {case: stepper.signal_of(pid) for case, pid in pids.items()}
        between = {case: _versions_found(tenant, words[case]) for case in cases}
    for document in documents.values():
        tenant.alice.wait(document)
    wait_until(lambda: tenant.n_jobs() == 0, "the end of all work")
    return {
        case: Story(
            ended_by=ended_by[case],
            found_between=between[case],
            found_at_last=_versions_found(tenant, words[case]),
            document=tenant.alice.document(document),
            n_chunks=tenant.n_chunks(document),
            n_ready=tenant.n_events("document.ready", document),
            files=sorted(f.name.rpartition(".")[2] for f in tenant.files(document)),
        )
        for case, document in documents.items()
    }


@pytest.mark.parametrize(("point", "version"), CASES)
def test_a_worker_killed_at_any_point_leaves_no_half_and_the_next_ends_it_once(
    killed: dict[tuple[str, int], Story], point: str, version: int
) -> None:
    story = killed[point, version]

    assert story.ended_by == signal.SIGKILL
    before = [1, 1] if version == 2 else []
    assert story.found_between == ([version, version] if point == STORED else before)
    assert story.found_at_last == [version, version]
    assert story.document["state"] == "ready"
    assert story.document["reason"] is None
    assert story.n_chunks == 2
    assert story.n_ready == version
    assert story.files == ["original", "text"]


def test_the_points_cover_the_flow_from_its_first_to_its_last_step() -> None:
    assert POINTS[0].endswith(":open_source")
    assert POINTS[-1] == STORED
    assert len(POINTS) >= 20


@dataclass(frozen=True)
class Remains:
    """What is left of a document that was deleted during its ingest."""

    found: list[int]
    status: int
    n_chunks: int
    n_ready: int
    files: list[str]
    n_jobs: int


@pytest.fixture(scope="module", params=["the worker goes on first", "the worker comes late"])
def deleted(
    service: Service, stepper: Stepper, request: pytest.FixtureRequest
) -> dict[str, Remains]:
    """Delete a document while a worker stands still at each point."""
    late = request.param == "the worker comes late"
    tenant = service.tenant()
    # A deletion waits for the end of a transaction that stores the document.
    cases = [point for point in POINTS if not (late and point in IN_STORE)]
    words = {case: _word() for case in cases}
    with ThreadPoolExecutor(len(IN_STORE) + 2) as pool:
        with service.worker_asleep():
            documents = {c: tenant.alice.upload(tenant.collection, _text(words[c])) for c in cases}
            pids = {
                case: stepper.start(tenant.uuid, _job_of(tenant, document), case, signal.SIGSTOP)
                for case, document in documents.items()
            }
            for pid in pids.values():
                stepper.wait_until_there(pid)
            deletions = {c: pool.submit(tenant.alice.delete, documents[c]) for c in cases}
            for case in cases:
                if case not in IN_STORE:
                    deletions[case].result()
            if not late:
                _go_on(stepper, pids)
        for deletion in deletions.values():
            deletion.result()
        wait_until(lambda: tenant.n_jobs() == 0, "the end of all work")
        if late:
            _go_on(stepper, pids)
    return {
        case: Remains(
            found=_versions_found(tenant, words[case]),
            status=tenant.alice.ask("GET", f"/v1/documents/{document}").status_code,
            n_chunks=tenant.n_chunks(document),
            n_ready=tenant.n_events("document.ready", document),
            files=[f.name for f in tenant.files(document)],
            n_jobs=tenant.n_jobs(),
        )
        for case, document in documents.items()
    }


def _go_on(stepper: Stepper, pids: dict[str, int]) -> None:
    for pid in pids.values():
        os.kill(pid, signal.SIGCONT)
    for pid in pids.values():
        assert stepper.signal_of(pid) == 0


@pytest.mark.parametrize("point", POINTS)
def test_a_deletion_during_ingest_wins_at_whatever_point(
    deleted: dict[str, Remains], point: str
) -> None:
    if point not in deleted:
        assert point in IN_STORE
        return
    left = deleted[point]

    assert left.found == []
    assert left.status == httpx2.codes.NOT_FOUND
    assert left.n_chunks == 0
    assert left.files == []
    assert left.n_jobs == 0
    assert left.n_ready == (1 if point in (*IN_STORE, STORED) else 0)


def _ends_once(tenant: Tenant, document: str, word: str) -> None:
    tenant.alice.wait(document)
    wait_until(lambda: tenant.n_jobs() == 0, "the end of all work")
    assert _versions_found(tenant, word) == [1, 1]
    assert tenant.n_chunks(document) == 2
    assert tenant.n_events("document.ready", document) == 1


def test_all_of_a_worker_killed_while_it_embeds_and_stores(
    tenant: Tenant, service: Service
) -> None:
    embedded, stored = _word(), _word()
    with service.gate.holding(embedded), service.table_locked("corpus_chunklexemes"):
        first = tenant.alice.upload(tenant.collection, _text(embedded))
        service.gate.wait_until_held()
        second = tenant.alice.upload(tenant.collection, _text(stored))
        wait_until(
            lambda: service.n_waiting_for("corpus_chunklexemes") == 1, "a worker that is storing"
        )
        service.kill_worker()

    _ends_once(tenant, first, embedded)
    _ends_once(tenant, second, stored)


def test_all_of_a_worker_killed_while_it_parses_takes_its_parser_along(
    tenant: Tenant, service: Service
) -> None:
    word = _word()
    document = tenant.alice.upload(tenant.collection, _text(word))
    parsers: list[psutil.Process] = []

    def caught() -> bool:
        parsers.extend(service.parsers())
        return bool(parsers)

    wait_until(caught, "a parser")
    for parser in parsers:
        parser.suspend()
    assert tenant.alice.document(document)["state"] == "received"

    service.kill_worker()
    for parser in parsers:
        # Caught on its way to its walls, it sees by itself that it is alone.
        with suppress(psutil.NoSuchProcess):
            parser.resume()

    _gone, alive = psutil.wait_procs(parsers, timeout=10)
    assert alive == []
    _ends_once(tenant, document, word)


def test_a_document_that_ends_its_worker_each_time_fails_and_others_go_on(
    tenant: Tenant, service: Service
) -> None:
    deadly = _word()
    with service.gate.deadly(deadly):
        document = tenant.alice.upload(tenant.collection, _text(deadly))
        wait_until(lambda: service.gate.n_killed > 0, "a worker that is killed")
        other = tenant.alice.upload(tenant.collection, SENTENCE)
        tenant.alice.wait(other)
        assert tenant.alice.document(document)["state"] != "failed"
        failed = tenant.alice.wait(document, "failed", "ready")
        n_killed = service.gate.n_killed

    assert failed["state"] == "failed"
    assert failed["reason"]["code"] == "too_many_attempts"
    assert n_killed == 5
    assert tenant.n_jobs() == 0
    assert tenant.alice.search(deadly, mode="text") == []

    tenant.alice.post(f"/v1/documents/{document}/retry")
    _ends_once(tenant, document, deadly)


def test_an_embedding_service_killed_during_ingest_is_waited_for_and_nobody_is_blamed(
    tenant: Tenant, service: Service
) -> None:
    word = _word()
    with service.gate.holding(word):
        document = tenant.alice.upload(tenant.collection, _text(word))
        service.gate.wait_until_held()
        pid = service.stack.pid("embed")
        os.kill(pid, signal.SIGKILL)
    service.stack.wait_until_ready("embed", after_pid=pid)

    _ends_once(tenant, document, word)
    assert tenant.alice.document(document)["attempts"] == 1


def _restart_postgres(service: Service) -> None:
    pid = service.stack.pid("postgres")
    # Postgres' own "immediate" shutdown: as after a power cut, it recovers from its log.
    os.kill(pid, signal.SIGQUIT)
    service.stack.wait_until_ready("postgres", after_pid=pid)


def test_postgres_restarted_at_once_during_ingest_loses_and_doubles_nothing(
    tenant: Tenant, service: Service
) -> None:
    embedded, stored = _word(), _word()
    with service.gate.holding(embedded):
        first = tenant.alice.upload(tenant.collection, _text(embedded))
        service.gate.wait_until_held()
        with suppress(psycopg.OperationalError), service.table_locked("corpus_chunklexemes"):
            second = tenant.alice.upload(tenant.collection, _text(stored))
            wait_until(
                lambda: service.n_waiting_for("corpus_chunklexemes") == 1, "a worker that stores"
            )
            _restart_postgres(service)

    _ends_once(tenant, first, embedded)
    _ends_once(tenant, second, stored)


def test_postgres_restarted_during_searches_gives_503_and_then_answers_as_before(
    tenant: Tenant, service: Service
) -> None:
    word = _word()
    document = tenant.alice.upload(tenant.collection, _text(word))
    tenant.alice.wait(document)
    answers: list[httpx2.Response] = []
    before = tenant.alice.search(word)

    def ask() -> httpx2.Response:
        answers.append(tenant.alice.ask("POST", "/v1/search", json={"query": word}))
        return answers[-1]

    os.kill(service.stack.pid("postgres"), signal.SIGQUIT)
    # Kept away for a moment: on a quiet machine it may be back before anybody asks.
    service.stack.stop_part("postgres")
    try:
        with ThreadPoolExecutor(3) as pool:
            for asked in [pool.submit(ask) for _ in range(3)]:
                asked.result()
    finally:
        service.stack.restart_part("postgres")
    wait_until(lambda: ask().status_code == httpx2.codes.OK, "an answer", within_s=20)

    refused = [one for one in answers if one.status_code != httpx2.codes.OK]
    assert refused, "Postgres was never missed"
    assert {one.status_code for one in refused} == {httpx2.codes.SERVICE_UNAVAILABLE}
    assert all(int(one.headers["Retry-After"]) > 0 for one in refused)
    assert {one.headers["Content-Type"] for one in refused} == {"application/problem+json"}
    assert [ask().status_code for _ in range(10)] == [httpx2.codes.OK] * 10
    assert tenant.alice.search(word) == before


def test_an_upload_while_redis_is_down_is_accepted_and_ingested_later(
    tenant: Tenant, service: Service
) -> None:
    word = _word()
    service.stack.stop_part("redis")
    try:
        answer = tenant.alice.ask(
            "POST",
            "/v1/documents",
            json={"collection": tenant.collection, "title": "A text", "text": _text(word)},
        )
        again = tenant.alice.upload(tenant.collection, SENTENCE)
    finally:
        service.stack.restart_part("redis")

    assert answer.status_code == httpx2.codes.ACCEPTED
    tenant.alice.wait(again)
    _ends_once(tenant, answer.json()["id"], word)


def test_jobs_whose_messages_redis_lost_are_done_all_the_same(
    tenant: Tenant, service: Service
) -> None:
    words = [_word() for _ in range(3)]
    with service.worker_asleep():
        documents = [tenant.alice.upload(tenant.collection, _text(word)) for word in words]
        with service.redis() as redis:
            redis.flushall()

    for document, word in zip(documents, words, strict=True):
        _ends_once(tenant, document, word)
