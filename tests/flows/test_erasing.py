"""The canary run of `make prove-erasure`, small: see tests/erasing."""

from __future__ import annotations

import pytest

from tests.erasing.crashes import deaths
from tests.erasing.prove import Proof, prove
from tests.erasing.town import halves_of
from tests.flows.service import Service

N_PEOPLE = 100
# All of them, at every point: `make prove-crashes`. A worker's own death: tests/flows/test_erase.py.
DEATHS = [
    ("postgres", "after rewriting corpus_document"),
    ("redis", "before queue"),
    ("web", "before log"),
]


@pytest.fixture(scope="module")
def proof(service: Service) -> Proof:
    """Forget a hundred people in two tenants, one small and one with a vector graph."""
    return prove(service, halves_of(service, N_PEOPLE, seed=4), jobs=1, say=lambda _: None)


def test_whatever_dies_during_an_erasure_it_ends_closed_and_nothing_comes_back(
    service: Service,
) -> None:
    for death in deaths(service, DEATHS):
        assert death.came, death
        assert death.faults == (), death


def test_of_a_hundred_people_no_byte_is_left_in_any_file(proof: Proof) -> None:
    assert proof.scrubbed.findings == []
    assert proof.scrubbed.unread == []
    assert proof.faults == []


def test_the_same_scanner_finds_all_of_them_before_and_after_delete_and_vacuum(
    proof: Proof,
) -> None:
    assert len(proof.before.canaries_found) == proof.n_canaries
    for place in ("postgres table", "postgres btree"):
        assert proof.deleted.counts()[place] > 0
    # A graph does not reach what was removed from its table, and pgvector wipes it. The log loses its
    # older segments with a checkpoint, whichever they are.
    for place in ("postgres hnsw", "postgres wal"):
        assert proof.before.counts()[place] > 0


def test_who_stays_is_found_and_nobody_is_refused_meanwhile(proof: Proof) -> None:
    assert proof.lost == []
    assert proof.searches.refused == []
    assert proof.searches.milliseconds
