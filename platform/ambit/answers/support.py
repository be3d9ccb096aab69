"""Compare a statement with the passage it cites, word by word; pure.

Words, numbers and names are compared, not meaning: a statement that negates its passage in the
passage's own words counts as supported, and a translation does not.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from ambit.answers.sentences import sentences, trimmed

NUMBER_WEIGHT = 3.0
NAME_WEIGHT = 2.0


def _listed(words: str) -> list[str]:
    return words.split()


# The vowel signs of Hindi, Tamil, Thai and others: within words, but no letters to re.
_SIGNS = "".join(c for c in map(chr, range(0x300, 0x1A00)) if unicodedata.category(c)[0] == "M")
_LETTERS = rf"[^\W\d_](?:[^\W\d_]|[{_SIGNS}])*+"
_WORD = re.compile(rf"{_LETTERS}(?:['’-]{_LETTERS})*")
_NUMBER = re.compile(r"\d+(?:[.,'’]\d+)*")
# What stands before a name and ends no sentence.
_TITLE = re.compile(r"\b(?:mr|mrs|ms|dr|prof|st|hr|fr|sr|sra|m|mme)\.\s*$", re.IGNORECASE)
_DATE_LIKE = re.compile(r"\d{1,4}([-/.])\d{1,2}\1\d{1,4}")
# Thai, Lao, Burmese, Khmer, Japanese, Chinese, Korean: words are not told apart.
_UNSPACED = re.compile(
    "[\u0e01-\u0eff\u1000-\u109f\u1780-\u17d3\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]+"
)
_GROUPED = re.compile(r"\d{1,3}(?:([.,'’])\d{3})(?:\1\d{3})*")

_COMMON = frozenset(
    _listed("""
        about after again also although another because been before being between both cannot
        could does doing down during each even from further have having here hers himself into
        itself just like made make many more most much must need only other otherwise ours over
        same shall should since some such than that their theirs them then there therefore these
        they this those through under until upon very were what when where which while whom
        whose will with within without would your yours according passage passages document
        documents says states stated aber alle auch beim dann dass dein diese dieser dieses
        durch eine einem einen einer eines nach nicht noch oder sein sich sind über unter wenn
        werden wird wurde wurden sowie muss kann können dans avec pour sont cette plus mais leur
        para como esta este
    """)
)
_NUMBER_WORDS = {
    word: str(value)
    for value, word in enumerate(
        _listed("""
            zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen
            fifteen sixteen seventeen eighteen nineteen twenty
        """)
    )
}
_NUMBER_WORDS |= {
    word: str(10 * value)
    for value, word in enumerate(_listed("thirty forty fifty sixty seventy eighty ninety"), 3)
}
_ORDINALS = {
    word: str(value)
    for value, word in enumerate(
        _listed("first second third fourth fifth sixth seventh eighth ninth tenth"), 1
    )
}
_MONTHS = {
    name: value
    for value, month in enumerate(
        _listed("""
            january february march april may june july august september october november december
        """),
        1,
    )
    for name in (month, month[:3], month[:4])
}
_SUFFIXES = ("ments", "ment", "ings", "ing", "ies", "ied", "es", "ed", "s", "y", "e")


@dataclass(frozen=True, slots=True)
class Facts:
    """What of a text can be compared; each number comes with the ways it may be written."""

    numbers: frozenset[frozenset[str]]
    names: frozenset[str]
    words: frozenset[str]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What a passage offers for comparison."""

    numbers: frozenset[str]
    words: frozenset[str]

    def has_number(self, forms: frozenset[str]) -> bool:
        """Say whether the number is there in one of its forms."""
        return not self.numbers.isdisjoint(forms)

    def has_word(self, word: str) -> bool:
        """Say whether the word is there, or one that it begins or continues (Urlaubstage)."""
        if word in self.words:
            return True
        if len(word) < 5:
            return False
        return any(w.startswith(word) or (len(w) >= 5 and word.startswith(w)) for w in self.words)


def facts(statement: str) -> Facts:
    """Return what a statement claims."""
    numbers = {_forms(match.group()) for match in _numbers(statement)}
    names: set[str] = set()
    words: set[str] = set()
    for match in _WORD.finditer(statement):
        word = match.group()
        lower = word.casefold()
        if lower in _NUMBER_WORDS and lower not in {"zero", "one"}:
            numbers.add(frozenset({_NUMBER_WORDS[lower]}))
        elif _is_month(statement, match):
            numbers.add(frozenset({f"month:{_MONTHS[lower]}"}))
        elif _UNSPACED.search(word):
            words.update(_parts(word))
        elif _is_name(statement, match):
            names.add(_stem(lower))
        elif len(word) >= 4 and lower not in _COMMON:
            words.add(_stem(lower))
    return Facts(frozenset(numbers), frozenset(names), frozenset(words))


