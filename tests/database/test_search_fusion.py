"""What both legs say together: neither leg's noise outweighs what the other knows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ambit.corpus.search import MAX_K
from tests.database.office import Office, make_office
from tests.database.worlds import Passage, random_vectors, unit


@pytest.fixture
def office() -> Office:
    """Return a fresh tenant."""
    return make_office()


def at_cosine(cosine: float, *, seed: int) -> Any:
    """Return a vector that lies so near to the first axis."""
    other = random_vectors(1, seed=seed)[0]
    other[0] = 0
    return cosine * unit(0) + (1 - cosine**2) ** 0.5 * other / np.linalg.norm(other)


def ladder(nearest: float, farthest: float, *, n: int = 60) -> list[Any]:
    """Return vectors that lie ever farther from the first axis."""
    cosines = np.linspace(nearest, farthest, n)
    return [at_cosine(float(cosine), seed=seed) for seed, cosine in enumerate(cosines)]


@pytest.mark.parametrize("n", [1, 2, 30, 49, 50, 51, 150])
def test_asking_for_more_changes_nothing_about_what_comes_first(office: Office, n: int) -> None:
    words = ["harbor", "harbor gate", "ferry", "a ferry at the gate of the harbor"]
    office.publish(
        *(Passage(f"{words[i % 4]} {i}", v) for i, v in enumerate(random_vectors(n, seed=41)))
    )

    found = {
        k: [(p.chunk_id, p.score) for p in office.ask(office.bob, "harbor gate", unit(0), k=k)]
        for k in range(1, MAX_K + 1)
    }

    most = found[MAX_K]
    assert len(most) == min(MAX_K, n)
    assert all(found[k] == most[:k] for k in found)
    assert [score for _, score in most] == sorted((score for _, score in most), reverse=True)


def test_of_two_that_say_as_much_the_nearer_comes_first(office: Office) -> None:
    office.publish(Passage("zebra", unit(1)), Passage("paper", unit(0)))

    for k in (1, 2):
        found = office.ask(office.bob, "zebra", unit(0), k=k)
        assert [p.text for p in found] == ["paper", "zebra"][:k]


def test_a_word_that_nearly_all_have_lifts_none_above_the_nearest(office: Office) -> None:
    vectors = ladder(0.7, 0.2)
    office.publish(Passage("The nearest has none of the words", vectors[0]))
    office.publish(
        *(Passage(f"harbor {'harbor ' * (n % 3)}{n}", v) for n, v in enumerate(vectors[1:]))
    )

    found = office.ask(office.bob, "zebra quagga okapi harbor", unit(0))

    assert found[0].text == "The nearest has none of the words"


def test_a_rare_word_lifts_its_passage_to_the_nearest_ones(office: Office) -> None:
    vectors = ladder(0.6, 0.4)
    office.publish(*(Passage(f"harbor {n}", v) for n, v in enumerate(vectors[:-1])))
    office.publish(Passage("The harbor of XR-7741", vectors[-1]))

    found = office.ask(office.bob, "XR-7741", unit(0))

    assert found[0].text == "The harbor of XR-7741"
    assert found[1].text == "harbor 0"


LONG = " ".join(f"Paragraph {n} is about weather." for n in range(60))


@pytest.mark.parametrize("text", ["The recall of XR-7741", f"{LONG} XR-7741 {LONG}"])
@pytest.mark.parametrize("query", ["XR-7741", "Why was XR-7741 zebra quagga okapi recalled?"])
@pytest.mark.parametrize(
    "vectors",
    [ladder(0.9, 0.1), [*ladder(0.80, 0.75, n=12), *ladder(0.45, 0.30)], ladder(0.501, 0.5, n=30)],
    ids=["spread far", "a cluster in front", "few and all as near"],
)
def test_an_identifier_is_found_wherever_vectors_point(
    office: Office, vectors: list[Any], query: str, text: str
) -> None:
    office.publish(*(Passage(f"nothing of it {n}", v) for n, v in enumerate(vectors[:-1])))
    office.publish(Passage(text, vectors[-1]))

    found = office.ask(office.bob, query, unit(0), k=2)

    assert text in [p.text for p in found]


@pytest.mark.parametrize("n", [1, 9, 60])
def test_passages_that_are_all_equally_near_are_ranked_by_words(office: Office, n: int) -> None:
    office.publish(*(Passage(f"harbor {i}", unit(0)) for i in range(n)))
    office.publish(Passage("zebra", unit(0)))

    found = office.ask(office.bob, "zebra", unit(0))

    assert found[0].text == "zebra"
    assert len(found) == min(10, n + 1)


def test_each_leg_alone_scores_in_its_own_measure(office: Office) -> None:
    vectors = ladder(0.9, 0.1, n=5)
    office.publish(*(Passage(f"zebra {n}", v) for n, v in enumerate(vectors)))

    by_vector = office.ask(office.bob, "zebra", unit(0), mode="vector")
    by_words = office.ask(office.bob, "zebra", unit(0), mode="text")

    assert [p.score for p in by_vector] == [p.similarity for p in by_vector]
    assert by_vector[0].score == pytest.approx(0.9, abs=1e-3)
    assert all(p.score > 0 for p in by_words)
