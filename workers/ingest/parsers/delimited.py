"""CSV and other delimited tables."""

from __future__ import annotations

import csv
import io

from workers.ingest.parsers.build import TextBuilder
from workers.ingest.parsers.decode import decode
from workers.ingest.parsers.failures import CorruptFile
from workers.ingest.parsers.limits import Limits
from workers.ingest.parsers.tables import table_lines

_DELIMITERS = ",;\t|"
_SAMPLE_LINES = 50


def read(data: bytes, *, builder: TextBuilder, kind: str, limits: Limits) -> None:
    """Add one table; each row keeps its columns' names. Raise CorruptFile where rows cannot be told."""
    text = decode(data, what=kind).replace("\x00", "")
    csv.field_size_limit(limits.max_characters)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text)))
    except csv.Error:
        raise CorruptFile(kind) from None
    builder.table(table_lines(rows))


def _delimiter(text: str) -> str:
    """Choose the delimiter that cuts the first lines into the most equal numbers of cells."""
    lines = [line for line in text.splitlines()[:_SAMPLE_LINES] if line.strip()]
    best, best_score = ",", 0.0
    for candidate in _DELIMITERS:
        counts = [len(row) for row in csv.reader(lines, delimiter=candidate)]
        if not counts:
            continue
        usual = max(set(counts), key=counts.count)
        score = 0.0 if usual < 2 else counts.count(usual) / len(counts)
        if score > best_score:
            best, best_score = candidate, score
    return best
