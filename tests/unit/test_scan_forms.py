"""A canary is found in each form in which its bytes may lie somewhere."""

from __future__ import annotations

import base64
import json
import struct
import unicodedata
from urllib.parse import quote

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambit.scan.canaries import Canary
from ambit.scan.patterns import MIN_BYTES, Patterns

NAME = "Zoë Müller-Straße"
VECTOR = tuple((np.random.default_rng(7).standard_normal(384) / 20).tolist())


def _forms_seen(canary: Canary, data: bytes) -> set[str]:
    return {form for hit in Patterns([canary]).find(data) for _, form in hit.whose}


@pytest.mark.parametrize(
    ("data", "form"),
    [
        (NAME.encode(), "utf-8"),
        (unicodedata.normalize("NFD", NAME).encode(), "case or normal form"),
        (NAME.lower().encode(), "case or normal form"),
        (NAME.casefold().encode(), "case or normal form"),
        (NAME.upper().encode(), "case or normal form"),
        (NAME.encode("utf-16-le"), "utf-16"),
        (NAME.encode("utf-16-be"), "utf-16"),
        (NAME.upper().encode("utf-16-le"), "utf-16"),
        (NAME.encode().hex().encode(), "hex"),
        (NAME.encode().hex().upper().encode(), "hex"),
        (json.dumps(NAME).encode(), "json"),
        (json.dumps('say "' + NAME).encode(), "json"),
        (quote(NAME).encode(), "percent"),
        *((base64.b64encode(bytes(n) + NAME.encode() + b"..."), "base64") for n in range(3)),
        *((base64.urlsafe_b64encode(b"?" * n + NAME.encode()), "base64") for n in range(3)),
    ],
)
def test_a_text_is_found_in_each_form(data: bytes, form: str) -> None:
    for before in range(9):
        assert form in _forms_seen(Canary("a", texts=(NAME,)), b"\xfe" * before + data + b"\xfe")


def test_urlsafe_base64_is_found_where_it_differs() -> None:
    text = "???>>>~~~ÿÿÿ"
    seen = _forms_seen(Canary("a", texts=(text,)), base64.urlsafe_b64encode(text.encode()))

    assert seen == {"base64"}


@given(
    st.text(st.characters(codec="utf-8"), min_size=6, max_size=40).filter(
        lambda t: len(set(t)) > 3
    ),
    st.binary(max_size=20),
    st.sampled_from(["utf-8", "utf-16-le", "utf-16-be", "base64", "hex"]),
)
def test_any_text_is_found_anywhere(text: str, before: bytes, encoding: str) -> None:
    plain = text.encode("utf-8" if encoding in {"base64", "hex"} else encoding)
    if encoding == "base64":
        data = base64.b64encode(before + plain)
    elif encoding == "hex":
        data = (before + plain).hex().encode()
    else:
        data = before + plain + before

    assert _forms_seen(Canary("a", texts=(text,)), data)


@pytest.mark.parametrize(
    ("data", "form"),
    [
        (np.array(VECTOR, "<f4").tobytes(), "float32"),
        (np.array(VECTOR, "<f4").astype("<f2").tobytes(), "half"),
        (b"".join(struct.pack("<f", x) for x in VECTOR[96:144]), "float32"),
        (b"".join(struct.pack("<e", x) for x in VECTOR[240:264]), "half"),
        (str([float(x) for x in VECTOR]).replace(" ", "").encode(), ""),
        (",".join(f"{np.float32(x)!s}" for x in VECTOR).encode(), "decimals"),
    ],
)
def test_a_vector_is_found_whole_or_in_part(data: bytes, form: str) -> None:
    for before in range(9):
        seen = _forms_seen(Canary("a", vector=VECTOR), bytes(before) + data)
        assert seen == ({form} if form else set())


def test_a_vector_is_found_at_length_1() -> None:
    exact = np.array(VECTOR, "<f4").astype("<f8")
    data = (exact / np.linalg.norm(exact)).astype("<f4").tobytes()

    assert _forms_seen(Canary("a", vector=VECTOR), data) == {"float32 of length 1"}


@pytest.mark.parametrize("vector", [(0.0,) * 384, (0.5,) * 384, (1e30, 1e31, 1e32, 0) * 96])
def test_a_vector_that_anybody_may_have_is_not_found_in_zeros(vector: tuple[float, ...]) -> None:
    half = np.zeros(4096, "<f2").tobytes() + np.full(4096, 0.5, "<f2").tobytes()

    assert (
        _forms_seen(Canary("a", vector=vector), half + np.full(99, np.inf, "<f2").tobytes())
        == set()
    )


def test_words_and_bytes_are_found_too() -> None:
    canary = Canary("a", texts=(NAME, "keller"), raw=(bytes(range(200, 216)),))

    assert _forms_seen(canary, b"x KELLER y") == {"case or normal form"}
    assert _forms_seen(canary, b"." + bytes(range(190, 220))) == {"bytes"}


def test_the_shortest_text_that_is_taken_is_long_enough_to_be_looked_for() -> None:
    assert MIN_BYTES <= 6
    assert _forms_seen(Canary("a", texts=("Ab-c-d",)), b".Ab-c-d.") == {"utf-8"}
