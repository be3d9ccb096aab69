"""Every planted bug is found: by all histories over a few letters, or by random ones of few deeds."""

from __future__ import annotations

import pytest

from tests.database.private import PrivateDatabase
from tests.histories.draw import draw_histories
from tests.histories.faults import FAULTS, Fault
from tests.histories.small_world import LETTERS, SmallWorld, alone, explore
from tests.histories.town import FalseDenial, Leak

pytestmark = pytest.mark.long

MOST_HISTORIES = 40
BY_LETTERS = [f for f in FAULTS if f.letters]
BY_CHANCE = [f for f in FAULTS if not f.letters]


@pytest.mark.parametrize("fault", BY_LETTERS, ids=lambda fault: fault.name)
def test_enumeration_finds(apart: PrivateDatabase, fault: Fault) -> None:
    letters = [letter for letter in LETTERS if letter.words in fault.letters]
    assert len(letters) == len(fault.letters)
    world = SmallWorld(letters)

    with fault.plant(apart), pytest.raises((Leak, FalseDenial)):
        explore(len(letters), alone(world))


@pytest.mark.parametrize("fault", BY_CHANCE, ids=lambda fault: fault.name)
def test_random_histories_find(apart: PrivateDatabase, fault: Fault) -> None:
    with fault.plant(apart), pytest.raises((Leak, FalseDenial)):
        draw_histories(MOST_HISTORIES, seed=7, thorough=1, deeds=fault.deeds, shrink=False)


@pytest.mark.parametrize("fault", BY_LETTERS[:1], ids=["none"])
def test_the_same_letters_find_nothing_where_nothing_is_planted(
    apart: PrivateDatabase, fault: Fault
) -> None:
    wanted = {words for one in BY_LETTERS for words in one.letters}
    letters = [letter for letter in LETTERS if letter.words in wanted]

    explore(1, alone(SmallWorld(letters)))
