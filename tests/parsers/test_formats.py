"""Each format ends as one text with exact offsets, its headings as sections and its pages as numbers."""

from __future__ import annotations

import pytest

from tests.parsers import files
from workers.ingest.parse import Limits, parse
from workers.ingest.types import ParsedText


def read(content: bytes, name: str, mime: str | None = None) -> ParsedText:
    parsed = parse(
        path_or_bytes=content,
        file_name=name,
        declared_mime=mime,
        limits=Limits(wall_seconds=60),
        on_wait=lambda: None,
    )
    at = 0
    for block in parsed.blocks:
        assert at <= block.start < block.end <= len(parsed.text)
        assert parsed.text[at : block.start].strip() == ""
        at = block.end
    assert parsed.text[at:] == ""
    return parsed


def pieces(parsed: ParsedText) -> list[tuple[str, int | None, str, str]]:
    return [(b.kind, b.page, b.section, parsed.text[b.start : b.end]) for b in parsed.blocks]


def test_a_pdf_has_pages_and_headings_by_size_of_type() -> None:
    body = [(11, f"Body line {n} of a page that is long enough to be the body.") for n in range(5)]

    parsed = read(
        files.pdf([[(20, "Leave policy"), *body], [(11, "Second page."), *body]]), "a.pdf"
    )

    assert parsed.n_pages == 2
    assert parsed.mime == "application/pdf"
    assert pieces(parsed)[0] == ("heading", 1, "", "Leave policy")
    assert [b.page for b in parsed.blocks] == [1, 1, 2]
    assert parsed.blocks[2].section == "Leave policy"
    assert "Second page." in parsed.text[parsed.blocks[2].start :]


def test_a_word_document_keeps_headings_lists_tables_and_their_order() -> None:
    body = files.paragraph("Travel", style="H1") + files.paragraph("Book early.")
    body += files.paragraph("Rates", style="H2")
    body += files.docx_table([["City", "Rate"], ["Oslo", "210"], ["Bergen", "180"]])

    parsed = read(files.docx(body), "a.docx")

    assert pieces(parsed) == [
        ("heading", None, "", "Travel"),
        ("text", None, "Travel", "Book early."),
        ("heading", None, "", "Rates"),
        ("table", None, "Rates", "City: Oslo; Rate: 210\nCity: Bergen; Rate: 180"),
    ]


def test_hidden_and_deleted_text_of_a_word_document_is_left_out() -> None:
    body = files.paragraph("Seen.")
    body += files.paragraph("HIDDEN", run="<w:rPr><w:vanish/></w:rPr>")
    body += "<w:p><w:del><w:r><w:delText>DELETED</w:delText><w:t>DELETED</w:t></w:r></w:del></w:p>"
    body += files.paragraph("Also seen.", run='<w:rPr><w:vanish w:val="0"/></w:rPr>')

    assert read(files.docx(body), "a.docx").text == "Seen.\n\nAlso seen."


WHITE = '<w:rPr><w:color w:val="FFFFFF"/>{}</w:rPr>'


def test_what_a_word_document_shows_to_nobody_is_left_out() -> None:
    body = files.paragraph("Seen.")
    body += files.paragraph("LEAK1", run=WHITE.format(""))
    body += files.paragraph("LEAK2", run='<w:rPr><w:color w:themeColor="background1"/></w:rPr>')
    body += files.paragraph("LEAK3", run='<w:rPr><w:sz w:val="2"/></w:rPr>')

    assert read(files.docx(body), "a.docx").text == "Seen."


def test_white_words_on_a_ground_are_seen() -> None:
    shaded = '<w:p><w:pPr><w:shd w:fill="003366"/></w:pPr><w:r>{}<w:t>Band</w:t></w:r></w:p>'
    row = [files.paragraph("Plan", run=WHITE.format("")), files.paragraph("Fee")]
    body = shaded.format(WHITE.format(""))
    body += files.paragraph("Marked", run=WHITE.format('<w:highlight w:val="black"/>'))
    body += files.paragraph(
        "Grey", run='<w:rPr><w:color w:val="EEEEEE"/><w:sz w:val="12"/></w:rPr>'
    )
    body += f"<w:tbl><w:tr>{''.join(f'<w:tc>{cell}</w:tc>' for cell in row)}</w:tr></w:tbl>"

    assert read(files.docx(body), "a.docx").text == "Band\n\nMarked\n\nGrey\n\nPlan | Fee"


