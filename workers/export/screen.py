"""Take what names anybody else out of a text. Pure but for the keyed hash of a word.

Members are recognised by their e-mail address, external id, name and id, in whatever spelling of
case and punctuation; people whom documents declare, by hashing each word as a declaration is hashed;
and every e-mail address that is not the person's own goes. Names shorter than three letters are no
names to a program, and free text may describe somebody without naming them: about.json says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from ambit.corpus.holdings import Declared
from ambit.corpus.subjects import subject_mac
from ambit.corpus.types import SubjectRef
from tenants.disclosure import Naming
from tenants.ids import public_id

SOMEBODY = "[another person]"
SHORTEST = 3
_WORD = re.compile(r"\w+")
_ADDRESS = re.compile(r"[^\s<>\"'(),;:\[\]]+@[^\s<>\"'(),;:\[\]]+")
_RUN = re.compile(r"\S+")
_EDGES = "\"'()[]{}<>.,;:!?"
Words = tuple[str, ...]


class Screen:
    """Knows the person and everybody else, and lets nobody else through."""

    def __init__(
        self,
        *,
        own: Iterable[str],
        others: Iterable[Naming],
        declared: frozenset[Declared] = frozenset(),
    ) -> None:
        self._others_declared = declared
        self._own = {text.strip().casefold() for text in own}
        # By their first word; False: the person's own, which stays also where another's is part of it.
        self._named: dict[str, dict[Words, bool]] = {}
        for other in others:
            for text in (*other.words, str(other.id), public_id("member", other.id)):
                self._learn(text, is_other=True)
        for text in self._own:
            self._learn(text, is_other=False)

    def _learn(self, text: str, *, is_other: bool) -> None:
        words = tuple(_WORD.findall(text.casefold()))
        if sum(map(len, words)) >= SHORTEST:
            self._named.setdefault(words[0], {})[words] = is_other

    def text(self, text: str) -> str:
        """Return a text without other people's names, ids and addresses."""
        text = _ADDRESS.sub(self._address, text)
        if self._others_declared:
            text = _RUN.sub(self._declared, text)
        return self._without_members(text)

    def value(self, value: Any) -> Any:
        """Return JSON with every text in it screened, names of fields included."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(one) for one in value]
        if isinstance(value, dict):
            return {self.text(name): self.value(one) for name, one in value.items()}
        if isinstance(value, int | float) and not isinstance(value, bool):
            shown = str(value)
            return value if self.text(shown) == shown else SOMEBODY
        return value

    def _address(self, found: re.Match[str]) -> str:
        text = found[0].rstrip(".")
        return found[0] if text.casefold() in self._own else SOMEBODY

    def _declared(self, run: re.Match[str]) -> str:
        text = run[0].strip(_EDGES)
        if not text or text.casefold() in self._own:
            return run[0]
        refs = (SubjectRef("external_id", text), SubjectRef("email", text))
        named = any((ref.type, subject_mac(ref)) in self._others_declared for ref in refs)
        return run[0].replace(text, SOMEBODY) if named else run[0]

    def _without_members(self, text: str) -> str:
        words = list(_WORD.finditer(text))
        pieces, done, at = [], 0, 0
        while at < len(words):
            length, is_other = self._longest(words, at)
            if is_other:
                pieces += [text[done : words[at].start()], SOMEBODY]
                done = words[at + length - 1].end()
            at += max(length, 1)
        return "".join([*pieces, text[done:]])

    def _longest(self, words: list[re.Match[str]], at: int) -> tuple[int, bool]:
        known = self._named.get(words[at][0].casefold(), {})
        for name in sorted(known, key=len, reverse=True):
            here = tuple(word[0].casefold() for word in words[at : at + len(name)])
            if here == name:
                return len(name), known[name]
        return 0, False
