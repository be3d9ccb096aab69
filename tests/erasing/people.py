"""People nobody else is called like, and documents of every format in which twenty of them stand."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape

from ambit.scan.canaries import Canary
from tests.parsers import files

PEOPLE_PER_DOCUMENT = 20
LETTERS = "abcdefghijklmnopqrstuvwxyz"
SENTENCE = "{name} ({email}) came in with a cough and was sent home with advice."


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody whose name and address are looked for."""

    number: int
    name: str
    email: str

    @property
    def canary(self) -> Canary:
        """What a scan looks for."""
        return Canary(f"person-{self.number}", texts=(self.name, self.email))


def people(n: int, *, seed: int) -> list[Person]:
    """Return people of whom no two share a word."""
    drawn = random.Random(seed)

    def word(size: int) -> str:
        return "".join(drawn.choice(LETTERS) for _ in range(size))

    return [
        Person(number, f"{word(9).title()} {word(10).title()}", f"{word(10)}@{word(6)}.example")
        for number in range(n)
    ]


def _lines(group: list[Person]) -> list[str]:
    return [SENTENCE.format(name=one.name, email=one.email) for one in group]


def _text(group: list[Person]) -> bytes:
    return "\n".join(_lines(group)).encode()


def _markdown(group: list[Person]) -> bytes:
    return ("# Visits\n\n" + "\n".join(f"- {line}" for line in _lines(group))).encode()


def _html(group: list[Person]) -> bytes:
    rows = "".join(f"<p>{escape(line)}</p>" for line in _lines(group))
    return f"<html><head><title>Visits</title></head><body>{rows}</body></html>".encode()


def _csv(group: list[Person]) -> bytes:
    return "\n".join(["name,address", *(f"{p.name},{p.email}" for p in group)]).encode()


def _docx(group: list[Person]) -> bytes:
    return files.docx("".join(files.paragraph(line) for line in _lines(group)))


def _xlsx(group: list[Person]) -> bytes:
    return files.xlsx({"Visits": [["name", "address"], *([p.name, p.email] for p in group)]})


def _pptx(group: list[Person]) -> bytes:
    return files.pptx([("Visits", line) for line in _lines(group)])


def _pdf(group: list[Person]) -> bytes:
    return files.pdf([[(11, line) for line in _lines(group)]])


FORMATS: dict[str, Callable[[list[Person]], bytes]] = {
    "txt": _text,
    "md": _markdown,
    "html": _html,
    "csv": _csv,
    "docx": _docx,
    "xlsx": _xlsx,
    "pptx": _pptx,
    "pdf": _pdf,
}


@dataclass(frozen=True, slots=True)
class Planned:
    """A document to upload, and who stands in it."""

    people: list[Person]
    suffix: str

    @property
    def content(self) -> bytes:
        """Its bytes."""
        return FORMATS[self.suffix](self.people)

    @property
    def fields(self) -> dict[str, str]:
        """What is said of it: everybody in the metadata, one each in title, name of the file and id."""
        first = self.people[0]
        return {
            "title": f"Visits of {first.name}",
            "external_id": f"visits-{first.email}",
            "metadata": json.dumps({"who": [[one.name, one.email] for one in self.people]}),
            "subjects": json.dumps([{"type": "email", "value": first.email}]),
        }

    @property
    def file_name(self) -> str:
        """The name it is uploaded under."""
        return f"{self.people[0].name}.{self.suffix}"


def planned(group: list[Person]) -> Iterator[Planned]:
    """Yield documents of all formats in turn, until everybody stands in one."""
    suffixes = list(FORMATS)
    for start in range(0, len(group), PEOPLE_PER_DOCUMENT):
        number = start // PEOPLE_PER_DOCUMENT
        yield Planned(group[start : start + PEOPLE_PER_DOCUMENT], suffixes[number % len(suffixes)])
