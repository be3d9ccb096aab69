"""Some random histories and the short ones of the small world; `make histories` runs many and all."""

from __future__ import annotations

from collections.abc import Callable

from ambit.config.runtime.supervisor import Stack
from tests.database.private import PrivateDatabase
from tests.histories import doors
from tests.histories.draw import draw_histories
from tests.histories.machine import administrator
from tests.histories.model import OWNER, READER
from tests.histories.small_world import LETTERS, SmallWorld, alone, explore
from tests.histories.town import Town


def test_random_histories_show_everyone_exactly_what_the_model_allows(
    apart: PrivateDatabase,
) -> None:
    assert draw_histories(8, seed=20261121).histories >= 8


def test_no_short_history_of_the_small_world_shows_anything_else(apart: PrivateDatabase) -> None:
    found = explore(1, alone(SmallWorld()))

    assert found.histories == 1 + len(LETTERS)
    assert found.states > 20


def test_answers_and_administrators_pages_tell_the_same(
    embeddings: Stack, apart: PrivateDatabase
) -> None:
    town = Town()
    town.upload("d1", "ca", by="ann", own={"ann": OWNER, "g2": READER})
    town.upload("d2", "ca", by="ann")
    town.upload("e1", "cb", by="bob")
    town.work("a")
    town.work("b")
    town.put_in("g2", "bea")
    client = administrator(town)
    deeds: list[Callable[[], None]] = [
        lambda: town.put_in("g1", "g2"),
        lambda: town.share("d1", None, by="ann"),
        lambda: town.take_out("g1", "g2"),
        lambda: town.delete("d2", by="ann"),
    ]

    for deed in deeds:
        deed()
        for member in town.world.members():
            doors.ask(town, "answers", member, by_key=True)
        doors.pages_door(town, client)
