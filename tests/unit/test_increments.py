from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from ambit.answers.cite import cite
from ambit.answers.increments import MAX_HELD, SafeText
from ambit.answers.prompt import NOT_ANSWERED
from tests.injection.shapes import ACTIVE, SECRET, SHAPES
from tests.unit.test_cite import PASSAGES, draft, passage

MARKUP = (
    *"[]()<>!:/ \n\"'`|&;.,-*>#",
    "](",
    "]:",
    "<b",
    "</",
    "<!--",
    "-->",
    "<script>",
    "</script>",
    "https:",
    "//evil.example/",
    "www.",
    "javascript:",
    "data:",
    "[1]: ",
    "[9]",
    "[1]",
    "【2†",
    "\r\n",
    "\u200b",
    "\u2028",
    "\u00a0",
    "中",
    "文。",
    "ไทย",
    "NOT_",
    "ANSWERED",
    "word ",
    " " * MAX_HELD,
    "a" * MAX_HELD,
)
HOSTILE = st.lists(st.sampled_from([*MARKUP, *SHAPES]), max_size=40).map("".join)
# What models write, and what cite() takes out of it whole.
WRITTEN = (
    "The notice period is three months",
    "two signatures",
    "it",
    "x <5 and y > 3",
    "(see note)",
    "Ms. Carvalho",
    "**bold**",
    "`a[i]`",
    "10:30",
    "and/or",
    "有給休暇は5日まで繰り越せる。",
    "[1]",
    "[2].",
    "[1, 3]",
    "[1-3]",
    "[^2]",
    "[Passage 2]",
    "【2†source】",
    "[999]",
    "[note]",
    "[a [b] c]",
    "[the portal](https://x.example/a_(b))",
    "![a chart](c.png)",
    "[x][y]",
    "<br>",
    "<b>ask</b>",
    "<!-- a b -->",
    "<script>let a = 1 < 2</script>",
    "https://x.example/y,",
    "www.x.example",
    "<https://x.example>",
    "\n\n[ref]: https://x.example/z 'a title'\n\n",
)
ANSWERS = st.lists(
    st.tuples(st.sampled_from(WRITTEN), st.sampled_from([" ", " ", " ", "\n", "\n\n", "\n- "])),
    max_size=25,
).map(lambda parts: "".join(text + gap for text, gap in parts))
RENDERER = MarkdownIt("commonmark", {"html": True}).enable("table")


def pieces(text: str, *, seed: int, longest: int = 8) -> list[str]:
    chosen = random.Random(seed)
    cut: list[str] = []
    while text:
        n = chosen.randint(1, longest)
        cut.append(text[:n])
        text = text[n:]
    return cut


def shown_of(*parts: str, source: SafeText | None = None) -> list[str]:
    safe = source or SafeText(passages=PASSAGES)
    return [*(safe.feed(part).text for part in parts), safe.end().text]


def streamed(text: str) -> str:
    return "".join(shown_of(*text))


def what_renders(text: str) -> set[str]:
    """Return what a renderer makes of the text beside words."""
    kinds: set[str] = set()
    for token in RENDERER.parse(text):
        kinds |= {token.type, *(child.type for child in token.children or ())}
    return kinds & {"image", "link_open", "html_inline", "html_block"}


def test_the_renderer_sees_what_is_active() -> None:
    seen = [shape for shape in SHAPES if what_renders(shape)]

    assert len(SHAPES) >= 100
    assert len(seen) > 60


@pytest.mark.parametrize("shape", SHAPES)
def test_no_shape_is_active_at_any_moment(shape: str) -> None:
    text = f"The notice period is three months [3].\n\n{shape}\n\nIt begins on 1 May [3]."
    shown = ""
    for part in shown_of(*text):
        shown += part
        assert not ACTIVE.search(shown)
        assert not what_renders(shown)
    assert shown.startswith("The notice period is three months [1].")


@given(text=HOSTILE, seed=st.integers(0, 1000))
@settings(max_examples=400, deadline=None)
def test_nothing_hostile_is_active_at_any_moment_or_depends_on_the_pieces(
    text: str, seed: int
) -> None:
    whole, cut = SafeText(passages=PASSAGES), SafeText(passages=PASSAGES)
    at_once = "".join(shown_of(text, source=whole))

    shown = ""
    for part in shown_of(*pieces(text, seed=seed), source=cut):
        shown += part
        assert not ACTIVE.search(shown)
        assert NOT_ANSWERED not in shown
    assert not what_renders(shown)
    assert shown == at_once
    assert (cut.cited, cut.abstained) == (whole.cited, whole.abstained)


@given(text=ANSWERS, seed=st.integers(0, 1000))
@settings(max_examples=400, deadline=None)
def test_all_increments_together_are_what_is_cited(text: str, seed: int) -> None:
    safe = SafeText(passages=PASSAGES)
    shown = "".join(shown_of(*pieces(text, seed=seed), source=safe))

    given_text = cite(draft=draft(text), passages=PASSAGES).text
    assert shown == given_text
    assert safe.abstained == (not given_text)


def test_words_come_as_soon_as_the_next_begins() -> None:
    safe = SafeText(passages=PASSAGES)

    shown = [safe.feed(piece).text for piece in ("The", " notice", " period", " [", "3", "]", ".")]

    assert shown == ["", "The", " notice", "", "", "", ""]
    assert safe.feed(" It").text == " period [1]."
    assert safe.end().text == " It"


