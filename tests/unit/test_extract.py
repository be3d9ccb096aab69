from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambit.answers.cite import cite
from ambit.answers.extract import ABSTENTION, MAX_CANDIDATES, MAX_QUOTES, extract_answer
from ambit.answers.types import Draft
from ambit.corpus.types import Passage
from ambit.inference.types import Vector

BUDGET = "What is the travel budget for 2026?"


def passage(text: str, *, title: str = "", section: str = "", similarity: float = 0.5) -> Passage:
    return Passage(
        chunk_id=UUID(int=1),
        document_id=UUID(int=2),
        version_id=UUID(int=3),
        version=1,
        collection_id=UUID(int=4),
        title=title,
        section=section,
        text=text,
        page_first=None,
        page_last=None,
        char_start=0,
        char_end=len(text),
        score=0.1,
        similarity=similarity,
    )


def by_words(texts: Sequence[str]) -> list[Vector]:
    """Embed by counting hashed words: enough meaning for what is tested here."""
    vectors = []
    for text in texts:
        vector = np.zeros(4096, dtype=np.float32)
        vector[0] = 1e-3
        for word in re.findall(r"\w+", text.casefold()):
            vector[int.from_bytes(hashlib.sha256(word.encode()).digest()[:4]) % 4096] += 1
        vectors.append((vector / np.linalg.norm(vector)).astype(np.float32))
    return vectors


def all_alike(texts: Sequence[str]) -> list[Vector]:
    """Give the question and every sentence high, but not the same, likeness."""
    vectors = np.full((len(texts), len(texts) + 1), 0.0, dtype=np.float32)
    vectors[:, 0] = 0.9
    for n in range(len(texts)):
        vectors[n, n + 1] = np.sqrt(1 - 0.81)
    return list(vectors)


def draft(question: str, *passages: Passage) -> Draft:
    return extract_answer(question=question, passages=passages, embed=by_words)


def quotes(given: Draft, *passages: Passage) -> list[str]:
    return [passages[q.passage_index].text[q.start : q.end] for q in given.quotes]


def test_the_sentence_that_answers_is_quoted_with_its_marker() -> None:
    other = passage("The gate opens at half past five.")
    policy = passage(
        "Trips are booked early. The travel budget for 2026 is 240,000 euros. Trains come first."
    )

    made = draft(BUDGET, other, policy)

    assert made.text == "The travel budget for 2026 is 240,000 euros. [2]"
    assert quotes(made, other, policy) == ["The travel budget for 2026 is 240,000 euros."]
    assert (made.generator, made.abstained) == ("extractive", False)


@pytest.mark.parametrize(
    "passages",
    [
        [],
        [passage("")],
        [passage(" \n\t ")],
        [passage("— 2026 —\n***")],
        [passage("Which budget is there for travel in 2026?")],
        [passage("The gate opens at half past five. Lorries wait on Salt Road.")],
    ],
)
def test_where_nothing_answers_it_says_so_and_quotes_nothing(passages: list[Passage]) -> None:
    made = extract_answer(question=BUDGET, passages=passages, embed=by_words)

    assert made == Draft(ABSTENTION, "extractive", abstained=True)


@pytest.mark.parametrize("question", ["", "  ", "?"])
def test_no_question_gets_no_answer(question: str) -> None:
    assert draft(question, passage("The travel budget for 2026 is 240,000 euros.")).abstained


def test_without_text_nothing_is_embedded() -> None:
    def never(_texts: Sequence[str]) -> list[Vector]:
        raise AssertionError

    assert extract_answer(question=BUDGET, passages=[passage("…")], embed=never).abstained


def test_another_year_alone_is_no_answer() -> None:
    near = "In 2024 money for journeys was spent on the train."

    assert draft("How much may be spent in 2026?", passage(near)).abstained


def test_a_long_result_is_embedded_in_one_small_call() -> None:
    sizes: list[int] = []

    def counting(texts: Sequence[str]) -> list[Vector]:
        sizes.append(len(texts))
        return by_words(texts)

    long = [passage(" ".join(f"Rule {n}.{m} is kept." for m in range(40))) for n in range(20)]
    wanted = passage("Sixth. The travel budget for 2026 is 240,000 euros.")
    made = extract_answer(question=BUDGET, passages=[*long[:7], wanted, *long[7:]], embed=counting)

    assert sizes == [MAX_CANDIDATES + 1]
    assert "240,000 euros. [8]" in made.text


def test_at_most_a_few_sentences_are_quoted_in_reading_order() -> None:
    words = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]
    text = " ".join(f"The budget holds for {word} alone." for word in words)
    made = extract_answer(question="budget", passages=[passage(text)], embed=all_alike)

    assert len(made.quotes) == MAX_QUOTES
    assert [q.start for q in made.quotes] == sorted(q.start for q in made.quotes)


def test_the_same_thing_is_quoted_once() -> None:
    twice = [passage("The travel budget for 2026 is 240,000 euros.") for _ in range(3)]

    assert len(draft(BUDGET, *twice).quotes) == 1


