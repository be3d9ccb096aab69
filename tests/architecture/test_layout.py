"""Where things are, and how large they may become."""

from __future__ import annotations

import re
import subprocess
import tomllib

import pytest

from tests.architecture.sources import ROOT, sources

TOP = {
    "manage.py",
    "pyproject.toml",
    "platform",
    "tenants",
    "workers",
    "deploy",
    "tests",
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "LICENSE",
    "Makefile",
}
# A pinned list of what is installed: pip's, uv's or our own.
LOCKS = {"constraints.txt", "uv.lock"}
MAX_LINES = 400
# Files that may be longer, each with its reason; the list may only shrink.
LONGER: dict[str, str] = {}
FLOWS = {
    "workers.ingest": {"parse": 1, "chunk": 2, "embed": 3, "store": 4},
    "workers.erase": {
        "find": 1,
        "tombstone": 2,
        "destroy": 3,
        "scrub": 4,
        "verify": 5,
        "receipt": 6,
    },
    "ambit.answers": {"retrieve": 2, "prompt": 3, "generate": 4, "cite": 5},
}
_FORBIDDEN_NAMES = re.compile(
    r"(^|_)(utils?|helpers?|common|misc|managers?|processors?|handlers?)$"
)


def _tracked() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode != 0:
        # An export without its history: what lies there is what there is.
        return [p.name for p in ROOT.iterdir()]
    return listed.stdout.splitlines()


def test_the_top_level_is_what_was_asked_for() -> None:
    top = {path.partition("/")[0] for path in _tracked()}

    assert {name for name in top - LOCKS if not name.startswith(".")} == TOP


def test_platform_is_a_folder_and_never_a_package() -> None:
    # A package of this name would take the place of Python's own `platform`.
    assert list((ROOT / "platform").glob("*.py")) == []
    assert [p.name for p in (ROOT / "platform").iterdir() if p.is_dir()] == ["ambit"]


def test_deploy_holds_nothing_to_import() -> None:
    assert [p for p in _tracked() if p.startswith("deploy/") and p.endswith(".py")] == []


def test_no_file_is_too_long() -> None:
    long = {
        path
        for path in _tracked()
        if path.endswith(".py")
        and (ROOT / path).exists()
        and len((ROOT / path).read_text().splitlines()) > MAX_LINES
    }

    assert long == set(LONGER)


def test_no_module_is_named_by_technique() -> None:
    names = {s.path: s.module.rpartition(".")[2] for s in sources()}

    assert [path for path, name in names.items() if _FORBIDDEN_NAMES.search(name)] == []


def test_every_package_has_its_place_in_the_layers() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (layers,) = (c["layers"] for c in contracts["contracts"] if c["id"] == "layers")
    placed = {name.strip() for layer in layers for name in layer.split("|")}
    packages = {
        f"ambit.{p.name}"
        for p in (ROOT / "platform" / "ambit").iterdir()
        if (p / "__init__.py").exists()
    }

    assert placed == packages | {"tenants", "workers"}


@pytest.mark.parametrize("flow", FLOWS)
def test_every_step_says_which_one_it_is(flow: str) -> None:
    by_module = {s.module: s for s in sources()}
    n_steps = max(FLOWS[flow].values())
    for name, number in FLOWS[flow].items():
        first = (by_module[f"{flow}.{name}"].text.split('"""')[1]).strip()

        assert first.startswith(f"Step {number} of {n_steps}."), f"{flow}.{name}: {first[:60]}"


@pytest.mark.parametrize("flow", FLOWS)
def test_every_flow_names_its_steps_in_its_first_lines(flow: str) -> None:
    source = next(s for s in sources() if s.module == f"{flow}.flow")
    sentence = source.text.split('"""')[1]

    places = [sentence.find(step) for step in FLOWS[flow]]
    assert -1 not in places
    assert places == sorted(places)


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        s.path
        for s in sources()
        if s.text.strip()
        and not s.is_migration
        and not s.path.endswith("__init__.py")
        and not s.text.lstrip().startswith('"""')
    ]

    assert silent == []
