"""Rows of cells to lines in which no value is cut from its column's name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from workers.ingest.parsers.build import one_line

_NUMBER = re.compile(r"[-+(]?[$€£¥]?\s?[\d.,\s:/%()-]*\d[\d.,\s:/%()T-]*[€%]?\Z")
_MAX_HEADER = 80


def table_lines(rows: Sequence[Sequence[str]], *, header: bool | None = None) -> Iterator[str]:
    """Give one line a row: "name: value; name: value" under a header row, else the plain cells.

    `header` says whether the first row names the columns; None leaves that to a look at the cells.
    """
    names: dict[int, str] = {}
    for columns, region in _regions([[one_line(cell) for cell in row] for row in rows]):
        at = _header_row(region, header=header)
        if at is not None:
            names = {
                column: name[:_MAX_HEADER] for column, name in zip(columns, region[at], strict=True)
            }
            yield from map(_plain, region[:at])
            if at + 1 == len(region):
                yield _plain(region[at])
            region = region[at + 1 :]
        elif not _continues(columns, names):
            names = {}
        for row in region:
            yield _named(row, columns, names) if names else _plain(row)


def _plain(row: list[str]) -> str:
    return " | ".join(cell for cell in row if cell)


def _named(row: list[str], columns: list[int], names: dict[int, str]) -> str:
    return "; ".join(
        f"{names[column]}: {cell}" if names.get(column) else cell
        for column, cell in zip(columns, row, strict=True)
        if cell
    )


def _continues(columns: list[int], names: dict[int, str]) -> bool:
    """Say whether rows after a blank one still stand under the names above it."""
    return set(columns) <= names.keys() and len(columns) >= max(2, 0.6 * len(names))


def _regions(rows: list[list[str]]) -> Iterator[tuple[list[int], list[list[str]]]]:
    """Split at blank rows; drop empty columns but remember which are left; make rows equally long."""
    region: list[list[str]] = []
    for row in [*rows, []]:
        if any(row):
            region.append(row)
        elif region:
            width = max(len(line) for line in region)
            padded = [line + [""] * (width - len(line)) for line in region]
            used = [i for i in range(width) if any(line[i] for line in padded)]
            yield used, [[line[i] for i in used] for line in padded]
            region = []


def _header_row(region: list[list[str]], *, header: bool | None) -> int | None:
    width = len(region[0])
    if header is False or width < 2 or len(region) < 2:
        return None
    if header:
        return 0
    for at, row in enumerate(region[:6]):
        filled = [cell for cell in row if cell]
        if len(filled) < max(2, 0.6 * width):
            continue
        named = not any(_NUMBER.match(cell) or len(cell) > _MAX_HEADER for cell in filled)
        return at if named and len(set(filled)) == len(filled) and at + 1 < len(region) else None
    return None
