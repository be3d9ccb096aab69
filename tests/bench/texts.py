"""Texts to measure with: those of ../shared/data, or where that is absent Python's own sources."""

from __future__ import annotations

import gzip
import json
import random
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.service import DATA
from workers.ingest.chunk import chunk, embedded_text
from workers.ingest.parse import Limits, parse

SEED = 20261121


@dataclass(frozen=True)
class Text:
    """A document."""

    title: str
    name: str
    content: str = field(repr=False)


def source() -> str:
    """Say what the texts are."""
    return "../shared/data" if DATA.is_dir() else "the sources of Python's standard library"


def long_texts(n: int) -> list[Text]:
    """Return documents of about ten pages."""
    if DATA.is_dir():
        rows = _rows("engineering/documents.jsonl.gz")
        found = [Text(row["title"], f"{row['id']}.md", row["text"]) for row in rows]
    else:
        found = [t for t in _library() if 20_000 < len(t.content) < 60_000]
    return random.Random(SEED).sample(found, n)


def short_texts(n: int) -> list[Text]:
    """Return documents of some paragraphs."""
    if DATA.is_dir():
        rows = _rows("medical_qa/qa.jsonl.gz")
        found = [Text(f"Answer {i}", "answer.txt", row["answer"]) for i, row in enumerate(rows)]
    else:
        pages = [t for t in _library() if len(t.content) > 2000]
        found = [
            Text(f"{t.title} {at}", "piece.txt", t.content[at : at + 1200])
            for t in pages
            for at in range(0, len(t.content) - 1200, 1200)
        ]
    return random.Random(SEED).sample(found, n)


def questions(n: int) -> list[str]:
    """Return what to search for."""
    if DATA.is_dir():
        asked = [row["question"] for row in _rows("medical_qa/qa.jsonl.gz")]
    else:
        asked = [" ".join(t.content.split()[40:52]) for t in short_texts(n)]
    return random.Random(SEED).sample(asked, n)


def embedded_texts(texts: list[Text]) -> list[str]:
    """Return what the model reads of these documents, cut as the workers cut them."""
    made = []
    for text in texts:
        parsed = parse(
            path_or_bytes=text.content.encode(),
            file_name=text.name,
            declared_mime=None,
            limits=Limits(),
            on_wait=lambda: None,
        )
        spans = chunk(parsed, title=text.title)
        made += [embedded_text(title=text.title, chunk=span) for span in spans]
    return made


def _rows(name: str) -> list[dict[str, Any]]:
    with gzip.open(DATA / name, "rt") as file:
        return [json.loads(line) for line in file]


def _library() -> list[Text]:
    folder = Path(sysconfig.get_path("stdlib"))
    files = sorted(f for f in folder.glob("*/*.py") if "site-packages" not in f.parts)
    return [Text(f.stem, f"{f.stem}.txt", f.read_text(errors="replace")) for f in files]
