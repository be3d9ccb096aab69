"""Our own source files, read and parsed once."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Top folder -> what has to be taken off a path to get its package.
SOURCES = {"platform": "platform/", "tenants": "", "workers": ""}


@dataclass(frozen=True)
class Source:
    """A module of ours."""

    path: str
    module: str
    text: str
    tree: ast.Module

    @property
    def is_migration(self) -> bool:
        """Say whether Django runs it once."""
        return "/migrations/" in self.path

    def calls(self, name: str) -> Iterator[ast.Call]:
        """Yield the calls of a function by its last name."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call) and last_name(node.func) == name:
                yield node

    def place(self, node: ast.AST) -> str:
        """Return where a node stands."""
        return f"{self.path}:{getattr(node, 'lineno', 0)}"


@cache
def sources() -> tuple[Source, ...]:
    """Return every module of ours, tests apart."""
    found = []
    for folder, prefix in SOURCES.items():
        for file in sorted((ROOT / folder).rglob("*.py")):
            path = file.relative_to(ROOT).as_posix()
            module = path.removeprefix(prefix).removesuffix(".py").replace("/", ".")
            text = file.read_text()
            found.append(Source(path, module.removesuffix(".__init__"), text, ast.parse(text)))
    return tuple(found)


def last_name(node: ast.expr) -> str:
    """Return the last name of a dotted one; empty for other expressions."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
