"""The page of answering, without a browser: what it says where nothing is set, what it previews, refuses and keeps."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from django.test import Client

from ambit.answers.policies import prompt_policy
from ambit.answers.prompt import POLICY, REMINDER
from tenants.scope import tenant_scope
from tests.browser.desk import actions, signed_in
from tests.cast import Cast

PAGE = "/admin/answering/"
RULES = "Call the wards by their numbers.\r\nNever more than two sentences."
WISHED = {"tone": "formal", "language": "de", "rules": RULES}


@pytest.fixture
def client(cast: Cast) -> Client:
    return signed_in(cast.here, cast.adam.id).client()


def words(content: bytes) -> str:
    """Return what a page says, without its tags."""
    text = re.sub(r"<[^>]+>", " ", content.decode().partition("<main")[2])
    return " ".join(html.unescape(text).split())


def told(content: bytes) -> str:
    """Return what the page says the model is told, part by part."""
    parts = re.findall(
        r'<div class="a-told[^>]*>(?:<span.*?</span>)(.*?)</div>', content.decode(), re.S
    )
    return "\n".join(html.unescape(part) for part in parts)


def test_where_nothing_is_set_the_model_is_told_our_policy_alone(client: Client) -> None:
    page = client.get(PAGE)

    assert "Nothing is set" in words(page.content)
    assert "No model is connected" in words(page.content)
    assert told(page.content) == POLICY


def test_a_preview_shows_what_would_be_told_and_keeps_nothing(client: Client, cast: Cast) -> None:
    page = client.post(PAGE, WISHED | {"do": "preview"})

    assert page.status_code == 200
    assert "preview, not saved" in words(page.content)
    assert "> Tone: formal and impersonal.\n> Language: German." in told(page.content)
    assert told(page.content).endswith(REMINDER)
    assert "63 of at most 2000 in your rules" in words(page.content)
    with tenant_scope(cast.here.id):
        assert prompt_policy().version == 0
    assert "policy.changed" not in actions(cast.here)


def test_what_is_saved_is_in_force_and_says_who_and_when(client: Client, cast: Cast) -> None:
    saved = client.post(PAGE, WISHED | {"do": "save"}, follow=True)

    assert "The next answer is written by it." in saved.content.decode()
    said = words(saved.content)
    assert "in force" in said
    assert "Nothing is set" not in said
    assert "Version 1," in said
    assert "by Adam adam@example.test" in said
    with tenant_scope(cast.here.id):
        kept = prompt_policy()
    assert (kept.tone, kept.language) == ("formal", "de")
    assert kept.rules == RULES.replace("\r\n", "\n")
    assert "policy.changed" in actions(cast.here)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"rules": "x" * 2001}, "at most 2000 characters"),
        ({"tone": "rude"}, "rude is not one of the available choices"),
        ({"language": "xx"}, "xx is not one of the available choices"),
    ],
)
def test_what_cannot_be_wished_is_refused_beside_its_field(
    client: Client, cast: Cast, wrong: dict[str, Any], sentence: str
) -> None:
    for do in ("save", "preview"):
        page = client.post(PAGE, WISHED | wrong | {"do": do})

        assert page.status_code == 422
        assert sentence in words(page.content)
        assert told(page.content) == POLICY
    with tenant_scope(cast.here.id):
        assert prompt_policy().version == 0


def test_two_thousand_characters_are_as_many_with_a_browsers_line_breaks(
    client: Client, cast: Cast
) -> None:
    assert client.post(PAGE, WISHED | {"rules": "x\r\n" * 1000}).status_code == 302

    with tenant_scope(cast.here.id):
        assert len(prompt_policy().rules) == 1999


def test_what_is_wished_is_shown_as_text(client: Client) -> None:
    hostile = '</div><img src="https://evil.example/x"><script>alert(1)</script>{{ 7|add:7 }}'

    page = client.post(PAGE, WISHED | {"rules": hostile}, follow=True).content.decode()

    assert "<img" not in page.partition("<main")[2]
    assert "<script>alert" not in page
    # In the form, and, with what could be a chat template's own word spaced apart, among what is told.
    assert "&lt;img src=" in page
    assert "&lt; img src=" in page
    assert "{{ 7|add:7 }}" in page
