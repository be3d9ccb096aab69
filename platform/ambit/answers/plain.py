"""Turn what a document or a model wrote into visible, inert text; pure."""

from __future__ import annotations

import re
import unicodedata

LINK_REMOVED = "(link removed)"
# What a citation marker may look like between its brackets: 1 · 1, 2 · 1-3 · ^1 · Passage 1.
MARKER_NUMBER = r"\^?(?:passages?\s*)?\d+"
MARKER_LABEL = rf"\s*{MARKER_NUMBER}(?:\s*(?:[,;&–—-]|and)\s*{MARKER_NUMBER})*\s*"

# Format, control, surrogate and private-use characters: bidi overrides, zero widths, "tag" letters.
_HIDDEN_CATEGORIES = frozenset({"Cf", "Cc", "Cs", "Co"})
# Signs that enclose a number in Arabic and Syriac script: of category Cf, but seen.
_SEEN = frozenset(map(chr, [*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD]))
# Of other categories, but not seen: fillers, blanks and the variation selectors that can carry a
# hidden message.
_UNSEEN = frozenset(
    chr(code)
    for codes in (
        (0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0),
        range(0x180B, 0x1810),
        range(0xFE00, 0xFE10),
        range(0xE0100, 0xE01F0),
    )
    for code in codes
)

# Nested constructs come apart one layer a pass; what is left after these many is only made inert.
_MAX_PASSES = 20
_MARKER = re.compile(MARKER_LABEL, re.IGNORECASE)
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_CODE_ELEMENT = re.compile(r"<(script|style|iframe|svg)\b.*?</\1\s*>", re.DOTALL | re.IGNORECASE)
_AUTOLINK = re.compile(r"<((?:[a-z][a-z0-9+.-]*:|[^\s<>@]+@)[^\s<>]*)>", re.IGNORECASE)
_TAG = re.compile(r"<[/!?]?[a-z][^<>]*>", re.IGNORECASE)
_TAG_OPENING = re.compile(r"<(?=[/!?a-z])", re.IGNORECASE)
# [label]: destination, on one line or two, perhaps in a quotation or a list.
_DEFINITION = re.compile(
    r"^[ \t>*+-]*+\[[^\[\]\n]++\]:[ \t]*+\n?[ \t]*+(?:<[^<>\n]*+>|(?=\S*[/.:])\S++)[ \t]*+"
    r"(?:\n?[ \t]*+(?:\"[^\"\n]*+\"|'[^'\n]*+'|\([^()\n]*+\)))?[ \t]*+$",
    re.MULTILINE,
)
_LABEL = r"((?:[^\[\]]++|\[[^\[\]]*+\])*+)"
_INLINE_LINK = re.compile(
    rf"(!?)\[{_LABEL}\]\(\s*+(?:<[^<>\n]*+>|[^()\s]*+(?:\([^()\s]*+\)[^()\s]*+)*+)"
    r"(?:\s++(?:\"[^\"]*+\"|'[^']*+'|\([^()]*+\)))?\s*+\)"
)
_REFERENCE_LINK = re.compile(r"(!?)\[([^\[\]]++)\][ ]?\[([^\[\]]*+)\]")
# Not \b: before an address, a letter of a script without spaces separates, as does _.
_URL = re.compile(
    r"(?:(?:[a-z][a-z0-9+.-]{0,30})?://|(?<![\w:/])//(?=[\w-]+\.)|(?<![a-z0-9])(?:www\.|data:(?=[\w.+-]*[/;,])"
    r"|(?:javascript|vbscript|mailto|file|blob):(?=\S)))[^\s<>\"'`|\\^{}\[\]]*",
    re.IGNORECASE,
)
_URL_START = re.compile(r"(?:(?:[a-z][a-z0-9+.-]*)?:?//(?:www\.)?|www\.|mailto:)+", re.IGNORECASE)
_NEVER_SHOWN = re.compile(r"data:|javascript:|vbscript:|file:|blob:", re.IGNORECASE)


def visible(text: str) -> str:
    """Return the text without unseen characters; a line break is a newline, a tab a space."""
    lines = "\n".join(text.splitlines()).replace("\t", " ")
    if lines.isascii() and lines.replace("\n", "").isprintable():
        return lines
    return "".join(c for c in lines if c == "\n" or c in _SEEN or _is_seen(c))


def inert(text: str, *, known: str = "") -> str:
    """Return the text with images, links and HTML reduced to their words.

    Rendering it fetches and opens nothing. An address that stands letter for letter in the known
    text stays, without its scheme; any other is removed, because it may carry what the model read
    to whoever planted it.
    """
    return tidied(defused(visible(text), known=known))


def defused(text: str, *, known: str = "") -> str:
    """Return a visible text inert, its white space as it stands."""
    for _ in range(_MAX_PASSES):
        before = text
        text = one_layer_less(text)
        if text == before:
            break
    text = _URL.sub(lambda match: _address(match.group(), known=known), text)
    text = _TAG_OPENING.sub("< ", text)
    # Nothing that a renderer could still take for a link or a definition.
    return re.sub(r"\](?=[(:])", "] ", text)


def tidied(text: str) -> str:
    """Return the text without white space at its ends and its lines', and without a second empty line."""
    lines = "\n".join(line.rstrip() for line in text.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", lines).strip()


def is_marker(label: str) -> bool:
    """Say whether what stands between two brackets reads as a citation marker."""
    return _MARKER.fullmatch(label) is not None


def _is_seen(character: str) -> bool:
    return unicodedata.category(character) not in _HIDDEN_CATEGORIES and character not in _UNSEEN


def one_layer_less(text: str) -> str:
    """Return the text without its outermost comments, tags, definitions and links, their words kept."""
    text = _COMMENT.sub("", text)
    text = _CODE_ELEMENT.sub("", text)
    text = _AUTOLINK.sub(r"\1", text)
    text = _TAG.sub("", text)
    text = _DEFINITION.sub("", text)
    text = _INLINE_LINK.sub(_link_words, text)
    return _REFERENCE_LINK.sub(_reference_words, text)


def _link_words(match: re.Match[str]) -> str:
    image, label = match.groups()
    if is_marker(label):
        return "" if image else f"[{label}]"
    return label


def _reference_words(match: re.Match[str]) -> str:
    """Keep a marker on either side of a reference; its definition, if there was one, is gone."""
    image, label, reference = match.groups()
    if image:
        return "" if is_marker(label) else label
    if is_marker(label):
        return f"[{label}][{reference}]" if is_marker(reference) else f"[{label}]"
    return f"{label}[{reference}]" if is_marker(reference) else label


def _address(address: str, *, known: str) -> str:
    shown = address.rstrip(".,;:!?)")
    rest = address[len(shown) :]
    if _NEVER_SHOWN.match(shown) or shown not in known:
        return LINK_REMOVED + rest
    return _URL_START.sub("", shown, count=1) + rest
