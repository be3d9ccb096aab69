"""Show a text while a model still writes it: what is given out is final and inert; pure.

The text is cut where nothing is open: no bracket, tag, comment or address, and no marker that may
still be taken out. Each part is cleaned as cite() cleans the whole, so that both come to the same
text, but for the rare cases that SafeText names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from ambit.answers.markers import checked, renumbered
from ambit.answers.plain import one_layer_less, tidied, visible
from ambit.answers.prompt import NOT_ANSWERED
from ambit.corpus.types import Passage

# What is open for longer is let go of: shown, but harmless.
MAX_HELD = 400

_STEP = 256
_MAX_PASSES = 20
# Scripts that put no spaces between words, with their punctuation, but for 【】.
_UNSPACED = (
    "\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3001-\u3009\u300c-\u300f\u3040-\u30ff\u3400-\u4dbf"
    "\u4e00-\u9fff\uf900-\ufaff\uff01\uff0c\uff1a\uff1b\uff1f\U00020000-\U0003ffff"
)
_BREAK = re.compile(rf"(?<!\s)\s++(?=\S)|(?<=[{_UNSPACED}])(?=[{_UNSPACED}])")
_GAP_START = re.compile(r"(?<=\S)\s")
_LONG_GAP = re.compile(rf"(?<!\s)(\s{{{MAX_HELD}}})\s++")
# Nothing in it that cleaning could change.
_PLAIN = re.compile(r"(?!.*www\.)[^\[\]［］【】<>:/]*", re.IGNORECASE | re.DOTALL)
_OPENING = re.compile(r"[\[［【<]")
# Markers and images take along, when they are taken out, the space that stands before them.
_TAKES_SPACE = frozenset("[［【<!")
_CLOSING = re.compile(r"[\]］】)>\n]")
_ADDRESS_LIKE = re.compile(r"//|www|(?:data|javascript|vbscript|mailto|file|blob):", re.IGNORECASE)
_UNFINISHED = re.compile(
    r"<!--(?:(?!-->).)*+\Z"
    r"|<(script|style|iframe|svg)\b(?!.*?</\1\s*>)"
    # A definition's destination may stand on the next line, and its title on the one after.
    r"|(?m:^)[ \t>*+-]*+\[[^\[\]\n]++\]:[ \t]*+\n?[ \t]*+(?:\Z|<|(?=\S*[/.:])\S)"
    r"[^\n]*(?:\n[^\n]*)?\Z",
    re.DOTALL | re.IGNORECASE,
)
_PAIR = re.compile(r"[\[［【][^\[\]［］【】]*+[\]］】]")
_LINK_TARGET = re.compile(r"\]\((?:[^()]|\([^()]*+\))*+\Z")
_LEFT_OPEN = re.compile(r"[\[［【]|<[/!?]?[a-z][^<>]*+\Z", re.IGNORECASE)
_COMMENT_OPENING = re.compile(r"<!--(?!.*?-->)", re.DOTALL)
_COMMENT_END = re.compile(r"-->")
_ADDRESS_TO_ITS_END = re.compile(
    r"(?://|www\.|(?:data|javascript|vbscript|mailto|file|blob):)[^\s<>\"'`|\\^{}\[\]]*+\Z",
    re.IGNORECASE,
)
_ADDRESS_END = re.compile(r"(?=[\s<>\"'`|\\^{}\[\]])")


@dataclass(frozen=True, slots=True)
class Increment:
    """What may be shown next; markers are the numbers that stand in it for the first time."""

    text: str = field(repr=False)
    markers: tuple[int, ...] = ()


class SafeText:
    """What of a text still being written may be shown already.

    All increments together are inert at every moment, hold no part of NOT_ANSWERED, and do not
    depend on how the text was cut into pieces. They are cite()'s text but for: links, tags and
    labels longer than MAX_HELD characters; words as long, which get a space; what only
    becomes a construct once another is taken out of it, or names a destination within a list; titles
    of links with a bracket in them; an answer that breaks off within NOT_ANSWERED; more than MAX_HELD
    blanks in a row.
    """

    def __init__(self, *, passages: Sequence[Passage]) -> None:
        # Without passages nothing is ever shown: the text would be written from memory.
        self.abstained = not passages
        self._known = "\n".join(passage.text for passage in passages)
        self._citable = frozenset(range(len(passages)))
        self._cited: list[int] = []
        self._pending = ""
        self._gap = ""
        # Whether what comes next must not stand beside what was shown last.
        self._apart = False
        self._begun = False
        self._after_return = False
        # Up to where breaks were looked for in what is pending, and to where it is known open.
        self._looked = 0
        self._open_to = 0
        # Where a comment or an address ends that is left out already.
        self._skip_to: re.Pattern[str] | None = None

    @property
    def cited(self) -> tuple[int, ...]:
        """The 0-based passages behind the numbers shown so far: the first is that of [1]."""
        return tuple(self._cited)

    def feed(self, piece: str) -> Increment:
        """Take the next piece of the text; return what may be shown now."""
        n_before = len(self._cited)
        shown = [self._take(piece[i : i + _STEP]) for i in range(0, len(piece), _STEP)]
        return self._increment("".join(shown), n_before)

    def end(self) -> Increment:
        """Return what was held back; abstained is final now, and true where nothing was shown."""
        n_before = len(self._cited)
        shown = ""
        if not self.abstained and self._skip_to is None:
            kept = len(self._pending) - _begun_sentinel(self._pending, at_least=len("NOT_"))
            shown = self._cleaned(self._pending[:kept])
        self._pending = ""
        self.abstained = self.abstained or not self._begun
        return self._increment(shown, n_before)

    def _increment(self, text: str, n_before: int) -> Increment:
        return Increment(text, tuple(range(n_before + 1, len(self._cited) + 1)))

    def _take(self, piece: str) -> str:
        if self.abstained:
            return ""
        pending = _LONG_GAP.sub(r"\1", self._pending + self._visible(piece))
        sentinel = pending.find(NOT_ANSWERED)
        if sentinel >= 0:
            pending = pending[: sentinel + len(NOT_ANSWERED)]
        self._pending = pending
        shown = []
        while (part := self._next()) is not None:
            shown.append(part)
        if NOT_ANSWERED in self._pending and self._skip_to is None:
            self.abstained = True
        return "".join(shown)

    def _visible(self, piece: str) -> str:
        if self._after_return and piece.startswith("\n"):
            piece, self._after_return = piece[1:], False
        if piece:
            self._after_return = piece.endswith("\r")
        return visible(f"x{piece}x")[1:-1]

    def _next(self) -> str | None:
        """Return the next part to show, perhaps an empty one, or None where all must wait."""
        if self.abstained:
            return None
        if self._skip_to is not None:
            return self._skipped(self._skip_to)
        if cut := self._cut():
            return self._cut_off(cut)
        if len(self._pending.rstrip()) > MAX_HELD:
            return self._let_go()
        return None

    def _cut(self) -> int:
        """Return where the first part ends that can stand alone; 0 where there is none yet."""
        for match in _BREAK.finditer(self._pending, self._looked):
            start, end = match.span()
            if start > MAX_HELD:
                break
            if start and self._is_whole(start, end):
                return start
            self._looked = max(end, start + 1)
        return 0

    def _is_whole(self, start: int, end: int) -> bool:
        """Say whether nothing that began before the break can end after it."""
        text = self._pending[:start]
        if start == end:
            if _ADDRESS_LIKE.search(text):
                return False
        elif self._pending[end] in _TAKES_SPACE or text.endswith("]:"):
            return False
        if self._open_to and not _CLOSING.search(text, self._open_to):
            return False
        self._open_to = start if _is_open(text) else 0
        return not self._open_to

    def _cut_off(self, end: int) -> str:
        part, self._pending = self._pending[:end], self._pending[end:]
        self._looked = self._open_to = 0
        return self._cleaned(part)

    def _let_go(self) -> str:
        """Show the beginning of what was held for too long, harmless as it then is."""
        # Whatever lies behind must not matter: it may not have come yet.
        held = self._pending[:MAX_HELD]
        if comment := _COMMENT_OPENING.search(held):
            shown = self._cut_off(comment.start())
            self._skip_to = _COMMENT_END
        elif gaps := [match.start() for match in _GAP_START.finditer(held)]:
            return self._cut_off(gaps[-1])
        elif _ADDRESS_TO_ITS_END.search(held):
            shown = self._cut_off(MAX_HELD)
            self._skip_to = _ADDRESS_END
        else:
            opening = max(held.rfind(sign) for sign in "[［【<")
            within = MAX_HELD - _begun_sentinel(held, at_least=1)
            shown = self._cut_off(opening if opening > MAX_HELD // 2 else within)
        # Both sides are harmless, but perhaps not beside each other.
        self._apart = True
        return shown

    def _skipped(self, skip_to: re.Pattern[str]) -> str | None:
        found = skip_to.search(self._pending)
        if found is None:
            self._pending = self._pending[-2:]
            return None
        self._pending = self._pending[found.end() :]
        self._skip_to = None
        return ""

    def _cleaned(self, part: str) -> str:
        text = part.lstrip()
        lead = part[: len(part) - len(text)]
        if not _PLAIN.fullmatch(text):
            text = checked(text, citable=self._citable, known=self._known)
        if NOT_ANSWERED in text:
            self.abstained = True
            return ""
        return self._spaced(lead + renumbered(text, cited=self._cited))

    def _spaced(self, part: str) -> str:
        """Return the part after the white space due before it, as tidied() leaves it of the whole."""
        text = tidied(part)
        if not text:
            self._gap = (self._gap + part)[-MAX_HELD:]
            return ""
        gap = self._gap + part[: len(part) - len(part.lstrip())]
        self._gap = part[len(part.rstrip()) :]
        lines, newline, indent = gap.rpartition("\n")
        if newline:
            gap = ("\n\n" if "\n" in lines else "\n") + indent
        if self._begun:
            text = (gap or " " * self._apart) + text
        self._begun, self._apart = True, False
        return text


def _is_open(text: str) -> bool:
    """Say whether a bracket, tag, comment, element or definition may end only after the text."""
    if not _OPENING.search(text):
        return False
    for _ in range(_MAX_PASSES):
        if _UNFINISHED.search(text):
            return True
        before = text
        text = one_layer_less(text)
        if text == before:
            break
    if _LINK_TARGET.search(text):
        return True
    while (inner := _PAIR.sub("", text)) != text:
        text = inner
    return _LEFT_OPEN.search(text) is not None


def _begun_sentinel(text: str, *, at_least: int) -> int:
    """Return the length of the sentinel's beginning at the text's end; 0 where there is none."""
    lengths = range(len(NOT_ANSWERED) - 1, at_least - 1, -1)
    return next((n for n in lengths if text.endswith(NOT_ANSWERED[:n])), 0)
