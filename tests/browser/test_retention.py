"""The page of retention, without a browser: what it says where nothing is set, what it refuses, what it shows."""

from __future__ import annotations

import html
import re

from django.test import Client

from tenants.scope import tenant_scope
from tests.browser.desk import desk_of_cast, signed_in
from tests.cast import Cast
from tests.database.erasures import keep_from_workers

PAGE = "/admin/retention/"


def words(client: Client) -> str:
    """Return what the page says, without its tags."""
    answer = client.get(PAGE)
    assert answer.status_code == 200
    return _plain(answer.content)


def _plain(content: bytes) -> str:
    text = re.sub(r"<[^>]+>", " ", content.decode().partition("<main")[2])
    return " ".join(html.unescape(text).split())


def test_an_officer_sets_it_and_is_told_from_when_it_counts(cast: Cast) -> None:
    client = desk_of_cast(cast).privacy_officer.client()
    assert "Nothing goes by age" in words(client)

    saved = client.post(PAGE, {"documents": "365", "answers": ""}, follow=True)
    with tenant_scope(cast.here.id):
        keep_from_workers()

    assert "counts in 24 hours" in saved.content.decode()
    shown = words(client)
    assert "365 days" in shown
    assert "0 would be past their time now" in shown
    assert "kept until erased" in shown
    assert "Nothing goes by age" not in shown


def test_what_is_no_number_of_days_is_refused_beside_its_field_and_changes_nothing(
    cast: Cast,
) -> None:
    client = signed_in(cast.here, cast.adam.id).client()

    for wrong in ("0", "-3", "36526", "99999999999999999999", "a year", "1.5"):
        refused = client.post(PAGE, {"documents": "30", "answers": wrong})

        assert refused.status_code == 422, wrong
        assert "Give a whole number of days from 1 to 36525" in _plain(refused.content)
    assert "Nothing goes by age" in words(client)
