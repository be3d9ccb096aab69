"""Search over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from ambit.config.runtime.supervisor import Stack
from tenants.ids import public_id
from tests.cast import HANDBOOK, Cast, publish

TEXT = {"query": "annual leave", "mode": "text"}


def found(api: Any, **more: Any) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = api.post("/v1/search", TEXT | more).json()["results"]
    return results


def test_a_passage_comes_with_document_place_and_score(cast: Cast) -> None:
    document = public_id("document", publish(cast.alice, cast.here))

    (passage,) = found(cast.bob)

    assert passage["document"] == {
        "id": document,
        "title": "Handbook",
        "version": 1,
        "collection": cast.here.collection,
    }
    assert passage["text"] == HANDBOOK[passage["char_start"] : passage["char_end"]]
    assert passage["chunk"].startswith("chk_")
    assert passage["score"] > 0
    assert (passage["page_first"], passage["page_last"]) == (None, None)


def test_each_finds_exactly_what_is_granted(cast: Cast) -> None:
    here = public_id("document", publish(cast.alice, cast.here))
    there = public_id("document", publish(cast.mallory, cast.there))

    seen = {
        person.external_id: [p["document"]["id"] for p in found(person)]
        for person in (cast.alice, cast.bob, cast.carol, cast.adam, cast.mallory)
    }

    assert seen == {"alice": [here], "bob": [here], "carol": [], "adam": [], "mallory": [there]}


def test_leaving_a_group_takes_effect_in_the_next_search(cast: Cast) -> None:
    publish(cast.alice, cast.here)
    assert len(found(cast.bob)) == 1

    cast.here.service.delete(f"/v1/groups/{cast.here.group}/members/{cast.bob.public_id}")

    assert found(cast.bob) == []
    assert len(found(cast.alice)) == 1


def test_search_is_narrowed_to_collections_and_none_means_none(cast: Cast) -> None:
    publish(cast.alice, cast.here)

    assert len(found(cast.alice, collections=[cast.here.collection])) == 1
    assert len(found(cast.alice, collections=None)) == 1
    assert found(cast.alice, collections=[]) == []
    for collection in (cast.there.collection, "col_" + "0" * 32, "x"):
        response = cast.alice.post("/v1/search", TEXT | {"collections": [collection]})
        assert (response.status_code, response.json()["code"]) == (404, "collection_not_found")


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"query": ""}, "query"),
        ({"query": "   "}, "query"),
        ({"query": None}, "query"),
        ({"query": ["a"]}, "query"),
        ({"query": "x" * 8001}, "query"),
        ({"query": "a\x00"}, "query"),
        ({"k": 0}, "k"),
        ({"k": 51}, "k"),
        ({"k": "many"}, "k"),
        ({"k": True}, "k"),
        ({"k": 1.5}, "k"),
        ({"mode": "magic"}, "mode"),
        ({"collections": "all"}, "collections"),
        ({"member": "alice"}, "member"),
    ],
)
def test_a_bad_search_is_refused(cast: Cast, more: dict[str, Any], field: str) -> None:
    response = cast.alice.post("/v1/search", TEXT | more)

    assert response.status_code == 400
    assert {e["field"] for e in response.json()["errors"]} == {field}


def test_a_search_is_audited_with_what_it_showed(cast: Cast) -> None:
    document = public_id("document", publish(cast.alice, cast.here))
    (passage,) = found(cast.here.service.acting_for("bob"))

    (event,) = cast.audrey.get("/v1/audit/events", {"action": "search"}).json()["results"]

    assert event["documents"] == [document]
    assert event["chunks"] == [passage["chunk"]]
    assert (event["actor"]["kind"], event["actor"]["member"]) == ("service", cast.bob.public_id)
    assert "leave" not in str(event)


# The HTTP library leaves the socket of a refused connection to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_without_embeddings_text_search_works_and_the_others_are_503(
    cast: Cast, settings: Any, tmp_path: Any
) -> None:
    settings.AMBIT_EMBED_URL = f"unix://{tmp_path}/nobody.sock"
    publish(cast.alice, cast.here)

    for mode in ("hybrid", "vector"):
        response = cast.alice.post("/v1/search", TEXT | {"mode": mode})
        assert (response.status_code, response.json()["code"]) == (503, "embedding_unavailable")
        assert int(response.headers["Retry-After"]) > 0
    assert len(found(cast.alice)) == 1


def test_search_by_meaning_asks_the_embedding_service(cast: Cast, embeddings: Stack) -> None:
    document = public_id("document", publish(cast.alice, cast.here))

    response = cast.bob.post("/v1/search", {"query": "holidays", "mode": "vector", "k": 3})

    (passage,) = response.json()["results"]
    assert passage["document"]["id"] == document
    assert -1 <= passage["similarity"] <= 1
