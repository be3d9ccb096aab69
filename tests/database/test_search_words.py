"""The text leg: words as keyed hashes, each weighing as much as it is rare among what the asker sees."""

from __future__ import annotations

import psycopg
import pytest
from django.db import connection

from ambit.access.clearance import clearance_for
from ambit.access.documents import delete_document
from ambit.corpus import search as search_module
from tenants.scope import tenant_scope
from tests.database.office import Office, make_office
from tests.database.worlds import (
    Passage,
    grant,
    make_collection,
    make_group,
    random_vectors,
    unit,
    working,
)


@pytest.fixture
def office() -> Office:
    """Return a fresh tenant."""
    return make_office()


def test_the_text_leg_finds_the_exact_word_that_vectors_would_miss(office: Office) -> None:
    office.publish(
        *(Passage(f"passage number {n}", v) for n, v in enumerate(random_vectors(80, seed=5)))
    )
    office.publish(Passage("Article XR-7741 is recalled.", -unit(0)))

    for mode in ("text", "hybrid"):
        found = office.ask(office.bob, "XR-7741", unit(0), k=50, mode=mode)
        assert "Article XR-7741 is recalled." in [p.text for p in found]
    only_text = office.ask(office.bob, "XR-7741", unit(0), mode="text")
    assert [p.text for p in only_text] == ["Article XR-7741 is recalled."]


@pytest.mark.parametrize("n", [20, 300])
def test_a_rare_word_says_more_than_common_ones_however_often_they_stand(
    office: Office, n: int
) -> None:
    vectors = random_vectors(n + 1, seed=21)
    office.publish(
        *(Passage("harbor master harbor master harbor", v) for v in vectors[:-1]),
        Passage("The master of the harbor keeps a zebra in the old customs house", vectors[-1]),
    )

    found = office.ask(office.bob, "Which harbor master has a zebra?", mode="text")

    assert "zebra" in found[0].text
    assert len(found) == 10


@pytest.mark.parametrize("query", ["harbor zebra", "Is there a harbor of zebras?"])
def test_a_word_that_stands_nowhere_silences_no_other(office: Office, query: str) -> None:
    vectors = random_vectors(300, seed=23)
    office.publish(*(Passage("harbor master", vector) for vector in vectors))

    assert len(office.ask(office.bob, query, mode="text")) == 10


def test_a_pasted_page_is_as_quick_as_its_first_words(office: Office) -> None:
    office.publish(Passage("harbor master", unit(0)))
    page = " ".join(f"word{n}" for n in range(1000))

    assert len(office.ask(office.bob, f"harbor {page}", mode="text")) == 1
    assert office.ask(office.bob, f"{page} harbor", mode="text") == []


def test_common_words_alone_are_searched_too(office: Office) -> None:
    vectors = random_vectors(300, seed=22)
    office.publish(*(Passage("harbor master", vector) for vector in vectors))

    assert len(office.ask(office.bob, "harbor master", mode="text")) == 10


