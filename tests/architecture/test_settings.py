"""deploy/settings.md names every variable that is read, and none that is not."""

from __future__ import annotations

import ast
import re

from tests.architecture.sources import ROOT, sources

_NAME = re.compile(r"AMBIT_[A-Z0-9_]+|DATABASE_URL|REDIS_URL")
# Set by the supervisor for its own parts, never by people.
INTERNAL = {"AMBIT_SUPERVISED"}
READERS = ("ambit.config", "ambit.inference.server")


def _variables() -> set[str]:
    return {
        node.value
        for source in sources()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and _NAME.fullmatch(node.value)
    }


def test_every_variable_is_described_and_every_description_is_of_one() -> None:
    page = (ROOT / "deploy" / "settings.md").read_text()
    described = re.findall(r"^\| `([A-Z0-9_]+)` \|", page, flags=re.MULTILINE)

    assert set(described) == _variables() - INTERNAL
    assert len(described) == len(set(described))


def test_the_environment_is_read_by_the_composition_root_alone() -> None:
    readers = {
        source.module
        for source in sources()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}
        if ast.unparse(node).startswith("os.")
    }

    assert {m for m in readers if not m.startswith((*READERS, "workers.app"))} == set()
