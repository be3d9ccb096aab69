"""What an author wrote for machines alone: text in the colour of its ground, or too small to see.

In doubt it is seen: a table, a text box or a style sheet may lay another ground below white text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from lxml import etree

from workers.ingest.parsers.ooxml import Package, attribute, child, local

_OFF = frozenset(("0", "false", "off", "none"))
# In half points: what is one point high is a line of dots.
_MAX_DOTS = 2
_HAVE_A_GROUND = frozenset(("tbl", "txbxContent"))
# Further up than people nest; an attacker may nest as deep as the parser goes, in every element.
_MAX_UP = 60
_MAX_BELOW = 60

_COLOUR = re.compile(r"(?:^|;)\s*color\s*:\s*([^;!]+)", re.IGNORECASE)
_GROUND = re.compile(r"(?:^|;)\s*background(?:-color)?\s*:\s*([^;!]+)", re.IGNORECASE)
_WHITE = frozenset(
    ("white", "#fff", "#ffffff", "rgb(255,255,255)", "rgba(255,255,255,1)", "hsl(0,0%,100%)")
)
_NO_COLOUR = re.compile(r"transparent|#[0-9a-f]{3}0|#[0-9a-f]{6}00|(?:rgb|hsl)a\(.*,0(?:\.0+)?\)")


class WordStyles:
    """What a Word document's own styles and ground say about text that is not seen."""

    def __init__(self, package: Package, *, document: etree._Element) -> None:
        self._hiding: set[str] = set()
        self._shaded = child(document, "background") is not None
        if not package.has("word/styles.xml"):
            return
        for style in package.xml("word/styles.xml"):
            if _is_on(child(style, "rPr", "vanish")):
                self._hiding.add(attribute(style, "styleId") or "")
            self._shaded = self._shaded or any(local(e) == "shd" for e in style.iter())

    def hides(self, run: etree._Element) -> bool:
        """Say whether a reader of the document would not see the run."""
        properties = child(run, "rPr")
        paragraph = next((e for e in run.iterancestors() if local(e) == "p"), None)
        own = child(properties, "vanish")
        styles = (child(properties, "rStyle"), child(paragraph, "pPr", "pStyle"))
        if own is None and any(
            attribute(s, "val") in self._hiding for s in styles if s is not None
        ):
            return True
        size = attribute(child(properties, "sz"), "val") or ""
        if _is_on(own) or (size.isdecimal() and int(size) <= _MAX_DOTS):
            return True
        return _is_white(child(properties, "color")) and not self._on_a_ground(run, paragraph)

    def _on_a_ground(self, run: etree._Element, paragraph: etree._Element | None) -> bool:
        own = child(run, "rPr", "shd"), child(run, "rPr", "highlight")
        if self._shaded or any(ground is not None for ground in own):
            return True
        if child(paragraph, "pPr", "shd") is not None:
            return True
        return any(local(above) in _HAVE_A_GROUND for above in run.iterancestors())


def has_colour_of_ground(element: etree._Element, *, styled: bool) -> bool:
    """Say whether an HTML element's text has the colour of what lies below it.

    Styled says that the page has style sheets, which may lay any ground anywhere.
    """
    colour = _first(_COLOUR, element)
    if colour is None and element.tag == "font":
        colour = _plain(element.get("color") or "")
    if not colour or _is_recoloured(element):
        return False
    if _NO_COLOUR.fullmatch(colour):
        # Text cut out of a picture has a ground of its own.
        return _first(_GROUND, element) is None
    ground = next(_grounds(element), None)
    if ground is None:
        return colour in _WHITE and not styled
    return colour == ground or {colour, ground} <= _WHITE


def _is_recoloured(element: etree._Element) -> bool:
    """Say whether something in the element has, or among very many may have, a colour of its own."""
    below = list(islice(element.iterdescendants(), _MAX_BELOW + 1))
    return len(below) > _MAX_BELOW or any(
        "color" in (inner.get("style") or "").lower() or inner.get("color") is not None
        for inner in below
    )


def _grounds(element: etree._Element) -> Iterator[str]:
    above: etree._Element | None = element
    for _ in range(_MAX_UP):
        if above is None:
            return
        ground = _first(_GROUND, above) or above.get("bgcolor") or above.get("background")
        if ground and not _NO_COLOUR.fullmatch(ground):
            yield _plain(ground)
        above = above.getparent()


def _first(what: re.Pattern[str], element: etree._Element) -> str | None:
    found = what.search(element.get("style") or "")
    return _plain(found[1]) if found else None


def _plain(colour: str) -> str:
    return re.sub(r"\s+", "", colour).lower()


def _is_white(colour: etree._Element | None) -> bool:
    if attribute(colour, "themeColor") is not None:
        return attribute(colour, "themeColor") == "background1" and not (
            attribute(colour, "themeShade")
        )
    return (attribute(colour, "val") or "").lower() == "ffffff"


def _is_on(mark: etree._Element | None) -> bool:
    return mark is not None and (attribute(mark, "val") or "1").lower() not in _OFF