def test_the_oldest_documents_do_not_speak_for_all(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the oldest of which a sample would be full neither word stands; among all, one of them in half."""
    monkeypatch.setattr(search_module, "SAMPLED_ROWS", 20)
    texts = ["paper"] * 30 + ["harbor harbor harbor harbor"] * 29 + ["the zebra of the house"]
    for text, vector in zip(texts, random_vectors(len(texts), seed=26), strict=True):
        office.publish(Passage(text, vector))

    assert office.ask(office.bob, "harbor zebra", mode="text")[0].text == "the zebra of the house"


def test_the_oldest_audiences_do_not_speak_for_all(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the oldest ten of nineteen audiences one of the words does not stand; it does in all the others."""
    monkeypatch.setattr(search_module, "SAMPLED_AUDIENCES", 10)
    for n in range(18):
        with working(office.tenant_id):
            collection_id = make_collection(
                grant("owner", member=office.alice),
                grant("reader", member=office.bob),
                grant("reader", group=make_group()),
            )
        text = "harbor harbor harbor" if n > 8 else "paper"
        office.publish(Passage(text, unit(n)), collection_id=collection_id)
    office.publish(Passage("the zebra of the house", unit(20)))

    assert office.ask(office.bob, "harbor zebra", mode="text")[0].text == "the zebra of the house"


def test_without_a_vector_nothing_is_found_but_by_words(office: Office) -> None:
    office.publish(Passage("harbor", unit(0)), Passage("paper", unit(1)))

    assert [p.text for p in office.ask(office.bob, "harbor", None, mode="hybrid")] == ["harbor"]
    assert office.ask(office.bob, "harbor", None, mode="vector") == []


def test_what_is_sampled_does_not_follow_where_rows_lie(
    office: Office, superuser: psycopg.Connection
) -> None:
    """A sample in the heap's order would change as neighbours' deletions leave room to move into."""
    vectors = random_vectors(1000, seed=25)
    words = (["harbor"] * 9 + ["zebra"] * 11) * 50
    office.publish(*(Passage(word, vector) for word, vector in zip(words, vectors, strict=True)))

    before = _asked_without_an_indexs_order(office)
    superuser.execute(
        "WITH moved AS (DELETE FROM corpus_chunklexemes WHERE tenant_id = %(tenant)s RETURNING *)"
        " INSERT INTO corpus_chunklexemes SELECT * FROM moved ORDER BY words::text <>"
        " (SELECT m.words::text FROM moved m JOIN corpus_chunk c USING (id) WHERE c.ordinal = 0)",
        {"tenant": office.tenant_id},
    )

    assert _asked_without_an_indexs_order(office) == before == {"harbor"}


def _asked_without_an_indexs_order(office: Office) -> set[str]:
    """Return the texts of the best ten, from a plan in which no index puts rows in order."""
    with tenant_scope(office.tenant_id, member_id=office.bob):
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_indexscan = off")
            cursor.execute("SET LOCAL enable_indexonlyscan = off")
        found = office.ask(office.bob, "harbor zebra", mode="text")
        assert len(found) == 10
        return {passage.text for passage in found}


def test_a_document_that_is_hidden_changes_no_order(office: Office) -> None:
    """Each of the first 250 passages sampled, and of all 500, another of the two words is the rarer."""
    passages = []
    for n, vector in enumerate(random_vectors(500, seed=1)):
        usual, other = ("alpha", "beta") if n < 250 else ("beta", "alpha")
        words = ["common"]
        if n % 5 == (0 if n < 250 else 1):
            words.append(usual)
        if n % (50 if n < 250 else 60) == 3:
            words.append(other)
        passages.append(Passage(" ".join([*words, f"p{n}"]), vector))
    office.publish(*passages)
    before = [p.text for p in office.ask(office.bob, "alpha beta", mode="text")]

    both = [grant("owner", member=office.alice), grant("reader", member=office.bob)]
    document_id = office.publish(Passage("something else", unit(0)), grants=both)
    with working(office.tenant_id):
        delete_document(clearance=clearance_for(member_id=office.alice), document_id=document_id)

    assert [p.text for p in office.ask(office.bob, "alpha beta", mode="text")] == before


def test_a_question_of_no_words_has_no_text_leg(office: Office) -> None:
    office.publish(Passage("harbor", unit(0)))

    assert office.ask(office.bob, "the ? & | !", unit(0), mode="text") == []
    assert len(office.ask(office.bob, "the ? & | !", unit(0))) == 1


def test_the_same_words_are_other_hashes_in_another_tenant(superuser: psycopg.Connection) -> None:
    hashes = []
    for office in (make_office(), make_office()):
        office.publish(Passage("harbor", unit(0)))
        hashes.append(
            superuser.execute(
                "SELECT array_agg(words::text) FROM corpus_chunklexemes WHERE tenant_id = %s",
                [office.tenant_id],
            ).fetchone()
        )

    assert hashes[0] != hashes[1]
    assert "harbor" not in str(hashes)
