"""Plant invented people in real notes, each identifier in a manner drawn by chance; and their namesakes."""

from __future__ import annotations

import gzip
import json
import random
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ambit.corpus.identifiers import Identifier, IdentifierKind

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data" / "pii"
_CODES = {
    "AT": "43", "AU": "61", "BE": "32", "BR": "55", "CA": "1", "CH": "41", "CY": "357", "CZ": "420", "DE": "49",
    "DK": "45", "EE": "372", "ES": "34", "FI": "358", "FR": "33", "GB": "44", "GL": "299", "HU": "36", "IS": "354",
    "IT": "39", "NL": "31", "NO": "47", "NZ": "64", "PL": "48", "PT": "351", "SE": "46", "SI": "386", "TN": "216",
    "US": "1", "UY": "598", "ZA": "27",
}  # fmt: skip
# Their national ids went through a spreadsheet.
_SPOILT_IDS = {"ZA"}
_KIND_OF_SPAN: dict[str, IdentifierKind] = {
    "PERSON": "name",
    "EMAIL_ADDRESS": "email",
    "PHONE_NUMBER": "phone",
    "US_SSN": "identifier",
    "IBAN_CODE": "identifier",
    "CREDIT_CARD": "identifier",
}
_SENTENCES: dict[IdentifierKind, tuple[str, ...]] = {
    "name": ("Seen today: {}.", "Letter from {} received.", "I spoke with {} about it."),
    "email": ("Results go to {}.", "Write to {} first."),
    "phone": ("Call {} in the evening.", "Phone: {}, not before noon."),
    "identifier": ("Record {} was updated.", "No. {}, see there."),
}


@dataclass(frozen=True)
class Person:
    """An invented person, with the identifiers as the person gives them."""

    country: str
    values: Mapping[IdentifierKind, str] = field(repr=False)

    @property
    def identifiers(self) -> list[Identifier]:
        """Return all of them."""
        return [Identifier(kind, value) for kind, value in self.values.items()]


@dataclass(frozen=True)
class Note:
    """A document to store, whom it mentions, and in which manner each identifier is written."""

    title: str
    text: str = field(repr=False)
    mentions: tuple[tuple[IdentifierKind, str], ...] = field(default=(), repr=False)
    manners: Mapping[IdentifierKind, str] = field(default_factory=dict)


def people(n: int) -> list[Person]:
    """Return invented people, every third with a national id."""
    found = []
    for row in _rows("identities.jsonl.gz")[:n]:
        name = f"{row['GivenName'].strip()} {row['Surname'].strip()}"
        values: dict[IdentifierKind, str] = {"email": row["EmailAddress"], "name": name}
        values["phone"] = row["TelephoneNumber"]
        if row["NationalID"] and row["Country"] not in _SPOILT_IDS:
            values["identifier"] = row["NationalID"]
        found.append(Person(row["Country"], values))
    return found


def planted(everybody: Sequence[Person], *, drawn: random.Random) -> list[Note]:
    """Return a note about each person, in which every identifier stands in some manner."""
    notes = _rows("clinical_notes.jsonl.gz")
    return [_plant(person, notes[n % len(notes)], drawn) for n, person in enumerate(everybody)]


def namesake(person: Person, other: Person) -> Person:
    """Return somebody with the name of the one and everything else of the other."""
    return replace(other, values={**other.values, "name": person.values["name"]})


def labelled(n: int) -> list[Note]:
    """Return the labelled texts, with the identifiers that stand in them."""
    found = []
    for number, row in enumerate(_rows("labelled_texts.jsonl.gz")[:n]):
        spans = [(s["entity_type"], s["entity_value"]) for s in row["spans"]]
        mentions = tuple((_KIND_OF_SPAN[t], v) for t, v in spans if t in _KIND_OF_SPAN)
        found.append(Note(f"Text {number}", row["full_text"], mentions))
    return found


def otherwise_written(kind: IdentifierKind, value: str) -> str:
    """Return an identifier as somebody else might write it."""
    if kind == "email":
        return value.upper()
    if kind == "phone":
        return re.sub(r"(?:x|ext).*|\(0\)|[^\d+]", "", value)
    if kind == "identifier":
        return _grouped(re.sub(r"\W", "", value), 4, " ")
    *given, last = value.split()
    return f"{last}, {' '.join(given)}".lower()


def same(kind: IdentifierKind, one: str, other: str) -> bool:
    """Say whether two spellings mean the same: by rules of our own, apart from the product's."""
    if kind == "email":
        return one.casefold() == other.casefold()
    if kind == "name":
        return sorted(_letters(one).split()) == sorted(_letters(other).split())
    a, b = (re.sub(r"(?:x|ext)\d+\Z|\(0\)|\W", "", text).casefold() for text in (one, other))
    if kind == "identifier":
        return a == b
    a, b = a.lstrip("0"), b.lstrip("0")
    return min(len(a), len(b)) >= 6 and (a.endswith(b) or b.endswith(a))


