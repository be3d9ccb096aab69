"""What of a text is let through to a person when it names others too."""

from __future__ import annotations

from uuid import UUID

import pytest

from tenants.disclosure import Naming
from workers.export.screen import SOMEBODY, Screen

BOB = UUID("01990000-0000-7000-8000-00000000000b")
OTHERS = (
    Naming(BOB, ("bob@example.org", "emp-00123", "Bob O’Neil")),
    Naming(UUID(int=2), ("al@example.org", "7", "Lind")),
    Naming(UUID(int=3), ("namesake@example.org", "alice-2", "Alice Lind")),
)
SCREEN = Screen(own=("alice@example.org", "alice-1", "Alice Lind"), others=OTHERS)


@pytest.mark.parametrize(
    "text",
    [
        "bob@example.org",
        "mailto:BOB@example.org?subject=x",
        "stranger@elsewhere.example",
        "EMP-00123",
        "emp 00123",
        "Bob O’Neil",
        "bob o'neil",
        "BOB  O’NEIL",
        str(BOB),
        BOB.hex[:8] + "-0000-7000-8000-00000000000B",
        f"mem_{BOB.hex}",
        "Lind",
        "alice-2",
    ],
)
def test_whoever_else_is_named_is_taken_out(text: str) -> None:
    found = SCREEN.text(f"Asked ({text}), and again.")

    assert text not in found
    assert found.startswith("Asked (")
    assert SOMEBODY in found
    assert found.endswith(", and again.")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Nobody is named here, on 2026-11-22 at 10:00.",
        "Alice Lind wrote to alice@example.org.",
        "ALICE LIND (alice-1)",
        "Bobsleigh, and O’Neil alone, are other words.",
        "A 7 is too short to be a name.",
    ],
)
def test_the_person_and_what_names_nobody_stay(text: str) -> None:
    assert SCREEN.text(text) == text


def test_all_of_a_json_value_is_screened_its_names_too() -> None:
    value = {"cc": ["Bob O’Neil", 7, None, True], "bob@example.org": {"n": 1.5}}

    assert SCREEN.value(value) == {"cc": [SOMEBODY, 7, None, True], SOMEBODY: {"n": 1.5}}