def vocabulary(text: str) -> Vocabulary:
    """Return what a passage offers."""
    numbers: set[str] = set()
    words: set[str] = set()
    for match in _numbers(text):
        numbers |= _forms(match.group())
    for date in _DATE_LIKE.finditer(text):
        parts = [part.lstrip("0") for part in re.split(r"[-/.]", date.group())]
        numbers.update(parts)
        numbers.update(
            f"month:{part}"
            for part in parts
            if part.isascii() and part.isdigit() and int(part) <= 12
        )
    for match in _WORD.finditer(text):
        lower = match.group().casefold()
        words.add(_stem(lower))
        words.update(_stem(part) for part in re.split(r"['’-]", lower) if part)
        words.update(_parts(lower))
        if value := _NUMBER_WORDS.get(lower) or _ORDINALS.get(lower):
            numbers.add(value)
        if (month := _MONTHS.get(lower)) and match.group()[0].isupper():
            numbers |= {str(month), f"month:{month}"}
    return Vocabulary(frozenset(numbers), frozenset(words))


def best_sentence(claim: Facts, *, text: str) -> tuple[int, int]:
    """Return the span of the sentence that shares most with the claim, or of all the text."""
    # Where no sentence shares anything, as in a translation, the whole passage is the honest quote.
    best = (0.0, 0)
    chosen: tuple[int, int] | None = None
    for start, end in sentences(text, wrapped=True):
        there = vocabulary(text[start:end])
        score = (
            NUMBER_WEIGHT * sum(there.has_number(forms) for forms in claim.numbers)
            + NAME_WEIGHT * sum(there.has_word(name) for name in claim.names)
            + sum(there.has_word(word) for word in claim.words)
        )
        # Of two that share as much, the shorter; of two as short, the first.
        if score and (score, start - end) > best:
            best = (score, start - end)
            chosen = (start, end)
    return chosen or trimmed(text, 0, len(text))


def _numbers(text: str) -> Iterator[re.Match[str]]:
    """Yield numbers, a date with dots as its parts."""
    for match in _NUMBER.finditer(text):
        if _DATE_LIKE.fullmatch(match.group()):
            yield from re.finditer(r"\d+", match.group())
        else:
            yield match


def _forms(number: str) -> frozenset[str]:
    """Return how the number may be written: 1,234 is 1234, and perhaps 1.234."""
    forms = set()
    if _GROUPED.fullmatch(number):
        forms.add(re.sub(r"\D", "", number))
    whole, mark, fraction = number.replace("’", "'").rpartition(
        "." if number.rfind(".") > number.rfind(",") else ","
    )
    if mark:
        fraction = fraction.rstrip("0")
        whole = re.sub(r"\D", "", whole)
        forms.add(f"{whole}.{fraction}" if fraction else whole)
    else:
        forms.add(re.sub(r"\D", "", number))
    return frozenset(form.lstrip("0") or "0" for form in forms)


def _is_month(statement: str, match: re.Match[str]) -> bool:
    """Say whether the word is a month's name; May and March need a number beside them."""
    word = match.group()
    if word.casefold() not in _MONTHS or not word[0].isupper():
        return False
    if word.casefold() not in {"may", "march", "mar", "sep", "dec", "jan"}:
        return True
    before, after = statement[: match.start()][-8:], statement[match.end() :][:3]
    return bool(
        re.search(r"\d(?:st|nd|rd|th)?\.?\s+(?:of\s+)?$", before) or re.match(r"\.?\s*\d", after)
    )


def _is_name(statement: str, match: re.Match[str]) -> bool:
    word = match.group()
    if len(word) < 2 or not word[0].isupper():
        return False
    if word.isupper():
        return True
    before = statement[: match.start()]
    begins = not re.search(r"[\w,;)\"”’]\s*[(\"“‘]?$", before) and not _TITLE.search(before)
    return not begins and word.casefold() not in _COMMON


def _parts(word: str) -> Iterator[str]:
    """Yield what stands for the words of a run without spaces: two signs of a word, or four letters."""
    for run in _UNSPACED.findall(word):
        n = 2 if run[0] > "\u2fff" else 4
        yield from (run[i : i + n] for i in range(max(1, len(run) - n + 1)))


def _stem(word: str) -> str:
    word = re.sub(r"['’]s?$", "", word)
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            return word[: -len(suffix)]
    return word
