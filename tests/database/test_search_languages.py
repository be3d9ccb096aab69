"""The text leg in many languages: a document by its own stems, a question by any language's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from django.conf import LazySettings
from django.db import connection

from ambit.corpus.lexemes import words_asked
from ambit.corpus.types import Mode
from tenants.scope import tenant_scope
from tests.database.office import Office, make_office
from tests.database.private import PrivateDatabase
from tests.database.worlds import Passage, grant, random_vectors, unit

_MODES: tuple[Mode, ...] = ("text", "hybrid")
# Language, a document's words, and how a question has one of them.
INFLECTED = [
    ("ar", "تم توقيع العقود في المدينة", "عقود"),
    ("de", "Die Verträge wurden in alten Häusern geschlossen.", "Vertrag"),
    ("en", "The contracts were signed quickly.", "contract"),
    ("es", "Los contratos fueron firmados ayer.", "contrato"),
    ("fr", "Les chevaux mangeaient lentement.", "cheval"),
    ("it", "Le barche sono state vendute.", "barca"),
    ("pt", "As cidades foram visitadas.", "cidade"),
    ("ru", "Вчера были подписаны договоры.", "договор"),
    ("sv", "Skatterna höjdes igen.", "skatt"),
    ("tr", "Sözleşmeler dün imzalandı.", "sözleşme"),
]


@pytest.fixture
def office() -> Office:
    """Return a fresh tenant."""
    return make_office()


@pytest.fixture(scope="module")
def polyglot(_database: None) -> Iterator[Office]:
    """Return a tenant with a document in each of the languages."""
    office = make_office()
    for language, text, _ in INFLECTED:
        office.publish(Passage(text, unit(0)), language=language)
    yield office


@pytest.mark.parametrize(("language", "text", "asked"), INFLECTED)
def test_a_word_is_found_in_another_form_among_documents_of_many_languages(
    polyglot: Office, language: str, text: str, asked: str
) -> None:
    assert asked.lower() not in text.lower().strip(".").split(), language

    found = polyglot.ask(polyglot.bob, asked, mode="text")

    assert [p.text for p in found][:1] == [text]


@pytest.mark.parametrize(
    ("language", "text", "asked"),
    [
        ("zh", "上周的超级碗是一场精彩的比赛。", "比赛"),
        ("ja", "昨日の会議は東京で開かれました。", "会議"),
        ("th", "สัญญาฉบับนี้ลงนามเมื่อวานนี้", "สัญญา"),
    ],
)
def test_a_word_is_found_where_no_space_parts_words(
    office: Office, language: str, text: str, asked: str
) -> None:
    office.publish(Passage(text, unit(0)), language=language)
    office.publish(Passage("天気がとてもいいですね", unit(1)), language="ja")

    assert [p.text for p in office.ask(office.bob, asked, mode="text")] == [text]


@pytest.mark.parametrize("language", ["pl", "und", "vi"])
def test_where_there_is_no_stemmer_words_are_found_as_they_stand(
    office: Office, language: str
) -> None:
    office.publish(Passage("Umowy zostały podpisane", unit(0)), language=language)

    assert len(office.ask(office.bob, "UMOWY?", mode="text")) == 1
    assert office.ask(office.bob, "umowa", mode="text") == []


def test_nothing_declared_is_stemmed_as_the_deployment_says(
    office: Office, settings: LazySettings
) -> None:
    settings.AMBIT_LANGUAGE = "de"
    office.publish(Passage("Alte Häuser", unit(0)))

    assert len(office.ask(office.bob, "Haus", mode="text")) == 1


def test_a_deployment_may_do_with_fewer_languages(office: Office, settings: LazySettings) -> None:
    settings.AMBIT_LANGUAGES = frozenset({"en"})
    office.publish(Passage("Alte Häuser am Hafen", unit(0)), language="de")
    office.publish(Passage("The harbors", unit(1)), language="en")

    found = [office.ask(office.bob, q, mode="text") for q in ("Haus", "Häuser", "the harbor")]

    assert [len(passages) for passages in found] == [0, 1, 1]
    with tenant_scope(office.tenant_id, member_id=office.bob):
        assert max(len(stems) for stems in words_asked("stories of harbors")) == 2


def test_a_word_weighs_the_same_however_many_stems_it_has(office: Office) -> None:
    fillers = [Passage("nothing to see", v) for v in random_vectors(40, seed=31)]
    office.publish(*fillers, *(Passage("the number is x7741", unit(n)) for n in range(6)))
    office.publish(Passage("the contratistas came", unit(7)))
    with tenant_scope(office.tenant_id, member_id=office.bob):
        several, one = words_asked("contratistas x7741")
    assert len(several) > len(one) == 1

    found = office.ask(office.bob, "contratistas x7741", mode="text")

    assert found[0].text == "the contratistas came"


def test_a_questions_small_words_are_not_looked_for_in_other_languages(office: Office) -> None:
    office.publish(Passage("The harbor was closed because of a war.", unit(0)))
    office.publish(
        Passage("Gestern spielten The Who in Berlin, what a night", unit(1)), language="de"
    )

    found = office.ask(office.bob, "What is the cause of the closing of the harbor?", mode="text")

    assert [p.text for p in found] == ["The harbor was closed because of a war."]


@pytest.mark.parametrize("question", ["war in Iraq", "war", "What die is cast in a war?"])
def test_a_word_that_another_language_leaves_out_is_asked(office: Office, question: str) -> None:
    office.publish(Passage("The war ended.", unit(0)))

    assert len(office.ask(office.bob, question, mode="text")) == 1


def test_what_is_asked_does_not_depend_on_what_is_stored(office: Office) -> None:
    office.publish(Passage("The contracts were signed.", unit(0)), Passage("harbor", unit(1)))
    asked = ["contract", "Welche Verträge?", "договор", "比赛", "the harbor"]

    def told() -> list[object]:
        with tenant_scope(office.tenant_id, member_id=office.bob):
            words = [words_asked(question) for question in asked]
        found = [office.ask(office.bob, q, unit(0), mode=m) for q in asked for m in _MODES]
        return [words, found]

    before = told()
    for language, text, _ in INFLECTED:
        office.publish(
            Passage(text, unit(0)), language=language, grants=[grant("owner", member=office.alice)]
        )

    assert told() == before


def test_vectors_that_find_everything_equally_near_do_not_hide_what_words_find(
    office: Office,
) -> None:
    near = unit(0) + 0.01 * random_vectors(80, seed=33)
    near /= np.linalg.norm(near, axis=1, keepdims=True)
    office.publish(*(Passage("das Wetter", v) for v in near))
    office.publish(Passage("die Verträge", -unit(0)), language="de")

    assert office.ask(office.bob, "Vertrag", unit(0))[0].text == "die Verträge"


def test_vectors_that_tell_passages_apart_come_first(office: Office) -> None:
    office.publish(Passage("a striped horse", unit(0)))
    office.publish(*(Passage("the weather", v) for v in random_vectors(80, seed=34)))
    office.publish(Passage("zebra", -unit(0)))

    assert office.ask(office.bob, "zebra", unit(0))[0].text == "a striped horse"


def test_a_language_that_postgres_lacks_leaves_out_no_word(private: PrivateDatabase) -> None:
    # As Postgres 17 lacks Estonian.
    rename = "ALTER TEXT SEARCH CONFIGURATION pg_catalog.{} RENAME TO {}"
    with private.in_use(), private.superuser() as superuser:
        office = make_office()
        office.publish(Passage("The contracts were signed at the harbor.", unit(0)))
        superuser.execute(rename.format("estonian", "gone").encode())
        try:
            found = office.ask(office.bob, "contract harbor", mode="text")
        finally:
            superuser.execute(rename.format("gone", "estonian").encode())
    assert len(found) == 1


def test_of_a_long_question_only_a_beginning_is_stemmed(office: Office) -> None:
    """Thirty stemmers over a pasted page would cost more than the search; 64 words are looked for at most."""
    sent: list[str] = []

    def watch(execute: Any, sql: str, params: Any, *rest: Any) -> Any:
        if "pg_ts_config" in sql and "array_agg" in sql:
            sent.append(params[1])
        return execute(sql, params, *rest)

    with tenant_scope(office.tenant_id), connection.execute_wrapper(watch):
        for question in ("港口合同" * 2000, "harbor " * 4000, "abcdefghij" * 100 + " y" * 4000):
            assert 1 <= len(words_asked(question)) <= 64

    assert len(sent) == 3
    assert max(len(text) for text in sent) <= 4000
    assert max(len(text.split()) for text in sent) <= 256
