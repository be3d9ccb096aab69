"""A receipt on paper: a PDF made from what was signed and nothing else, with the receipt itself attached.

The same receipt gives the same bytes. It holds what the receipt holds: no content and no identifier. What is printed is
for people; what is checked is the attached file.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any
from xml.sax.saxutils import escape

from reportlab.lib.colors import HexColor
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfdoc, pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import (
    CondPageBreak,
    Flowable,
    Paragraph,
    SimpleDocTemplate,
    Spacer,
    Table,
    TableStyle,
)

from ambit.audit.receipts import SIGNED, fingerprint
from ambit.audit.verify import SIGNED_BY
from ambit.erasure.receipts import said_in
from ambit.erasure.types import RETENTION

ATTACHED = "receipt.json"
FONT, BOLD = "Vera", "VeraBd"
TITLE, CERTIFICATE = "Receipt of erasure", "Certificate of off-boarding"
# Within the margins and the frame's own padding.
WIDTH = A4[0] - 40 * mm - 12
# In one sentence each; an outcome that is not here stands for itself.
OUTCOMES = {
    "destroyed": "Everything that was found was destroyed, and a second look by other means found nothing left. What"
    " can still be there is listed under “Not yet gone”.",
    "nothing held": "Nothing was held: there was nothing to destroy.",
    "held in part": "Everything that was found was destroyed, but what must be kept by law: that is hidden from"
    " everybody.",
    "held": "Everything that was found must be kept by law: it is hidden from everybody and was not destroyed.",
    "off-boarded": "The tenant was ended: everything of it that was found was destroyed, and a second look by other"
    " means found nothing left but what is listed under “What stays, and why”.",
    "incomplete": "Not complete: something is left. It is tried again by itself, and another receipt follows.",
    "refused": "The request was refused: nothing was hidden or destroyed.",
}
UNSIGNED = "This receipt was written before receipts were signed: nothing proves it."
HOW = (
    "Save the file receipt.json that is attached to this PDF (or ask the tenant for it: GET /v1/erasures/…/receipt),"
    " and the tenant’s audit export. In the unpacked export run",
    "python ambit_verify.pyz --receipt receipt.json --key '…'",
    "with the key that you noted before, not one that came with the receipt. It needs Python and the package"
    " cryptography, no server and no network, and says what it checked and what it could not.",
)
# By whether it was made by age.
NO_DATE = {
    False: "no date: the request was refused",
    True: "no date: nobody asked, it was older than it is kept",
}
_INK, _FAINT, _LINE = HexColor("#1a1a1a"), HexColor("#555555"), HexColor("#bbbbbb")


def print_receipt(note: str) -> bytes:
    """Return a signed receipt as a PDF. Pure."""
    said = said_in(note)
    _register_fonts()
    made = io.BytesIO()
    document = SimpleDocTemplate(
        made, pagesize=A4, title=f"{_title_of(said)} {said['erasure']}", lang="en", invariant=1,
        leftMargin=20 * mm, rightMargin=20 * mm, topMargin=18 * mm, bottomMargin=18 * mm,
    )  # fmt: skip
    attached = json.dumps(
        {**said, SIGNED: note if SIGNED_BY in note else False}, indent=2, ensure_ascii=False
    ).encode()

    def first_page(canvas: Any, _document: Any) -> None:
        _attach(canvas, attached)
        _foot(canvas, said)

    story = [*_head(said, note), *_places(said), *_limits(said), *_proof(said, note)]
    document.build(story, onFirstPage=first_page, onLaterPages=lambda c, _d: _foot(c, said))
    return made.getvalue()


def _head(said: dict[str, Any], note: str) -> list[Flowable]:
    subject = said["subject"]
    who = f"{subject['type']}, keyed hash {subject['hash']}" if subject["hash"] else subject["type"]
    number = f"{said.get('serial', 1)}"
    if said.get("previous"):
        number += f", after the one with the SHA-256 {said['previous']}"
    facts = [
        ("Case", said["erasure"]),
        ("Tenant", said["tenant"]),
        ("About", who),
        *(
            [("Repeats", f"{said['repeats']}, since a backup was restored")]
            if said.get("repeats")
            else []
        ),
        ("Receipt", number),
        ("Written", _time(said.get("written_at"))),
        ("By", said["version"]),
        *((one["state"].capitalize(), _time(one["at"])) for one in said["states"]),
    ]
    if not _is_certificate(said):
        due = _time(said["due_at"]) if said["due_at"] else NO_DATE[_is_by_age(said)]
        facts.append(("Due", due))
    if said.get("extended_at"):
        facts.append(("Extended", _time(said["extended_at"])))
    outcome = OUTCOMES.get(said["outcome"], f"Outcome: {said['outcome']}.")
    signed = [] if SIGNED_BY in note else [_text(UNSIGNED, bold=True)]
    return [
        _text(_title_of(said), size=18, bold=True),
        Spacer(1, 4 * mm),
        _text(outcome, size=11),
        *signed,
        Spacer(1, 3 * mm),
        _table(facts),
    ]


def _is_certificate(said: dict[str, Any]) -> bool:
    return bool(said["subject"].get("type") == "tenant")


def _is_by_age(said: dict[str, Any]) -> bool:
    return bool(said["subject"].get("type") == RETENTION)


def _title_of(said: dict[str, Any]) -> str:
    return CERTIFICATE if _is_certificate(said) else TITLE


def _places(said: dict[str, Any]) -> list[Flowable]:
    told: list[Flowable] = []
    touched = [h for h in said["holdings"] if h["found"] or h["remaining"] != 0]
    empty = [h["title"] for h in said["holdings"] if not h["found"] and h["remaining"] == 0]
    if touched:
        told += [*_title("What was found, and what became of it"), _holdings(touched)]
    if empty:
        told += [Spacer(1, 2 * mm), _text(f"Looked at, and nothing there: {'; '.join(empty)}.")]
    if said["retrievable_documents"] is not None:
        n = said["retrievable_documents"]
        told += [Spacer(1, 2 * mm), _text(f"Documents that a reader still gets: {n}.")]
    if said["left"]:
        told += [*_title("What is left"), *_list(said["left"])]
    if said["held"]:
        kept = (
            f"{one['basis']}: {one['documents']} documents, {one['members']} members"
            for one in said["held"]
        )
        told += [*_title("What is kept by law"), *_list(kept)]
    if said.get("kept"):
        stays = (f"{one['what']}, {one['rows']} rows: {one['why']}" for one in said["kept"])
        told += [*_title("What stays, and why"), *_list(stays)]
    if said.get("scrub"):
        told += [
            *_title("Scrub"),
            _table([(_words(k), _value(v)) for k, v in said["scrub"].items()]),
        ]
    return told


def _limits(said: dict[str, Any]) -> list[Flowable]:
    told: list[Flowable] = []
    not_yet, backups = list(said["not_yet_gone"]), said.get("backups")
    if backups:
        when = f"Backups expire on {_time(backups['expire_at'])}. " if backups["expire_at"] else ""
        not_yet.append(f"{when}{backups['words']}")
    if not_yet:
        told += [*_title("Not yet gone, and until when"), *_list(not_yet)]
    if said["limits"]:
        told += [*_title("What this receipt does not claim"), *_list(said["limits"])]
    return told


def _proof(said: dict[str, Any], note: str) -> list[Flowable]:
    log, database = said.get("log"), said.get("database")
    facts = [("SHA-256 of the receipt", fingerprint(note))]
    if log:
        facts += [
            ("Signed with the key", log["key"]),
            ("Its fingerprint", f"SHA-256 {_key_fingerprint(log['key'])}"),
            ("Audit log then", f"{log['size']} events, root {log['root']}"),
        ]
    if database:
        told = f"log at {database['wal']}, oldest open transaction {database['oldest_transaction']}"
        facts.append(("Database at the check", f"{_time(database['at'])}, {told}"))
    return [
        *_title("How to check it"),
        _text(HOW[0]),
        Spacer(1, 1 * mm),
        _text(HOW[1], bold=True),
        Spacer(1, 1 * mm),
        _text(HOW[2]),
        Spacer(1, 3 * mm),
        _table(facts),
    ]


def _holdings(holdings: Sequence[dict[str, Any]]) -> Table:
    rows: list[list[Any]] = [
        [_text(words, bold=True, right=words in ("Found", "Destroyed", "Left")) for words in
         ("Place", "Found", "Destroyed", "Left")]
    ]  # fmt: skip
    for one in holdings:
        how = f"Found by {one['found_by']}. "
        if one.get("destroyed_by"):
            how += f"Destroyed by {one['destroyed_by']}. "
        how += f"Verified by {one['verified_by']}."
        if one.get("why_left"):
            how += f" Left: {one['why_left']}"
        left = "unknown" if one["remaining"] is None else str(one["remaining"])
        counts = (str(one["found"]), str(one["destroyed"]), left)
        place = [_text(one["title"]), _text(how, size=6.5, faint=True)]
        rows.append([place, *(_text(count, right=True) for count in counts)])
    widths = [WIDTH - 54 * mm, 16 * mm, 21 * mm, 17 * mm]
    return Table(rows, colWidths=widths, repeatRows=1, style=_RULED)


def _table(facts: Iterable[tuple[str, str]]) -> Table:
    rows = [[_text(name, faint=True), _text(value)] for name, value in facts]
    return Table(rows, colWidths=[38 * mm, WIDTH - 38 * mm], style=_RULED)


def _list(lines: Iterable[str]) -> list[Flowable]:
    return [_text(line, bullet=True) for line in lines]


def _title(words: str) -> list[Flowable]:
    style = ParagraphStyle("title", fontName=BOLD, fontSize=11, leading=14, textColor=_INK)
    style.spaceBefore, style.spaceAfter = 5 * mm, 2 * mm
    # Never the last words of a page.
    return [CondPageBreak(30 * mm), Paragraph(escape(words), style)]


def _text(
    words: str, *, size: float = 8.5, bold: bool = False, faint: bool = False, right: bool = False,
    bullet: bool = False,
) -> Paragraph:  # fmt: skip
    style = ParagraphStyle("text", fontName=BOLD if bold else FONT, fontSize=size)
    style.leading, style.textColor = size * 1.35, _FAINT if faint else _INK
    # Hashes and keys are longer than a line.
    style.splitLongWords = 1
    if right:
        style.alignment = TA_RIGHT
    if bullet:
        style.leftIndent, style.spaceAfter, style.bulletFontName = 4 * mm, 1 * mm, FONT
    return Paragraph(escape(words), style, bulletText="•" if bullet else None)


_RULED = TableStyle(
    [
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LEFTPADDING", (0, 0), (-1, -1), 0),
        ("TOPPADDING", (0, 0), (-1, -1), 2),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
        ("LINEBELOW", (0, 0), (-1, -1), 0.3, _LINE),
    ]
)


def _foot(canvas: Any, said: dict[str, Any]) -> None:
    canvas.saveState()
    canvas.setFont(FONT, 7)
    canvas.setFillColor(_FAINT)
    canvas.drawString(20 * mm, 10 * mm, f"{said['erasure']}, receipt {said.get('serial', 1)}")
    canvas.drawRightString(A4[0] - 20 * mm, 10 * mm, f"page {canvas.getPageNumber()}")
    canvas.restoreState()


def _attach(canvas: Any, content: bytes) -> None:
    """Attach the receipt as a file (ISO 32000-1, 7.11.4), as it is, so that it can be cut out by hand."""
    kept = pdfdoc.PDFStream(
        pdfdoc.PDFDictionary(
            {"Type": pdfdoc.PDFName("EmbeddedFile"), "Subtype": pdfdoc.PDFName("application/json")}
        ),
        content,
        filters=[],
    )
    document = canvas._doc  # noqa: SLF001 - the library has no door to attachments
    name = pdfdoc.PDFString(ATTACHED)
    file = {
        "Type": pdfdoc.PDFName("Filespec"), "F": name, "UF": name,
        "EF": pdfdoc.PDFDictionary({"F": document.Reference(kept)}),
    }  # fmt: skip
    names = pdfdoc.PDFArray([name, document.Reference(pdfdoc.PDFDictionary(file))])
    files = pdfdoc.PDFDictionary({"Names": names})
    document.Catalog.Names = pdfdoc.PDFDictionary({"EmbeddedFiles": files})


def _register_fonts() -> None:
    # They come with the library: nothing is fetched, and no machine needs them installed.
    for name in (FONT, BOLD):
        if name not in pdfmetrics.getRegisteredFontNames():
            pdfmetrics.registerFont(TTFont(name, f"{name}.ttf"))


def _key_fingerprint(key: str) -> str:
    try:
        return hashlib.sha256(base64.b64decode(key.split("+", 2)[2])[1:]).hexdigest()
    except (IndexError, binascii.Error):
        return "unknown"


def _time(text: str | None) -> str:
    if not text:
        return "unknown"
    return datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _value(value: Any) -> str:
    if isinstance(value, list):
        return "; ".join(_value(one) for one in value)
    if isinstance(value, dict):
        return "; ".join(f"{_words(name).lower()}: {_value(one)}" for name, one in value.items())
    return (
        "no"
        if value is False
        else "yes"
        if value is True
        else "unknown"
        if value is None
        else str(value)
    )