def test_sentences_that_differ_in_a_number_are_two() -> None:
    text = "Priority 1 tickets are answered at once. Priority 2 tickets are answered at once."

    assert len(draft("How fast are priority tickets answered?", passage(text)).quotes) == 2


def test_a_heading_introduces_and_is_not_the_answer() -> None:
    policy = passage("Travel budget 2026\n\nIt is 240,000 euros for the whole company.\n")

    assert quotes(draft(BUDGET, policy), policy) == ["It is 240,000 euros for the whole company."]


def test_a_question_in_the_text_introduces_its_answer() -> None:
    faq = passage("What is the travel budget for 2026? It is 240,000 euros in all.")

    assert quotes(draft(BUDGET, faq), faq) == ["It is 240,000 euros in all."]


def test_the_title_counts_as_said() -> None:
    text = "The budget is 240,000 euros."

    assert draft(BUDGET, passage(text)).abstained
    assert not draft(BUDGET, passage(text, title="Travel 2026")).abstained


def test_one_row_of_a_table_is_quoted() -> None:
    table = passage(
        "Post: Chief executive; Base salary in euros: 312000; Bonus at target in euros: 78000\n"
        "Post: Medical director; Base salary in euros: 286000; Bonus at target in euros: 57200\n"
        "Post: Director of Finance; Base salary in euros: 214000; Bonus at target in euros: 42800"
    )

    made = draft("What is the base salary of the medical director?", table)

    assert quotes(made, table)[0].startswith("Post: Medical director;")
    assert "\n" not in quotes(made, table)[0]


def test_a_line_that_ends_in_a_colon_is_quoted_with_its_list() -> None:
    text = "For a travel claim you need:\n- the receipt,\n- the cost centre.\nThe gate opens early."

    made = draft("What do you need for a travel claim?", passage(text))

    assert quotes(made, passage(text)) == [text[: text.index("\nThe gate")]]
    assert made.text == "For a travel claim you need: - the receipt, - the cost centre. [1]"


def test_a_bullet_is_not_quoted_with_its_item() -> None:
    text = "- Trains come first.\n- The travel budget for 2026 is 240,000 euros.\n- No fines."

    made = draft(BUDGET, passage(text))

    assert made.text == "The travel budget for 2026 is 240,000 euros. [1]"


def test_what_looks_like_a_marker_in_the_text_is_not_made_one() -> None:
    text = "The travel budget for 2026 is 240,000 euros [7] of the 【1】 whole."

    made = draft(BUDGET, passage(text))

    assert re.findall(r"\[\d+\]", made.text) == ["[1]"]
    assert quotes(made, passage(text)) == [text]


def test_a_text_without_sentences_is_cut_between_words() -> None:
    text = "travel budget 2026 " + "word " * 400

    made = extract_answer(question="travel budget", passages=[passage(text)], embed=all_alike)
    (quote, *_) = quotes(made, passage(text))

    assert len(quote) <= 500
    assert text.startswith(quote + " ")


@pytest.mark.parametrize(
    "text",
    [
        "Das Reisebudget für 2026 beträgt z. B. 240.000 €. Züge zuerst.",
        "旅費予算は2026年に24万ユーロです。列車が先です。",
        "ميزانية السفر لعام 2026 هي 240000 يورو. القطارات أولا.",
        "👩🏽‍🚒 The travel budget for 2026 is 240,000 € 🚆. Trains\u2028come first.",
        "The travel\u00a0budget for 2026\u200b is 240,000\u202feuros.\r\nTrains come first.\r\n",
        "Cafe\u0301 travel budget 2026: nai\u0308ve 240,000 euros… Trains come first!",
    ],
)
def test_quotes_are_exact_in_awkward_unicode(text: str) -> None:
    made = extract_answer(question=BUDGET, passages=[passage(text)], embed=all_alike)

    found = quotes(made, passage(text))
    assert found
    for quote in found:
        assert quote == quote.strip()
        assert f"{' '.join(quote.split())} [1]" in made.text


def test_its_answer_passes_the_check_of_citations_whole() -> None:
    policy = passage("Trips are booked early. The travel budget for 2026 is 240,000 euros.")

    answer = cite(draft=draft(BUDGET, policy), passages=[policy])

    assert answer.text == "The travel budget for 2026 is 240,000 euros. [1]"
    assert [c.quote for c in answer.citations] == ["The travel budget for 2026 is 240,000 euros."]


@given(
    question=st.text(max_size=60),
    texts=st.lists(
        st.text(
            st.characters() | st.sampled_from(".!?…:;-•|#\n\t []。？0123456789ab"), max_size=1500
        ),
        max_size=5,
    ),
)
def test_any_text_gives_spans_inside_it(question: str, texts: list[str]) -> None:
    passages = [passage(text) for text in texts]

    made = extract_answer(question=question, passages=passages, embed=all_alike)

    assert made.abstained == (not made.quotes)
    for quote in made.quotes:
        said = texts[quote.passage_index][quote.start : quote.end]
        assert said
        assert said == said.strip()
        assert len(said) <= 500