UNSEEN_HTML = """<html><body><p>Seen.</p><p style="color:#FFF">LEAK1</p>
<p style="font-size:12px; color : White !important">LEAK2</p><p style="color:transparent">LEAK3</p>
<div style="background:#003366"><p style="color:#003366">LEAK4</p><p style="color:#fff">Band</p></div>
<table bgcolor="#000"><tr><td style="color:rgb(255, 255, 255)">On black</td></tr></table>
<p style="background-color:white;color:#fff">LEAK5</p><p style="font-size:1px">LEAK6</p>
<div style="color:white">LEAK7 <b>LEAK8</b></div><p style="color:#eee">Grey</p>
<div style="color:#fff"><span style="color:#000">Black again</span></div></body></html>"""


def test_words_in_the_colour_of_their_ground_are_left_out_and_others_are_not() -> None:
    text = read(UNSEEN_HTML.encode(), "a.html").text

    assert "LEAK" not in text
    assert text.split("\n") == ["Seen.", "Band", "On black", "Grey", "Black again"]


def test_white_words_of_a_page_with_a_style_sheet_are_kept() -> None:
    page = UNSEEN_HTML.replace("<body>", "<head><style>body{background:#000}</style></head><body>")

    assert "LEAK1" in read(page.encode(), "a.html").text


def test_slides_are_pages_in_the_order_of_the_show() -> None:
    parsed = read(files.pptx([("Goals", "Grow"), ("Risks", "Rain")]), "a.pptx")

    assert parsed.n_pages == 2
    assert pieces(parsed) == [
        ("heading", 1, "", "Goals"),
        ("text", 1, "Goals", "Grow"),
        ("heading", 2, "", "Risks"),
        ("text", 2, "Risks", "Rain"),
    ]


def test_sheets_are_pages_and_rows_keep_their_column_names() -> None:
    rows = [["Name", "Team"], ["Alice", "Red"], ["Bob", "Blue"]]

    parsed = read(files.xlsx({"People": rows, "More": [["Only", "this"]]}), "a.xlsx")

    assert parsed.n_pages == 2
    assert pieces(parsed) == [
        ("heading", 1, "", "People"),
        ("table", 1, "People", "Name: Alice; Team: Red\nName: Bob; Team: Blue"),
        ("heading", 2, "", "More"),
        ("table", 2, "More", "Only | this"),
    ]


HIDDEN_HTML = """<!doctype html><html><head><title>T</title><style>.off{display:none}</style></head>
<body><nav>NAV</nav><h1>Benefits</h1><p>Visible <b>words</b>.</p>
<div style="display:none">LEAK1</div><p hidden>LEAK2</p><span style="visibility: hidden">LEAK3</span>
<p class="off">LEAK4</p><p style="font-size:0px">LEAK5</p><i aria-hidden="true">LEAK6</i>
<p style="position:absolute;left:-9999px">LEAK7</p><template>LEAK8</template><!-- LEAK9 -->
<script>LEAK10</script><noscript>LEAK11</noscript>
<h2>Costs</h2><ul><li>one</li><li>two</li></ul>
<table><tr><th>Plan</th><th>Fee</th></tr><tr><td rowspan="2">Gold</td><td>9</td></tr><tr><td>8</td></tr></table>
<pre>x = 1
y = 2</pre></body></html>"""


def test_what_a_reader_of_a_page_cannot_see_is_not_in_its_text() -> None:
    parsed = read(HIDDEN_HTML.encode(), "a.html")

    assert "LEAK" not in parsed.text
    assert "NAV" not in parsed.text
    assert pieces(parsed) == [
        ("heading", None, "", "Benefits"),
        ("text", None, "Benefits", "Visible words."),
        ("heading", None, "Benefits", "Costs"),
        ("text", None, "Benefits › Costs", "- one\n- two"),
        ("table", None, "Benefits › Costs", "Plan: Gold; Fee: 9\nPlan: Gold; Fee: 8"),
        ("code", None, "Benefits › Costs", "x = 1\ny = 2"),
    ]


