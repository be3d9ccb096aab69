"""The pages of usage and limits, without a browser: what they say, and to whom."""

from __future__ import annotations

import html
import re
from datetime import timedelta

from django.test import Client
from django.utils import timezone

from ambit.metering.models import UseDay
from tenants.scope import tenant_scope
from tests.browser.desk import desk_of_cast, operator
from tests.cast import Cast
from tests.database.metering import used

PAGE = "/admin/usage/"


def words(client: Client, page: str = PAGE) -> str:
    """Return what a page says, without its tags."""
    answer = client.get(page)
    assert answer.status_code == 200
    text = re.sub(r"<[^>]+>", " ", answer.content.decode().partition("<main")[2])
    return " ".join(html.unescape(text).split())


def limits(cast: Cast) -> str:
    """Return the address of the limits of the tenant here."""
    return f"/admin/tenants/ten_{cast.here.id.hex}/limits/"


def test_where_nothing_was_used_the_page_says_what_will_be_there(cast: Cast) -> None:
    shown = words(desk_of_cast(cast).admin.client())

    assert "Nothing used in this month" in shown
    assert "0 used. There is no quota" in shown


def test_an_administrator_sees_the_month_by_member_model_key_and_day(cast: Cast) -> None:
    used(cast.here.id, cast.alice.id, prompt_tokens=4000)
    used(cast.here.id, cast.bob.id, outcome="failed", exact=False)
    used(cast.there.id, cast.mallory.id, model="theirs")
    operator().client().post(limits(cast), {"tokens_per_month": "10000"})
    client = desk_of_cast(cast).admin.client()

    shown = words(client)

    assert "of 10,000 used" in shown
    assert "2, of these 1 not finished, 1 with estimated tokens" in shown
    assert shown.index("Alice 1 4,000 16 20 98 %") < shown.index("Bob 1 80 16 20 2 %")
    assert "tiny 2 4,080 32 40 100 %" in words(client, f"{PAGE}?by=model")
    assert "None: this web UI 2" in words(client, f"{PAGE}?by=key")
    assert "theirs" not in shown
    assert len(re.findall(r"<rect ", client.get(PAGE).content.decode())) in range(28, 32)
    assert f"{timezone.now():%-d %B}: 4,120 tokens, 2 requests" in shown


def test_another_month_is_reached_and_a_wrong_one_is_this_one(cast: Cast) -> None:
    used(cast.here.id, cast.alice.id)
    earlier = timezone.now().date().replace(day=1) - timedelta(days=1)
    with tenant_scope(cast.here.id, custody=True):
        UseDay.objects.update(day=earlier)
    client = desk_of_cast(cast).admin.client()

    assert "Nothing used in this month" in words(client)
    assert "Alice 1 80" in words(client, f"{PAGE}?month={earlier:%Y-%m}")
    for wrong in ("2026-99", "x", "9999-01", "0001-01", "<b>"):
        assert f"{timezone.now():%B %Y}" in words(client, f"{PAGE}?month={wrong}")


def test_people_who_were_erased_are_one_line_without_a_name(cast: Cast) -> None:
    used(cast.here.id, cast.alice.id)
    with tenant_scope(cast.here.id, custody=True):
        UseDay.objects.update(member_id=None)

    assert "Erased people 1 80" in words(desk_of_cast(cast).admin.client())


def test_the_months_rows_come_as_csv(cast: Cast) -> None:
    used(cast.here.id, cast.alice.id)

    answer = desk_of_cast(cast).admin.client().get(f"{PAGE}csv/")

    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    heading, row = answer.content.decode().splitlines()
    assert heading.startswith("day,member,key,model,kind,requests")
    assert f",{cast.alice.public_id},,tiny,answer,1,0,0,3,7,80,16,20" in row


def test_the_operator_sees_the_months_tokens_and_nothing_of_who(cast: Cast) -> None:
    used(cast.here.id, cast.alice.id, prompt_tokens=1234567)
    client = operator().client()

    listed = words(client, "/admin/tenants/")
    one = words(client, f"/admin/tenants/ten_{cast.here.id.hex}/")

    assert "Tokens this month" in listed
    assert "1,234,587" in one
    assert "Alice" not in listed + one
    assert client.get(PAGE).status_code == 404


def test_the_operator_sets_limits_and_is_told_what_is_no_number(cast: Cast) -> None:
    client = operator().client()
    assert "0 tokens are used this month" in words(client, limits(cast))

    refused = client.post(limits(cast), {"tokens_per_month": "-1", "requests_per_minute": "x"})
    saved = client.post(limits(cast), {"requests_per_minute": "60"}, follow=True)

    assert refused.status_code == 422
    assert refused.content.decode().count("Give a whole number from 0 to") == 2
    assert "counts within five seconds" in saved.content.decode()
    assert 'value="60"' in client.get(limits(cast)).content.decode()
    assert desk_of_cast(cast).admin.client().get(limits(cast)).status_code == 404