def test_text_without_spaces_comes_character_by_character() -> None:
    shown = shown_of(*"有給休暇は5日まで。[1]請求書")

    assert shown[1] == "有"
    assert "".join(shown) == "有給休暇は5日まで。[1]請求書"


def test_a_marker_is_told_once_and_numbered_by_first_appearance() -> None:
    safe = SafeText(passages=PASSAGES)
    increments = [safe.feed(f"{text} ") for text in ("Leave [3].", "More [1][3].", "No [9].")]
    increments.append(safe.end())

    assert "".join(i.text for i in increments) == "Leave [1]. More [2][1]. No."
    assert [i.markers for i in increments] == [(), (1,), (2,), ()]
    assert safe.cited == (2, 0)


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (NOT_ANSWERED, ""),
        (f"**{NOT_ANSWERED}**", ""),
        (f"{NOT_ANSWERED}. The rest [1].", ""),
        (f"Sorry: {NOT_ANSWERED} [1] more", "Sorry:"),
        (f"[held {NOT_ANSWERED}] more", ""),
        (f"{'a' * (MAX_HELD - 5)}{NOT_ANSWERED}", ""),
        ("NOT_<b></b>ANSWERED", ""),
        ("NOT_AN", ""),
        ("", ""),
        (" \n", ""),
        ("<br>", ""),
        ("[9]", ""),
    ],
)
def test_an_abstention_is_never_shown(written: str, shown: str) -> None:
    for parts in (list(written), [written]):
        safe = SafeText(passages=PASSAGES)
        given_text = "".join(shown_of(*parts, source=safe))
        assert given_text in {shown, "a" * (MAX_HELD - 5)}
        assert safe.abstained or given_text
        assert safe.abstained == (NOT_ANSWERED in written or not given_text)


def test_what_only_begins_like_an_abstention_is_shown() -> None:
    assert streamed("It is NOT") == "It is NOT"
    assert streamed("NOT_A is a name. NO") == "NOT_A is a name. NO"


def test_without_passages_nothing_is_shown() -> None:
    safe = SafeText(passages=())

    assert shown_of("The president is Bob. It is so.", source=safe) == ["", ""]
    assert safe.abstained


@pytest.mark.parametrize(
    "opening", ["[", "![a](", "<b ", "<script>", "【", "[ref]:\nx.y ", "<a href='"]
)
def test_what_never_closes_is_let_go_of(opening: str) -> None:
    text = f"Before {opening}" + "words of the answer " * 60

    safe = SafeText(passages=PASSAGES)
    shown = ""
    for n_fed, piece in enumerate(text, start=1):
        shown += safe.feed(piece).text
        assert n_fed - len(shown) <= 2 * MAX_HELD
    assert "of the answer words" in shown
    assert not ACTIVE.search(shown)


def test_a_comment_that_never_closes_is_never_shown() -> None:
    text = "Before <!-- " + f"{SECRET} " * 200

    assert streamed(text) == "Before"
    assert streamed(text + "--> after [3]") == "Before  after [1]"


def test_an_endless_address_is_left_out() -> None:
    text = f"See https://evil.example/{SECRET * 200} and [1]."

    assert streamed(text) == "See (link removed) and [1]."


@pytest.mark.parametrize("address", ["https://evil.example/中文中文", "www.evil.example/ไทยไทย"])
def test_an_address_goes_on_in_scripts_without_spaces(address: str) -> None:
    assert streamed(f"请看{address} 就是 [1]") == "请看(link removed) 就是 [1]"


def test_a_return_and_a_newline_are_one_break() -> None:
    assert streamed("One.\r\n\r\nTwo.\rThree.") == "One.\n\nTwo.\nThree."


def test_what_was_let_go_of_does_not_join_what_follows() -> None:
    begun = "a" * (MAX_HELD - 4)

    assert streamed(f"{begun}java<!-- {'b ' * MAX_HELD}-->script:x") == f"{begun}java script:x"


def test_an_address_of_a_passage_stays_without_its_scheme() -> None:
    safe = SafeText(passages=[passage("Apply at https://hr.example/leave?form=1 soon.", n=1)])

    shown = shown_of(*"Apply at https://hr.example/leave?form=1, soon [1].", source=safe)

    assert "".join(shown) == "Apply at hr.example/leave?form=1, soon [1]."


@pytest.mark.parametrize(
    "text", ["word " * 20_000, "[ a <b c " * 10_000, " " * 100_000, "中" * 50_000]
)
def test_the_cost_grows_with_the_text_alone(text: str) -> None:
    def seconds(n: int) -> float:
        before = time.process_time()
        shown_of(*(text[i : i + 5] for i in range(0, n, 5)))
        return time.process_time() - before

    short = min(seconds(len(text) // 10) for _ in range(3))
    assert seconds(len(text)) < 30 * short


def test_five_hundred_tokens_cost_less_than_a_frame() -> None:
    text = ("The notice period is three months [3]. Two signatures are needed [2]. " * 60)[:2500]

    def seconds() -> float:
        before = time.process_time()
        shown_of(*(text[i : i + 5] for i in range(0, len(text), 5)))
        return time.process_time() - before

    assert min(seconds() for _ in range(5)) < 0.02