def test_a_page_nested_two_thousand_deep_is_read() -> None:
    parsed = read(b"<html><body>" + b"<div>" * 2_000 + b"deep down</body></html>", "a.html")

    assert parsed.text == "deep down"


def test_markdown_headings_become_sections_and_comments_vanish() -> None:
    source = (
        "# Guide\n\nIntro.\n<!-- SECRET -->\n\n## Steps\n\n```sh\n# not a heading\nrun\n```\n\n"
    )
    source += "| a | b |\n|---|---|\n| 1 | 2 |\n"

    assert pieces(read(source.encode(), "a.md")) == [
        ("heading", None, "", "Guide"),
        ("text", None, "Guide", "Intro."),
        ("heading", None, "Guide", "Steps"),
        ("code", None, "Guide › Steps", "# not a heading\nrun"),
        ("table", None, "Guide › Steps", "a: 1; b: 2"),
    ]


def test_each_row_of_a_csv_carries_its_columns_names() -> None:
    parsed = read('name;note\nAlice;"likes; semicolons"\nBob;\n'.encode("utf-8-sig"), "a.csv")

    assert parsed.text == "name: Alice; note: likes; semicolons\nname: Bob"


def test_an_email_is_its_headers_and_words_and_names_its_attachments() -> None:
    source = (
        "From: Alice <alice@example.org>\r\nTo: bob@example.org\r\n"
        "Subject: =?utf-8?q?Caf=C3=A9_menu?=\r\nDate: Mon, 2 Nov 2026 10:00:00 +0000\r\n"
        'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n'
        "--b\r\nContent-Type: text/html\r\n\r\n<p>Lunch <i style='display:none'>LEAK</i>at noon</p>\r\n"
        "--b\r\nContent-Type: application/pdf\r\n"
        'Content-Disposition: attachment; filename="menu.pdf"\r\n\r\nINSIDE\r\n--b--\r\n'
    )

    parsed = read(source.encode(), "a.eml")

    assert pieces(parsed)[0] == ("heading", None, "", "Café menu")
    assert "From: Alice <alice@example.org>\nTo: bob@example.org" in parsed.text
    assert "Lunch at noon" in parsed.text
    assert parsed.text.endswith("Attachments:\n- menu.pdf")
    assert "INSIDE" not in parsed.text
    assert "LEAK" not in parsed.text


@pytest.mark.parametrize(
    "content",
    [
        "Grüße aus Köln, ça va".encode("utf-8-sig"),
        "Grüße aus Köln, ça va".encode("utf-16"),
        "Grüße aus Köln, ça va".encode("utf-16-le"),
        "Grüße aus Köln, ça va".encode("utf-32"),
        "Grüße aus Köln, ça va".encode("cp1252"),
    ],
)
def test_text_is_read_in_the_encoding_it_was_written_in(content: bytes) -> None:
    assert read(content, "a.txt").text == "Grüße aus Köln, ça va"


def test_stray_bytes_in_utf8_do_not_lose_the_rest() -> None:
    content = "Größe und Maß. ".encode() * 100 + b"\xff\xfe broken \x80 " + "übrig".encode()

    text = read(content, "a.txt").text

    assert text.startswith("Größe und Maß.")
    assert text.endswith("übrig")


def test_what_cannot_be_seen_is_stripped_before_offsets_are_fixed() -> None:
    tags = "".join(chr(0xE0000 + ord(c)) for c in "obey me")
    source = (
        f"a\x00b\u200bc\u202ed\ufeff e\u0301 {tags}end\r\nk\u200cl می\u200cخواهم\r\n\r\n\r\n\r\nz"
    )

    assert read(source.encode(), "a.txt").text == "abcd é end\nkl می\u200cخواهم\n\nz"


def test_a_wrong_ending_does_not_decide() -> None:
    assert (
        read(files.pdf([[(12, "I am a PDF")]]), "notes.txt", "text/plain").mime == "application/pdf"
    )
    assert read(files.docx(files.paragraph("Word")), "a.pdf").parser == "docx"
    assert read(b"just words", "a.pdf", "application/pdf").mime == "text/plain"
