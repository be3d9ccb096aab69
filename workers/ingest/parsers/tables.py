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
    for region in _regions([[one_line(cell) for cell in row] for row in rows]):
        names_at = _header_row(region, header)
        if names_at is None:
            yield from (" | ".join(cell for cell in row if cell) for row in region)
            continue
        names = [name[:_MAX_HEADER] for name in region[names_at]]
        yield from (" | ".join(cell for cell in row if cell) for row in region[:names_at])
        body = region[names_at + 1 :]
        if not body:
            yield " | ".join(name for name in names if name)
        for row in body:
            yield "; ".join(
                f"{name}: {cell}" if name else cell
                for name, cell in zip(names, row, strict=True)
                if cell
            )


def _regions(rows: list[list[str]]) -> Iterator[list[list[str]]]:
    """Split at blank rows; drop empty columns; make rows equally long."""
    region: list[list[str]] = []
    for row in [*rows, []]:
        if any(row):
            region.append(row)
        elif region:
            width = max(len(line) for line in region)
            padded = [line + [""] * (width - len(line)) for line in region]
            used = [i for i in range(width) if any(line[i] for line in padded)]
            yield [[line[i] for i in used] for line in padded]
            region = []


def _header_row(region: list[list[str]], header: bool | None) -> int | None:
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
