"""Identifiers in texts and as somebody gives them come to the same form, and to no one else's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambit.corpus.identifiers import (
    CannotBeLookedFor,
    Identifier,
    IdentifierKind,
    Mention,
    find_mentions,
    forms_of,
    spellings_of,
    words_of,
)


def stands_in(kind: IdentifierKind, value: str, text: str) -> bool:
    """Say whether a document with this text would be offered."""
    return bool(set(forms_of(Identifier(kind, value))) & set(find_mentions([text])))


@pytest.mark.parametrize(
    "text",
    [
        "Write to Jo.Lind@Example.org.",
        "<mailto:jo.lind@example.org>",
        "'jo.lind@example.org', and others",
        "**jo.lind@example.org**",
        "_jo.lind@example.org_",
        "JO.LIND@EXAMPLE.ORG",
        "ｊｏ.ｌｉｎｄ＠ｅｘａｍｐｌｅ.ｏｒｇ",
        "jo.lind\u200b@example\u00ad.org",
        "To:jo.lind@example.org;cc:x@example.org",
    ],
)
def test_an_address_is_found_however_it_is_written(text: str) -> None:
    assert stands_in("email", " Jo.Lind@example.org ", text)


@pytest.mark.parametrize(
    "text",
    [
        "jo.lind@example.com",
        "mojo.lind@example.org",
        "jo.lind@example.org.uk",
        "jo.lind@mail.example.org",
        "jo.lind+news@example.org",
        "jo.lind at example.org",
        "jo.lind @ example.org",
    ],
)
def test_another_address_is_not_taken_for_it(text: str) -> None:
    assert not stands_in("email", "jo.lind@example.org", text)


@pytest.mark.parametrize(
    "written",
    [
        "+49 30 1234567",
        "+49 (0)30 1234567",
        "+49-30-123-45-67",
        "0049 30 1234567",
        "030 1234567",
        "(030) 123 45 67",
        "030/123 4567",
        "030 - 1234567",
        "030.123.45.67",
        "0301234567",
        "+49\u00a030\u20111234567",
        "٠٣٠١٢٣٤٥٦٧",
        "030 1234567 ext. 12",
        "030 1234567x12",
        "on 12.05.2020 030 1234567",
        "030 1234567 12.05.2020",
        "Room 12 030 1234567",
        "030 1234567 12",
    ],
)
@pytest.mark.parametrize(
    "asked", ["+49 30 1234567", "0049301234567", "030 123 45 67", "(030)1234567"]
)
def test_a_telephone_number_is_found_however_it_is_written(asked: str, written: str) -> None:
    assert stands_in("phone", asked, f"Call {written}, please.")


@pytest.mark.parametrize(
    ("asked", "written"),
    [
        ("+372 650 1234", "650 1234"),
        ("650 1234", "+372 6501234"),
        ("+1 345 899 3560 x4587", "345-899-3560x4587"),
        ("+45 45 12 34 56", "45123456"),
        ("+7 495 123-45-67", "8 (495) 123 45 67"),
        ("+36 1 234 5678", "06 1 234 5678"),
    ],
)
def test_country_and_trunk_prefixes_do_not_matter(asked: str, written: str) -> None:
    assert stands_in("phone", asked, written)
    assert stands_in("phone", written, asked)


@pytest.mark.parametrize(
    "written", ["030 1234568", "1234567", "WK301234567", "30 12345678", "Call 030, then 1234567"]
)
def test_another_telephone_number_is_not_taken_for_it(written: str) -> None:
    assert not stands_in("phone", "+49 30 1234567", written)


@pytest.mark.parametrize(
    ("asked", "written"),
    [
        ("460-89-9847", "SSN 460 89 9847"),
        ("460899847", "patient 4 460-89-9847"),
        ("WK48391724", "wk48391724"),
        ("WK48391724", "WK-4839/1724"),
        ("WK48391724", "id WK48 3917 24 and"),
        ("QQ 12 34 56 C", "NINO QQ123456C"),
        ("QQ123456C", "NINO QQ 12 34 56 C is"),
        ("MRN 1234567", "mrn: 1234567"),
        ("MRN-1234567", "record 1234567 of the clinic"),
        ("PATIENT-0012345", "patient-0012345"),
        ("131052-308T", "131052-308t"),
        ("A/2021/4456", "case A-2021-4456"),
        ("GB56HXDO88167774656119", "GB56 HXDO 8816 7774 6561 19 BIC ABCD"),
        ("gb56 hxdo 8816 7774 6561 19", "IBAN:GB56HXDO88167774656119."),
        ("4454 7945 1139 0933", "card 4454794511390933?"),
        ("４４５４７９４５１１３９０９３３", "4454-7945-1139-0933"),
        ("12345", "no. 12345"),
    ],
)
def test_an_identifier_is_found_however_it_is_grouped(asked: str, written: str) -> None:
    assert stands_in("identifier", asked, written)


@pytest.mark.parametrize(
    ("asked", "written"),
    [
        ("460-89-9847", "460-89-98470"),
        ("460-89-9847", "1460-89-9847"),
        ("WK48391724", "WK48391725"),
        ("A-12345", "12345 of them"),
        ("12345678901", "12345 678902"),
        ("GB56HXDO88167774656119", "GB57 HXDO 8816 7774 6561 19"),
    ],
)
def test_another_identifier_is_not_taken_for_it(asked: str, written: str) -> None:
    assert not stands_in("identifier", asked, written)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("email", "jo"),
        ("email", "a@example.org, b@example.org"),
        ("email", "@example.org"),
        ("phone", "12345"),
        ("phone", "1" * 16),
        ("phone", "no number"),
        ("phone", "0000000"),
        ("identifier", "abcdef"),
        ("identifier", "1234"),
        ("identifier", "A123"),
        ("identifier", "12.05.1980"),
        ("identifier", "9" * 41),
        ("name", "Alice"),
        ("name", "J. Smith"),
        ("name", "4711 007"),
        ("name", "one two three four five six seven eight nine"),
        ("name", " "),
    ],
)
def test_what_cannot_be_looked_for_is_refused_with_its_place(
    kind: IdentifierKind, value: str
) -> None:
    with pytest.raises(CannotBeLookedFor) as refused:
        forms_of(Identifier(kind, value), place=3)

    assert refused.value.place == 3
    assert not value.strip() or value not in str(refused.value)


def test_what_describes_a_document_counts_word_by_word() -> None:
    found = find_mentions(["Nothing here."], labels=["Für_Zoë-Lind (jo@example.org).PDF", ""])

    assert found == [
        Mention("email", "jo@example.org"),
        *(Mention("word", word) for word in ("fur", "zoe", "lind", "jo", "example", "org", "pdf")),
    ]


def test_a_mention_is_listed_once_and_addresses_come_before_numbers() -> None:
    text = "12345678, a@example.org, 12345678, A@example.org"

    assert find_mentions([text, text]) == [
        Mention("email", "a@example.org"),
        Mention("phone", "12345678"),
        Mention("identifier", "12345678"),
    ]


def test_a_row_of_a_table_is_numbers_one_by_one() -> None:
    row = " ".join(str(n) for n in range(10_000_001, 10_000_021))

    assert len(find_mentions([row])) == 40


def test_days_and_times_identify_nobody() -> None:
    days = "2016-01-02, 02.01.2016, 1/2/2016, 2016-01-02T10:22:33.123Z, 2016-01-02T10:22:33+01:00"

    assert find_mentions([days]) == []


def test_words_of_a_name_come_with_marks_and_without() -> None:
    assert spellings_of("Zoë O\u2019Brien-Straße, J.") == [
        ("zoë", "zoe"),
        ("brien", "brien"),
        ("straße", "strasse"),
    ]
    assert words_of("LIND, Zoe\u0308; lind") == ["lind", "zoe"]
    assert words_of("王小明") == ["王小", "小明"]


@given(st.text(alphabet="a1@.-+ (/)٣٤Zë", max_size=200))
def test_any_text_is_read(text: str) -> None:
    for found in find_mentions([text], labels=[text]):
        assert found.form


@pytest.mark.parametrize(
    "part", ["a", "@", "a@a.", "1", "1 ", "1-", "A1 ", "GB56 ", "(0)", "+", "2020-01-01 ", "a-1."]
)
def test_a_hostile_text_takes_time_in_step_with_its_length(part: str) -> None:
    # Quadratic, it would take hours and run into the time limit of every test.
    find_mentions([part * (1_000_000 // len(part))])
