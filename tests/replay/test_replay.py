"""A part of the real history, replayed; and that a replay catches what it is for. `make replay` does the whole."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from ambit.access import audiences, clearance, documents, services
from ambit.access.queries import collection_grants
from ambit.config.runtime.supervisor import Stack
from tenants import services as directory
from tests.replay.history import FOLDER, History, read_history
from tests.replay.replay import Mismatch, Replay

Plant = Callable[[pytest.MonkeyPatch], object]


@pytest.fixture(scope="module")
def history() -> History:
    if not FOLDER.exists():
        pytest.skip("../shared/data/engineering is not here")
    return read_history()


def test_every_allowed_set_is_exact_after_each_event(history: History, database: Stack) -> None:
    part = history.part("kubernetes-client:", "etcd-io:", "kubernetes:sig-release")

    report = Replay(part).run()

    assert report.n_events == len(part.events) > 500
    assert report.n_nested > 10
    # A place in a group is one row, however much the group may read; who is taken out raises the epoch too.
    for kind, rows in (("granted", 1), ("revoked", 2)):
        assert set(report.rows[f"member {kind}"]) == set(report.rows[f"orgmember {kind}"]) == {rows}


def test_the_history_is_the_whole_one(history: History) -> None:
    assert (len(history.start), len(history.events)) == (7130, 3887)
    assert len(history.pages) == 309 + len(history.repositories)


def _keep_places(planted: pytest.MonkeyPatch) -> None:
    planted.setattr(directory, "remove_from_group", lambda **_: None)


def _remember_clearances(planted: pytest.MonkeyPatch) -> None:
    planted.setattr(clearance, "clearance_for", cache(clearance.clearance_for))


def _keep_readers(planted: pytest.MonkeyPatch) -> None:
    original = documents.set_collection_grants

    def only_more(*, collection_id: Any, grants: Any, **rest: Any) -> None:
        kept = collection_grants(collection_id=collection_id)
        named = {g.principal for g in grants}
        more = [*grants, *(g for g in kept if g.principal not in named)]
        original(collection_id=collection_id, grants=more, **rest)

    planted.setattr(documents, "set_collection_grants", only_more)


def _forget_readers(planted: pytest.MonkeyPatch) -> None:
    original = audiences.write_readers

    def people_alone(audience_id: Any, grants: Any) -> None:
        original(audience_id, [g for g in grants if g.principal.member_id])

    planted.setattr(services, "write_readers", people_alone)


def _do_not_nest(planted: pytest.MonkeyPatch) -> None:
    planted.setattr(directory, "nest_group", lambda **_: None)


@pytest.mark.parametrize(
    ("plant", "teams"),
    [
        (_keep_places, "etcd-io:"),
        (_remember_clearances, "etcd-io:"),
        (_keep_readers, "kubernetes-client:"),
        (_forget_readers, "kubernetes-client:"),
        (_do_not_nest, "kubernetes:sig-release"),
    ],
)
def test_a_planted_bug_is_caught(
    history: History,
    database: Stack,
    monkeypatch: pytest.MonkeyPatch,
    plant: Plant,
    teams: str,
) -> None:
    part = history.part(teams)
    plant(monkeypatch)

    with pytest.raises(Mismatch):
        Replay(part).run()
