"""Documents of every kind, built byte by byte, so that a test says what is in them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

_W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
_A = (
    'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" '
    'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main" '
    'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
)
_S = (
    'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" '
    'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
)
_REL = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_TYPES = (
    '<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/'
    'content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.'
    'relationships+xml"/><Default Extension="xml" ContentType="application/xml"/>{overrides}</Types>'
)


def archive(parts: Mapping[str, str | bytes], *, stored: bool = False) -> bytes:
    out = io.BytesIO()
    method = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(out, "w", method) as target:
        for name, content in parts.items():
            target.writestr(name, content)
    return out.getvalue()


def relations(*pairs: tuple[str, str, str]) -> str:
    rows = "".join(
        f'<Relationship Id="{ident}" Type="{_REL}/{kind}" Target="{target}"/>'
        for ident, kind, target in pairs
    )
    return (
        '<?xml version="1.0"?><Relationships '
        f'xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{rows}</Relationships>'
    )


def paragraph(words: str, *, style: str = "", run: str = "") -> str:
    properties = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f"<w:p>{properties}<w:r>{run}<w:t>{words}</w:t></w:r></w:p>"


def docx(body: str, *, prolog: str = '<?xml version="1.0"?>') -> bytes:
    styles = (
        f'<?xml version="1.0"?><w:styles {_W}><w:style w:type="paragraph" w:styleId="H1">'
        '<w:name w:val="heading 1"/></w:style><w:style w:type="paragraph" w:styleId="H2">'
        '<w:name w:val="Chapter"/><w:basedOn w:val="H1"/></w:style></w:styles>'
    )
    return archive(
        {
            "[Content_Types].xml": _TYPES.format(overrides=""),
            "_rels/.rels": relations(("r1", "officeDocument", "word/document.xml")),
            "word/document.xml": f"{prolog}<w:document {_W}><w:body>{body}</w:body></w:document>",
            "word/styles.xml": styles,
        }
    )


def docx_table(rows: list[list[str]]) -> str:
    cells = "".join(
        "<w:tr>" + "".join(f"<w:tc>{paragraph(c)}</w:tc>" for c in row) + "</w:tr>" for row in rows
    )
    return f"<w:tbl>{cells}</w:tbl>"


def pptx(slides: list[tuple[str, str]]) -> bytes:
    parts: dict[str, str | bytes] = {"[Content_Types].xml": _TYPES.format(overrides="")}
    ids = "".join(f'<p:sldId id="{256 + n}" r:id="s{n}"/>' for n in range(len(slides)))
    parts["ppt/presentation.xml"] = (
        f"<p:presentation {_A}><p:sldIdLst>{ids}</p:sldIdLst></p:presentation>"
    )
    # Stored in the opposite order: the show's order is what counts.
    pairs = [(f"s{n}", "slide", f"slides/slide{len(slides) - n}.xml") for n in range(len(slides))]
    parts["ppt/_rels/presentation.xml.rels"] = relations(*pairs)
    for n, (title, text) in enumerate(slides):
        shape = '<p:sp><p:nvSpPr><p:cNvPr id="1" name="x"/><p:nvPr>{ph}</p:nvPr></p:nvSpPr>' + (
            "<p:txBody><a:p><a:r><a:t>{text}</a:t></a:r></a:p></p:txBody></p:sp>"
        )
        tree = shape.format(ph="", text=text) + shape.format(ph='<p:ph type="title"/>', text=title)
        parts[f"ppt/slides/slide{len(slides) - n}.xml"] = (
            f"<p:sld {_A}><p:cSld><p:spTree>{tree}</p:spTree></p:cSld></p:sld>"
        )
    return archive(parts)


def xlsx(sheets: dict[str, list[list[str]]]) -> bytes:
    main = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    overrides = f'<Override PartName="/xl/workbook.xml" ContentType="{main}.sheet.main+xml"/>'
    names, pairs, parts = "", [], {}
    for n, (name, rows) in enumerate(sheets.items(), start=1):
        names += f'<sheet name="{name}" sheetId="{n}" r:id="r{n}"/>'
        pairs.append((f"r{n}", "worksheet", f"worksheets/sheet{n}.xml"))
        overrides += (
            f'<Override PartName="/xl/worksheets/sheet{n}.xml" ContentType="{main}.worksheet+xml"/>'
        )
        cells = "".join(
            f'<row r="{y}">'
            + "".join(
                f'<c r="{chr(65 + x)}{y}" t="inlineStr"><is><t>{cell}</t></is></c>'
                for x, cell in enumerate(row)
            )
            + "</row>"
            for y, row in enumerate(rows, start=1)
        )
        parts[f"xl/worksheets/sheet{n}.xml"] = (
            f"<worksheet {_S}><sheetData>{cells}</sheetData></worksheet>"
        )
    return archive(
        {
            "[Content_Types].xml": _TYPES.format(overrides=overrides),
            "_rels/.rels": relations(("r1", "officeDocument", "xl/workbook.xml")),
            "xl/workbook.xml": f"<workbook {_S}><sheets>{names}</sheets></workbook>",
            "xl/_rels/workbook.xml.rels": relations(*pairs),
            **parts,
        }
    )


def pdf(pages: list[list[tuple[int, str]]], *, encrypt: str = "") -> bytes:
    """Build a PDF; each page is a list of (size of type, line)."""
    kids = " ".join(f"{4 + 2 * n} 0 R" for n in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for n, lines in enumerate(pages):
        objects.append(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Resources "
            f"<< /Font << /F1 3 0 R >> >> /Contents {5 + 2 * n} 0 R >>"
        )
        content = "".join(
            f"BT /F1 {size} Tf 50 {760 - 30 * at} Td ({line}) Tj ET\n"
            for at, (size, line) in enumerate(lines)
        )
        objects.append(f"<< /Length {len(content)} >>\nstream\n{content}endstream")
    out, offsets = "%PDF-1.5\n", []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n"
    start = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n"
    out += "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    out += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R {encrypt} >>\n"
    return f"{out}startxref\n{start}\n%%EOF\n".encode("latin-1")


def encrypted_pdf() -> bytes:
    """Build a PDF whose password is not the empty one."""
    digest = "<" + "5a" * 32 + ">"
    return pdf(
        [[(12, "secret")]],
        encrypt=f"/Encrypt << /Filter /Standard /V 1 /R 2 /O {digest} /U {digest} /P -1 >> "
        "/ID [<00> <00>]",
    )
