"""Which files there are to search: every file of every store, and what is there but is no file to read."""

from __future__ import annotations

import os
import re
import stat
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ambit.scan.search import Item

# Parts of a data directory that are stores of their own; the rest is "data".
PARTS = ("postgres", "originals", "redis", "log", "exports", "backups", "archive")
TEMPORARY = ("ambit-", ".ambit-")
_RELATION = re.compile(r"(\d+)(?:\.(\d+))?")
_SEGMENT = re.compile(r"([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})")


@dataclass(frozen=True, slots=True)
class Store:
    """A folder, or one file, and what it is called in the report."""

    name: str
    path: Path
    # Whether each folder in it that is named in PARTS is a store of its own.
    is_data_dir: bool = False


@dataclass(slots=True)
class Listing:
    """What a look through the stores came to."""

    items: list[Item] = field(default_factory=list)
    # What cannot be searched, by its path: it makes the search incomplete.
    unread: list[tuple[str, Path, str]] = field(default_factory=list)
    # Sockets, pipes, and links to what is searched anyway: named, and no gap.
    passed_over: list[tuple[str, Path, str]] = field(default_factory=list)


def temporary_stores(folder: Path) -> list[Store]:
    """Return what Ambit left in the machine's folder of temporary files."""
    names = [name for name in sorted(os.listdir(folder)) if name.startswith(TEMPORARY)]
    return [Store("temporary", folder / name) for name in names]


def list_items(stores: Iterable[Store]) -> Listing:
    """List every file of the stores, each once; what cannot be listed is named."""
    listing = Listing()
    stores = list(stores)
    roots = [store.path.resolve() for store in stores]
    files: dict[Path, tuple[str, int]] = {}
    for store in stores:
        for path in _walk(store, store.path, listing):
            name = _name(store, path)
            try:
                status = path.lstat()
            except OSError:
                # Gone since it was listed: the next look will not find it either.
                continue
            if stat.S_ISREG(status.st_mode):
                files.setdefault(path.resolve(), (name, status.st_size))
            else:
                _name_other(path, status.st_mode, name, roots, listing)
    listing.items = sorted(_items(files), key=lambda item: -item.n_bytes)
    return listing


def _walk(store: Store, path: Path, listing: Listing) -> Iterator[Path]:
    """Yield everything below a path that is no folder, following no link but tablespaces'."""
    try:
        with os.scandir(path) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except NotADirectoryError:
        yield path
        return
    except OSError as error:
        listing.unread.append((_name(store, path), path, error.strerror or "cannot be listed"))
        return
    for entry in found:
        below = Path(entry.path)
        is_tablespace = path.name == "pg_tblspc" and entry.is_symlink()
        if entry.is_dir(follow_symlinks=is_tablespace):
            yield from _walk(store, below.resolve() if is_tablespace else below, listing)
        else:
            yield below


def _name(store: Store, path: Path) -> str:
    if store.is_data_dir and path.is_relative_to(store.path):
        parts = path.relative_to(store.path).parts
        return parts[0] if parts and parts[0] in PARTS else store.name
    return store.name


def _name_other(path: Path, mode: int, name: str, roots: list[Path], listing: Listing) -> None:
    if stat.S_ISLNK(mode):
        target = path.resolve()
        if any(target.is_relative_to(root) for root in roots):
            listing.passed_over.append((name, path, "a link to what is searched by itself"))
        elif not target.exists():
            listing.passed_over.append((name, path, "a link to nothing"))
        else:
            listing.unread.append((name, path, "a link out of the store: not followed"))
    elif stat.S_ISSOCK(mode) or stat.S_ISFIFO(mode):
        listing.passed_over.append((name, path, "a socket or pipe: it keeps nothing"))
    else:
        listing.unread.append((name, path, "a device: not read"))


def _items(files: dict[Path, tuple[str, int]]) -> Iterator[Item]:
    """Yield one item a file; the segments of a relation are one, and a log's know their next."""
    relations: defaultdict[Path, list[tuple[int, Path]]] = defaultdict(list)
    for path in files:
        match = _RELATION.fullmatch(path.name)
        if match:
            relations[path.with_name(match[1])].append((int(match[2] or 0), path))
        else:
            name, size = files[path]
            following = path.with_name(_next_segment(path.name))
            yield Item(name, (path,), size, following if following in files else None)
    for segments in relations.values():
        paths = tuple(path for _, path in sorted(segments))
        yield Item(files[paths[0]][0], paths, sum(files[path][1] for path in paths))


def _next_segment(name: str) -> str:
    """Return the name of the next segment of the log as far as 16 MB segments go; else the name itself."""
    match = _SEGMENT.fullmatch(name)
    if not match:
        return name
    number = (int(match[2], 16) << 8) + int(match[3], 16) + 1
    return f"{match[1]}{number >> 8:08X}{number & 0xFF:08X}"
