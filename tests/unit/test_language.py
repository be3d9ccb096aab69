"""What a text is written in is told from the text, and not guessed where it is too short."""

from __future__ import annotations

import pytest

from ambit.corpus.languages import primary_subtag, spaced
from workers.ingest.language import find_language


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("ar", "يغلق الميناء أبوابه في التاسعة مساء كل يوم."),
        ("de", "Der Hafen schließt jeden Abend um neun Uhr."),
        ("en", "The harbor closes at nine every evening, and opens at six."),
        ("es", "El puerto cierra todas las noches a las nueve y abre a las seis."),
        ("fr", "Le port ferme tous les soirs à neuf heures."),
        ("ja", "港は毎晩九時に閉まります。"),
        ("ru", "Порт закрывается каждый вечер в девять часов."),
        ("th", "ท่าเรือปิดทุกวันเวลาสามทุ่ม"),
        ("zh", "港口每天晚上九点关闭，早上六点开放。"),
    ],
)
def test_a_sentence_is_enough_to_tell_its_language(language: str, text: str) -> None:
    assert find_language(text) == language


@pytest.mark.parametrize(
    "text", ["", " ", "XR-7741", "1234 5678", "harbor master", "passage number 1"]
)
def test_a_text_that_tells_too_little_is_not_guessed(text: str) -> None:
    assert find_language(text) is None


def test_a_long_text_is_told_by_all_of_it_and_not_by_its_first_page() -> None:
    cover = "CONFIDENTIAL. Copyright of the publisher, all rights reserved. " * 20

    assert find_language(cover + "Der Hafen schließt jeden Abend um neun Uhr. " * 2000) == "de"


@pytest.mark.parametrize(
    ("tag", "language"),
    [("de", "de"), ("pt-BR", "pt"), ("ZH-Hant-TW", "zh"), ("yue", "yue"), ("german", None),
     ("", None), ("d", None), ("de-", None), ("de_AT", None), ("de-AT\n", None)],
)  # fmt: skip
def test_of_a_tag_the_language_is_taken(tag: str, language: str | None) -> None:
    assert primary_subtag(tag) == language


def test_scripts_without_spaces_become_pairs_and_others_stay_as_they_are() -> None:
    assert spaced("Haus 超级碗50是 a") == "Haus  超级 级碗 50 是  a"
    assert spaced("Ελλάδα, Россия, हिन्दी, 한국어") == "Ελλάδα, Россия, हिन्दी, 한국어"
