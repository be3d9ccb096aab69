"""Find identifiers of people in a text, and bring each into a normal form. Pure.

Documents and what is looked for are read by the same code, so that both come to the same form. Forms are
wide on purpose: a person decides, and is better shown a document too many than one too few.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Literal

from ambit.corpus.languages import spaced

# What a document's mentions are of. A word stands in what describes a document, such as its title.
MentionKind = Literal["email", "phone", "identifier", "word"]
IdentifierKind = Literal["email", "phone", "identifier", "name"]
KINDS: tuple[IdentifierKind, ...] = ("email", "phone", "identifier", "name")

# Of a telephone number the last digits are kept: what a country's code and a trunk's zero stand before.
PHONE_SUFFIX = 8
MIN_PHONE_DIGITS, MAX_PHONE_DIGITS = 6, 15
# A number with letters in it says more than one without.
MIN_NUMBER_DIGITS, MIN_MIXED_DIGITS, MIN_DIGITS_ALONE = 5, 4, 6
MAX_IDENTIFIER, MAX_GROUPS, MAX_LETTERS = 40, 8, 4
MIN_IBAN, MAX_IBAN = 15, 34
MAX_LOCAL_PART = 64
MIN_WORD, MIN_NAME_WORDS, MAX_NAME_WORDS = 2, 2, 8

_INVISIBLE = dict.fromkeys([0xAD, *range(0x200B, 0x2010), *range(0x202A, 0x202F), 0x2060, 0xFEFF])
_DASHES = dict.fromkeys([*range(0x2010, 0x2016), 0x2212], "-")
_OTHER_DIGIT = re.compile(r"(?![0-9])\d")
_DOMAIN = re.compile(r"@((?:[^\W_]|-){1,63}(?:\.(?:[^\W_]|-){1,63}){1,10})")
_LOCAL_PART = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]+\Z")
# What may surround an address in quotations and Markdown.
_AROUND = "_.'*`~|{}/=-"
# A day, and what a timestamp adds.
_DAY = re.compile(
    r"(?<![\w./-])(?:\d{4}([-./])\d{1,2}\1\d{1,2}|\d{1,2}([-./])\d{1,2}\2\d{4})(?:T[\d:.+Z]*)?(?![\w/-]|\.\d)"
)
_NUMBER = re.compile(r"(\+ ?)?\(?\d+(?:[ .\-/()]{1,3}\d+)*")
_TRUNK_ZERO = re.compile(r"\( ?0 ?\)")
_TOKEN = re.compile(r"[^\W_]+(?:[-./][^\W_]+)*")
_IBAN = re.compile(r"(?<![^\W_])[A-Z]{2}\d{2}(?: [A-Z0-9]{1,4}){3,8}(?![^\W_])")
_DIGITS = re.compile(r"\d+")
_EXTENSION = re.compile(r"\s*(?:x|ext\.?|extension|#)\s*\d+\s*\Z", re.IGNORECASE)
# ITU-T E.164: country codes of one digit, of two, and all others.
_COUNTRY_CODE = re.compile(r"[17]|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|\d{3}")


class CannotBeLookedFor(ValueError):
    """An identifier has no form that mentions have: carries its place among those given."""

    def __init__(self, place: int) -> None:
        super().__init__(f"identifier {place} has no form that mentions have")
        self.place = place


@dataclass(frozen=True, slots=True)
class Mention:
    """One identifier in its normal form, as it stands in a document."""

    kind: MentionKind
    form: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Identifier:
    """An identifier of a person, as somebody gives it to be looked for."""

    kind: IdentifierKind
    value: str = field(repr=False)


def find_mentions(texts: Iterable[str], *, labels: Iterable[str] = ()) -> list[Mention]:
    """Return what stands in texts and in labels, each once: addresses first, numbers last.

    labels describe the document, such as its title: of these the words count too.
    """
    described = [_plain(label) for label in labels]
    read = [*map(_plain, texts), *described]
    dayless = [_DAY.sub("\n", text) for text in read]
    found: tuple[tuple[MentionKind, Iterable[Iterator[str]]], ...] = (
        ("email", map(_emails, read)),
        ("word", (iter(words_of(label)) for label in described)),
        ("phone", map(_phones, dayless)),
        ("identifier", map(_identifiers, dayless)),
    )
    return [Mention(kind, form) for kind, forms in found for form in dict.fromkeys(chain(*forms))]


def forms_of(identifier: Identifier, *, place: int = 0) -> list[Mention]:
    """Return the mentions of which any one says that the identifier stands there; of a name, none.

    Raises CannotBeLookedFor, also for a name of fewer than two words.
    """
    value = _plain(identifier.value).strip()
    if identifier.kind == "name":
        if not MIN_NAME_WORDS <= len(words_of(value)) <= MAX_NAME_WORDS:
            raise CannotBeLookedFor(place)
        return []
    forms = {
        "email": _one_email,
        "phone": _one_phone,
        "identifier": _one_identifier,
    }[identifier.kind](value)
    if not forms:
        raise CannotBeLookedFor(place)
    return [Mention(identifier.kind, form) for form in forms]


def words_of(text: str) -> list[str]:
    """Return the words of a label, each once, without case, marks and single letters."""
    return list(dict.fromkeys(bare for _, bare in spellings_of(text)))


def spellings_of(name: str) -> list[tuple[str, str]]:
    """Return the words of a name, each in small letters, and without marks; single letters are left out."""
    plain = spaced(_plain(name)).lower()
    words = "".join(c if unicodedata.category(c)[0] in "LM" else " " for c in plain).split()
    return [(word, _bare(word)) for word in words if len(word) >= MIN_WORD]


def _bare(word: str) -> str:
    apart = unicodedata.normalize("NFKD", word.casefold())
    return unicodedata.normalize("NFC", "".join(c for c in apart if not unicodedata.combining(c)))


def _plain(text: str) -> str:
    """Return the text in form NFKC, with plain dashes, spaces and digits."""
    plain = text if text.isascii() else unicodedata.normalize("NFKC", text)
    if plain.isascii():
        return plain
    plain = plain.translate(_INVISIBLE | _DASHES)
    return _OTHER_DIGIT.sub(lambda digit: str(unicodedata.digit(digit[0])), plain)


def _emails(text: str) -> Iterator[str]:
    # From each @ backwards: a pattern that began with the local part would be tried at every letter.
    for found in _DOMAIN.finditer(text):
        start = found.start()
        local = _LOCAL_PART.search(text[max(0, start - MAX_LOCAL_PART) : start])
        name = local[0].strip(_AROUND) if local else ""
        if name:
            yield f"{name}@{found[1].strip('-')}".casefold()


def _one_email(value: str) -> list[str]:
    forms = list(dict.fromkeys(_emails(value)))
    return forms if len(forms) == 1 else []


@dataclass(frozen=True, slots=True)
class _Run:
    """Groups of digits with single separators between them: a number, or several side by side."""

    groups: list[str]
    # The same groups, joined where no space is between them.
    parts: list[str]
    # A plus stands before it.
    international: bool = False
    # A letter stands before it: a part of an identifier, and no telephone number.
    glued: bool = False


def _runs(text: str) -> Iterator[_Run]:
    # A day identifies nobody, and beside a number it would become a part of it: it is gone by now.
    for found in _NUMBER.finditer(text):
        plus = bool(found[1])
        glued = found.start() > 0 and text[found.start() - 1].isalnum()
        run = _TRUNK_ZERO.sub(" ", found[0]) if plus else found[0]
        parts = ["".join(_DIGITS.findall(part)) for part in run.split()]
        groups = _DIGITS.findall(run)
        if len(groups) <= MAX_GROUPS:
            yield _Run(groups, parts, international=plus, glued=glued)
        else:
            # A table's row: each number is one by itself.
            yield from (_Run([part], [part]) for part in parts)


def _phones(text: str) -> Iterator[str]:
    for run in _runs(text):
        if run.glued:
            continue
        # Where the number ends and another one begins is not to be seen: it may end with any group.
        for n in range(1, len(run.groups) + 1):
            yield from _phone("".join(run.groups[:n]), international=run.international)


def _phone(digits: str, *, international: bool) -> list[str]:
    if digits.startswith("00"):
        international, digits = True, digits[2:]
    if not MIN_PHONE_DIGITS <= len(digits) <= 2 * MAX_PHONE_DIGITS:
        return []
    if international:
        digits = _COUNTRY_CODE.sub("", digits, count=1)
    return [digits.lstrip("0")[-PHONE_SUFFIX:]] if digits.strip("0") else []


def _one_phone(value: str) -> list[str]:
    value = _TRUNK_ZERO.sub(" ", _EXTENSION.sub("", value))
    digits = "".join(re.findall(r"\d", value))
    if not MIN_PHONE_DIGITS <= len(digits) <= MAX_PHONE_DIGITS:
        return []
    return _phone(digits, international=value.lstrip("( ").startswith("+"))


def _identifiers(text: str) -> Iterator[str]:
    for run in _runs(text):
        for digits in ("".join(run.groups), *run.parts):
            if MIN_NUMBER_DIGITS <= len(digits) <= MAX_IDENTIFIER:
                yield digits
    for token in _TOKEN.finditer(text):
        if not token[0].isalpha():
            yield from _mixed(re.split(r"[-./]", token[0]))
    for found in _IBAN.finditer(text):
        yield from _iban(found[0].split())


def _mixed(groups: Sequence[str]) -> Iterator[str]:
    """Yield what is made of letters and digits; a longer word ends it."""
    part: list[str] = []
    for group in (*groups, "-" * (MAX_LETTERS + 1)):
        if len(group) <= MAX_LETTERS or any(map(str.isdigit, group)):
            part.append(group)
            continue
        joined, part = "".join(part).casefold(), []
        n_digits = sum(map(str.isdigit, joined))
        if MIN_MIXED_DIGITS <= n_digits < len(joined) <= MAX_IDENTIFIER:
            yield joined


def _iban(groups: Sequence[str]) -> Iterator[str]:
    """Yield the account number that the groups begin with, by its check digits (ISO 13616)."""
    for n in range(len(groups), 0, -1):
        joined = "".join(groups[:n])
        turned = "".join(str(int(c, 36)) for c in joined[4:] + joined[:4])
        if MIN_IBAN <= len(joined) <= MAX_IBAN and int(turned) % 97 == 1:
            yield joined.casefold()
            return


def _one_identifier(value: str) -> list[str]:
    compact = "".join(filter(str.isalnum, _DAY.sub("", value))).casefold()
    digits = "".join(filter(str.isdigit, compact))
    if len(compact) > MAX_IDENTIFIER:
        return []
    if digits == compact:
        return [digits] if len(digits) >= MIN_NUMBER_DIGITS else []
    if len(digits) < MIN_MIXED_DIGITS:
        return []
    # A document may have the letters apart, or a longer word before the number.
    return [compact, digits] if len(digits) >= MIN_DIGITS_ALONE else [compact]
