"""From upload to being found, over HTTP, with real workers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from uuid import uuid4

import httpx2
import pytest

from tests.flows.service import Service, Tenant, uuid_of, wait_until

HARBOR = "The harbor opens at six in the morning and closes at nine in the evening."


def _word() -> str:
    """Return a word that no other test uses."""
    return f"w{uuid4().hex[:14]}"


def _sections(word: str, *, n: int = 4) -> str:
    """Return a text of n chunks, each of which holds the word."""
    sentence = "The keeper of the lighthouse writes down the weather every hour. "
    return "\n\n".join(f"{word} part {i}. {sentence * 14}" for i in range(n))


def test_a_text_is_found_by_its_words_and_by_its_meaning_as_soon_as_it_is_ready(
    tenant: Tenant,
) -> None:
    document = tenant.alice.upload(tenant.collection, HARBOR)

    tenant.alice.wait(document)

    for person in (tenant.alice, tenant.bob):
        assert person.finds(document, "harbor", mode="text")
        assert person.finds(document, "When may ships enter the port?", mode="vector")
    assert tenant.carol.search("harbor") == []


def test_a_text_is_found_in_its_own_language_whether_or_not_that_is_declared(
    tenant: Tenant,
) -> None:
    text = "Die alten Häuser am Hafen werden im nächsten Jahr renoviert."
    declared = tenant.alice.upload(tenant.collection, "Alte Häuser", language="de-AT")
    told = tenant.alice.upload(tenant.collection, text)
    other = tenant.alice.upload(tenant.collection, text, language="fr")

    shown = [tenant.alice.wait(document)["language"] for document in (declared, told, other)]

    assert shown == ["de", "de", "fr"]
    assert tenant.alice.finds(declared, "Haus", mode="text")
    assert tenant.alice.finds(told, "Haus", mode="text")
    assert not tenant.alice.finds(other, "Haus", mode="text")


def test_the_states_come_in_order_with_their_times_and_progress_only_grows(tenant: Tenant) -> None:
    document = tenant.alice.upload(tenant.collection, _sections(_word(), n=60))
    seen: list[tuple[str, float]] = []

    def is_ready() -> bool:
        now = tenant.alice.document(document)
        seen.append((now["state"], now["progress"]))
        return bool(now["state"] == "ready")

    wait_until(is_ready, "a document that is ready")

    order = ["received", "parsed", "chunked", "embedded", "ready"]
    places = [order.index(state) for state, _ in seen]
    progress = [share for _, share in seen]
    assert places == sorted(places)
    assert progress == sorted(progress)
    assert progress[-1] == 1.0
    assert any(0.2 < share < 0.95 for share in progress), "no progress was shown while embedding"
    version = tenant.alice.document(document)["versions"]["latest"]
    times = [datetime.fromisoformat(version[f"{state}_at"]) for state in order]
    assert times == sorted(times)
    assert version["failed_at"] is None


def test_a_bad_file_ends_failed_with_a_reason_and_a_retry_reads_it_again(tenant: Tenant) -> None:
    document = tenant.alice.upload_file(tenant.collection, "report.pdf", b"%PDF-1.7 cut off")

    failed = tenant.alice.wait(document, "failed", "ready")

    assert failed["state"] == "failed"
    assert failed["reason"]["code"]
    assert failed["reason"]["detail"].endswith(".")
    assert failed["versions"]["latest"]["failed_at"]
    assert tenant.n_jobs() == 0
    assert [f.name.rpartition(".")[2] for f in tenant.files(document)] == ["original"]

    tenant.alice.post(f"/v1/documents/{document}/retry")
    tenant.alice.wait(document, "failed")
    assert tenant.n_events("document.failed", document) == 2


def test_a_document_that_failed_is_found_after_new_content_comes(tenant: Tenant) -> None:
    document = tenant.alice.upload_file(tenant.collection, "report.pdf", b"%PDF-1.7 cut off")
    tenant.alice.wait(document, "failed")

    tenant.alice.replace(document, HARBOR)
    tenant.alice.wait(document)

    assert tenant.alice.finds(document, "harbor")


def test_a_new_version_that_fails_leaves_the_old_one_found(tenant: Tenant) -> None:
    document = tenant.alice.upload(tenant.collection, HARBOR)
    tenant.alice.wait(document)

    tenant.alice.replace(document, "   \n ")
    failed = tenant.alice.wait(document, "failed", "ready")

    assert failed["state"] == "failed"
    assert tenant.alice.finds(document, "harbor")


def test_the_same_text_is_embedded_once_in_an_audience(tenant: Tenant, service: Service) -> None:
    word = _word()
    for _ in range(3):
        document = tenant.alice.upload(tenant.collection, f"The {word} opens at six.")
        tenant.alice.wait(document)

        assert tenant.alice.finds(document, word, mode="vector")
    assert service.gate.n_embedded(word) == 1


def test_a_paragraph_that_a_document_repeats_is_embedded_once(
    tenant: Tenant, service: Service
) -> None:
    word = _word()
    document = tenant.alice.upload(tenant.collection, _sections(word, n=1) * 1)
    tenant.alice.wait(document)
    first = service.gate.n_embedded(word)

    tenant.alice.replace(document, _sections(word, n=1) + "\n\nOne more thing.")
    tenant.alice.wait(document)

    assert first >= 1
    assert service.gate.n_embedded(word) <= first + 1


def test_an_audience_does_not_profit_from_what_another_has_embedded(
    tenant: Tenant, service: Service
) -> None:
    word = _word()
    others = tenant.collection_for("alice:owner", "carol:reader")
    for n, collection in enumerate((tenant.collection, others), start=1):
        tenant.alice.wait(tenant.alice.upload(collection, f"The {word} opens at six."))

        assert service.gate.n_embedded(word) == n


def test_a_tenant_does_not_profit_from_what_another_has_embedded(
    tenant: Tenant, service: Service
) -> None:
    word = _word()
    for n, someone in enumerate((tenant, service.tenant()), start=1):
        someone.alice.wait(someone.alice.upload(someone.collection, f"The {word} opens at six."))

        assert service.gate.n_embedded(word) == n


@contextmanager
def _hammering(searchers: int, search: Callable[[], object]) -> Iterator[list[object]]:
    """Search all the time in several threads; yield what is found, an exception included, from the first on."""
    results: list[object] = []
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            try:
                results.append(search())
            except Exception as error:  # noqa: BLE001 - shown by the test
                results.append(error)

    threads = [threading.Thread(target=work) for _ in range(searchers)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: len(results) > 0, "the first search")
        yield results
    finally:
        over.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("mode", ["hybrid", "vector", "text"])
def test_while_a_version_is_replaced_each_search_finds_exactly_one_of_the_two_whole(
    tenant: Tenant, mode: str
) -> None:
    word = _word()
    document = tenant.alice.upload(tenant.collection, _sections(word))
    tenant.alice.wait(document)
    n_chunks = tenant.n_chunks(document)

    def search() -> list[int]:
        return [one["document"]["version"] for one in tenant.bob.search(word, mode=mode)]

    with _hammering(2, search) as results:
        for version in (2, 3):
            tenant.alice.replace(document, _sections(word))
            tenant.alice.wait(document)
            assert tenant.alice.document(document)["versions"]["current"]["number"] == version

    assert {tuple(versions) for versions in results} <= {  # type: ignore[arg-type]
        (version,) * n_chunks for version in (1, 2, 3)
    }
    assert [1] * n_chunks in results
    assert search() == [3] * n_chunks
    assert tenant.n_chunks(document) == n_chunks
    assert sorted(f.name.rpartition(".")[2] for f in tenant.files(document)) == ["original", "text"]


def test_a_version_overtaken_by_a_newer_one_is_never_found(
    tenant: Tenant, service: Service
) -> None:
    old, new = _word(), _word()
    document = tenant.alice.upload(tenant.collection, f"The {old} opens at six.")
    with service.gate.holding(old):
        service.gate.wait_until_held()
        tenant.alice.replace(document, f"The {new} opens at six.")
        tenant.alice.wait(document)
        assert tenant.alice.finds(document, new, mode="text")
    wait_until(lambda: tenant.n_jobs() == 0, "the end of the overtaken work")

    assert tenant.alice.search(old, mode="text") == []
    assert tenant.n_chunks(document) == 1
    assert tenant.n_events("document.ready", document) == 1
    number = tenant.alice.document(document)["versions"]["latest"]["id"]
    assert {f.name.partition(".")[0] for f in tenant.files(document)} == {
        str(uuid_of("version", number))
    }


def test_a_document_shared_anew_during_ingest_is_found_by_its_new_readers_only(
    tenant: Tenant, service: Service
) -> None:
    word = _word()
    document = tenant.alice.upload(tenant.collection, f"The {word} opens at six.")
    with service.gate.holding(word):
        service.gate.wait_until_held()
        grants = [tenant.grant("alice", "owner"), tenant.grant("carol", "reader")]
        tenant.alice.call("PUT", f"/v1/documents/{document}/grants", json={"grants": grants})
    tenant.alice.wait(document)

    assert tenant.carol.finds(document, word, mode="text")
    assert tenant.carol.finds(document, word, mode="vector")
    assert tenant.bob.search(word) == []
    audiences = service.ask_database(
        "SELECT DISTINCT v.audience_id = d.audience_id FROM corpus_chunkvector v"
        " JOIN corpus_document d ON d.id = v.document_id WHERE d.id = %s",
        uuid_of("document", document),
    )
    assert audiences == [(True,)]


def test_a_document_shared_anew_while_it_is_stored_is_found_by_its_new_readers_only(
    tenant: Tenant, service: Service
) -> None:
    word = _word()
    share = threading.Thread(
        target=lambda: tenant.alice.call(
            "PUT",
            f"/v1/documents/{document}/grants",
            json={"grants": [tenant.grant("alice", "owner"), tenant.grant("carol", "reader")]},
        )
    )
    with service.table_locked("corpus_chunklexemes"):
        document = tenant.alice.upload(tenant.collection, f"The {word} opens at six.")
        wait_until(
            lambda: service.n_waiting_for("corpus_chunklexemes") == 1, "a worker that is storing"
        )
        share.start()
    share.join()
    tenant.alice.wait(document)

    assert tenant.carol.finds(document, word, mode="text")
    assert tenant.carol.finds(document, word, mode="vector")
    assert tenant.bob.search(word) == []


def test_a_stopped_embedding_service_leaves_search_by_text_and_says_when_to_come_back(
    tenant: Tenant, service: Service
) -> None:
    document = tenant.alice.upload(tenant.collection, HARBOR)
    tenant.alice.wait(document)
    service.stack.stop_part("embed")
    try:
        answer = tenant.alice.ask("POST", "/v1/search", json={"query": "harbor"})
        found = tenant.alice.finds(document, "harbor", mode="text")
    finally:
        service.stack.restart_part("embed")

    assert answer.status_code == httpx2.codes.SERVICE_UNAVAILABLE
    assert int(answer.headers["Retry-After"]) > 0
    assert found
