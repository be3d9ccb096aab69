"""Bring the files of the keyring under the key store that the settings choose, one after the other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from uuid import UUID

from django.conf import settings

from ambit.keys import durable, protected
from ambit.keys.chosen import chosen_store
from ambit.keys.keyring import tenant_context
from ambit.keys.signing import CONTEXT, FILE
from ambit.keys.store import KeyUnavailable

Outcome = Literal["moved", "there", "failed", "unknown"]
# What a write that was killed left behind; younger ones may be somebody's who writes now.
LEFT_BEHIND_S = 60


@dataclass(frozen=True, slots=True)
class Moved:
    """What became of one file; why: in words of ours, where it was not moved."""

    file: str
    outcome: Outcome
    why: str = ""


def protect_keyring(*, again: bool = False) -> Iterator[Moved]:
    """Move each file to the chosen store, or back to a plain file; tell of each as it is done.

    Durable file by file: stopped at any point, the next run goes on. A file that does not open is left
    as it is and told as failed. again: wrap also what is there already, under the store's newest key.
    """
    folder = Path(settings.AMBIT_KEYRING_DIR)
    if not folder.is_dir():
        raise KeyUnavailable("the folder of the keyring is not there")
    with durable.changing(folder):
        _sweep(folder)
    for path in sorted(folder.glob("*.json")):
        try:
            context = _context_of(path)
        except ValueError:
            yield Moved(path.name, "unknown", "not a file of the keyring; left as it is")
            continue
        try:
            with durable.changing(folder):
                yield Moved(path.name, _protect(path, context, again=again))
        except KeyUnavailable as error:
            yield Moved(path.name, "failed", str(error))


def count_by_store() -> dict[str, int]:
    """Return how many files each store protects, "file" for plain ones; asks no store and opens nothing.

    Raises OSError without the folder.
    """
    counts: dict[str, int] = {}
    folder = Path(settings.AMBIT_KEYRING_DIR)
    for path in (one for one in folder.iterdir() if one.suffix == ".json" and one.name[0] != "."):
        name = protected.store_of(path)
        counts[name] = counts.get(name, 0) + 1
    return counts


def _protect(path: Path, context: str, *, again: bool) -> Outcome:
    chosen = chosen_store()
    wanted = chosen.name if chosen else "file"
    if protected.store_of(path) == wanted and not (again and chosen):
        return "there"
    secrets, _ = protected.open_file(path, context=context)
    durable.replace(path, protected.written(secrets, context=context))
    protected.forget(path)
    return "moved"


def _sweep(folder: Path) -> None:
    before = time.time() - LEFT_BEHIND_S
    for path in folder.glob(".*.json.*"):
        if path.stat().st_mtime < before:
            durable.destroy(path)


def _context_of(path: Path) -> str:
    return CONTEXT if path.name == FILE else tenant_context(UUID(path.stem))
