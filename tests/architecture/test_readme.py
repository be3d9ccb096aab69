"""The pages that people read first name only what is there."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from django.core.management import get_commands

from tests.architecture.sources import ROOT

PAGES = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "deploy/README.md")
MAX_README_LINES = 100
FOLDERS = ("platform", "tenants", "workers", "deploy", "tests")
_CODE = re.compile(r"```\w*\n(.*?)```|`([^`\n]+)`", re.S)
_LINK = re.compile(r"\]\(([^)#]+)\)")
_WORD = re.compile(r"[\w./-]+")
_FILE = re.compile(r"[\w-][\w./-]*/[\w.-]+\.(py|md|sql|toml|json|txt|docx)")


def _text(page: str) -> str:
    return (ROOT / page).read_text()


def _code(page: str) -> Iterator[str]:
    for block, span in _CODE.findall(_text(page)):
        yield block or span


def _paths(page: str) -> set[str]:
    """Return what the page's code names inside our folders, and every other file with a folder."""
    found = {target for target in _LINK.findall(_text(page)) if "://" not in target}
    for code in _code(page):
        for word in _WORD.findall(code):
            path = word.rstrip(".")
            if (path.split("/")[0] in FOLDERS and "/" in path) or _FILE.fullmatch(path):
                found.add(path)
    return found


def _named(page: str, command: str) -> set[str]:
    return {name for code in _code(page) for name in re.findall(command, code)}


def test_the_readme_is_read_in_one_sitting() -> None:
    assert len(_text("README.md").splitlines()) <= MAX_README_LINES, "move something to its page"


@pytest.mark.parametrize("page", PAGES)
def test_every_path_a_page_names_exists(page: str) -> None:
    here = (ROOT / page).parent
    missing = {p for p in _paths(page) if not (ROOT / p).exists() and not (here / p).exists()}

    assert missing == set(), f"{page} names what is not there: correct the page"


@pytest.mark.parametrize("page", PAGES)
def test_every_make_target_a_page_names_exists(page: str) -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", _text("Makefile"), re.M))

    assert _named(page, r"\bmake ([a-z][a-z-]*)") <= targets


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_manage_py_a_page_names_exists(page: str) -> None:
    assert _named(page, r"manage\.py ([a-z_]+)") <= set(get_commands())


def test_the_pages_name_something() -> None:
    assert len(_paths("ARCHITECTURE.md")) > 20
    assert _named("README.md", r"\bmake ([a-z][a-z-]*)") >= {"demo", "serve", "test", "check"}
    assert "operator_key" in _named("README.md", r"manage\.py ([a-z_]+)")