def _rows(name: str) -> list[dict[str, Any]]:
    with gzip.open(FOLDER / name, "rt") as file:
        return [json.loads(line) for line in file]


def _plant(person: Person, note: dict[str, Any], drawn: random.Random) -> Note:
    sentences = re.split(r"(?<=[.?!])\s+", f"{note['section_text']} {note['dialogue']}")
    manners: dict[IdentifierKind, str] = {}
    for kind, value in person.values.items():
        manner = drawn.choice(list(MANNERS[kind]))
        manners[kind] = manner
        written = MANNERS[kind][manner](value, person.country)
        sentence = drawn.choice(_SENTENCES[kind]).format(written)
        sentences.insert(drawn.randint(0, len(sentences)), sentence)
    return Note("A note", " ".join(sentences), tuple(person.values.items()), manners)


def _international(phone: str, country: str, *, before: str, between: str) -> str:
    digits = re.findall(r"\d+", phone)
    if country != "IT":
        digits[0] = digits[0].lstrip("0")
    return before + _CODES[country] + between + between.join(part for part in digits if part)


def _grouped(text: str, n: int, between: str) -> str:
    return between.join(text[at : at + n] for at in range(0, len(text), n))


def _letters(text: str) -> str:
    apart = unicodedata.normalize("NFKD", text.casefold().replace("-", " "))
    return "".join(c for c in apart if c.isalpha() or c == " ")


def _unmarked(name: str) -> str:
    apart = unicodedata.normalize("NFKD", name)
    return "".join(c for c in apart if not unicodedata.combining(c))


def _misspelt(name: str) -> str:
    """Swap the second and third letter of the surname."""
    given, _, last = name.rpartition(" ")
    return f"{given} {last[0]}{last[2:3]}{last[1:2]}{last[3:]}"


def _surname_first(name: str, _: str) -> str:
    given, _, last = name.rpartition(" ")
    return f"{last}, {given}"


def _wrapped(value: str, _: str) -> str:
    middle = len(value) // 2
    return f"{value[:middle]}\n{value[middle:]}"


Manner = Callable[[str, str], str]
MANNERS: dict[IdentifierKind, dict[str, Manner]] = {
    "email": {
        "as given": lambda value, _: value,
        "in capitals": lambda value, _: value.upper(),
        "as a link": lambda value, _: f"[mail](mailto:{value})",
        "with a comma behind": lambda value, _: f"<{value}>,",
        "spelt out": lambda value, _: value.replace("@", " at ").replace(".", " dot "),
        "broken over two lines": _wrapped,
    },
    "phone": {
        "as given": lambda value, _: value,
        "digits alone": lambda value, _: re.sub(r"\D", "", value),
        "in dots": lambda value, _: ".".join(re.findall(r"\d+", value)),
        "with + and country": lambda value, c: _international(value, c, before="+", between=" "),
        "with +, in dashes": lambda value, c: _international(value, c, before="+", between="-"),
        "with 00 and country": lambda value, c: _international(value, c, before="00", between=" "),
        "with an extension": lambda value, _: f"{value} ext. 12",
        "broken over two lines": _wrapped,
    },
    "identifier": {
        "as given": lambda value, _: value,
        "without separators": lambda value, _: re.sub(r"\W", "", value),
        "in small letters": lambda value, _: value.lower(),
        "in fours": lambda value, _: _grouped(re.sub(r"\W", "", value), 4, " "),
        "in threes, with dashes": lambda value, _: _grouped(re.sub(r"\W", "", value), 3, "-"),
        "broken over two lines": _wrapped,
    },
    "name": {
        "as given": lambda value, _: value,
        "surname first": _surname_first,
        "in capitals": lambda value, _: value.upper(),
        "in small letters": lambda value, _: value.lower(),
        "with a middle initial": lambda value, _: " Q. ".join(value.rsplit(" ", 1)),
        "with a title": lambda value, _: f"Dr. {value}",
        "possessive": lambda value, _: f"{value}'s sister",
        "without marks": lambda value, _: _unmarked(value),
        "broken over two lines": lambda value, _: "\n".join(value.rsplit(" ", 1)),
        "initial and surname": lambda value, _: f"{value[0]}. {value.rsplit(' ', 1)[1]}",
        "surname alone": lambda value, _: value.rsplit(" ", 1)[1],
        "misspelt": lambda value, _: _misspelt(value),
    },
}
# What nothing here finds: said in deploy/finding.md.
BEYOND: dict[IdentifierKind, set[str]] = {
    "email": {"spelt out", "broken over two lines"},
    "phone": {"broken over two lines"},
    "identifier": {"broken over two lines"},
    "name": {"initial and surname", "surname alone", "misspelt"},
}


def within(kind: IdentifierKind) -> Iterator[str]:
    """Yield the manners in which an identifier is meant to be found."""
    yield from (manner for manner in MANNERS[kind] if manner not in BEYOND[kind])
