"""The admin's pages without a browser: who gets which, and what none of them lets through."""

from __future__ import annotations

import io
import re

import pytest
from django.core.management import call_command
from django.test import Client

from ambit.access.clearance import clearance_for
from ambit.admin.accounts import create_first_operator
from ambit.admin.page import Page
from ambit.admin.seats import SeatRole
from ambit.config.bootstrap import ensure_first_operator
from ambit.config.runtime.supervisor import Stack
from ambit.corpus.queries import list_documents
from tenants import services
from tenants.models import Account, Member
from tenants.scope import tenant_scope
from tenants.secrets import parse_key
from tests.browser.desk import (
    OWN_PASSWORD,
    PAGES,
    ROLES,
    Desk,
    SignIn,
    actions,
    desk_of_cast,
    desk_of_mallory,
    operator,
    page_named,
    pages_of_tenants,
    signed_in,
    without_token,
)
from tests.cast import Cast, as_service


@pytest.fixture
def desk(cast: Cast) -> Desk:
    return desk_of_cast(cast)


def test_every_page_is_there_for_the_roles_it_declares_and_for_no_other(
    embeddings: Stack, desk: Desk
) -> None:
    signs: dict[SeatRole, SignIn] = {
        "operator": operator(),
        "admin": desk.admin,
        "privacy_officer": desk.privacy_officer,
        "auditor": desk.auditor,
    }

    found = {
        (role, page.name): _status(client, desk.url(page))
        for role in ROLES
        for client in [signs[role].client()]
        for page in PAGES
    }

    # The receipt is there as soon as a worker has closed the case, which may be now.
    officers: set[tuple[SeatRole, str]] = {
        ("admin", "erasure_receipt"),
        ("admin", "erasure_receipt_pdf"),
        ("privacy_officer", "erasure_receipt"),
        ("privacy_officer", "erasure_receipt_pdf"),
    }
    assert {found.pop(place) for place in officers} <= {200, 404}
    declared = {(role, page.name): _declared(role, page) for role in ROLES for page in PAGES}
    assert found == {place: status for place, status in declared.items() if place not in officers}


def _status(client: Client, url: str) -> int:
    """Return a page's status, after it was read to its end."""
    answer = client.get(url)
    if answer.streaming:
        answer.getvalue()
    return int(answer.status_code)


def test_another_tenants_administrator_is_told_what_a_made_up_id_is_told(
    cast: Cast, desk: Desk
) -> None:
    mallory = desk_of_mallory(cast).admin.client()

    for page in pages_of_tenants():
        for method in (mallory.get, mallory.post):
            there, nowhere = method(desk.url(page)), method(desk.url(page, made_up=True))
            if method == mallory.get and "GET" not in page.methods:
                continue
            if method == mallory.post and "POST" not in page.methods:
                continue
            assert (page.name, there.status_code) == (page.name, 404)
            assert without_token(there.content) == without_token(nowhere.content)


def test_what_another_tenants_administrator_posts_changes_nothing(cast: Cast, desk: Desk) -> None:
    mallory = desk_of_mallory(cast).admin.client()
    before = actions(cast.here)

    for page in pages_of_tenants():
        if "POST" in page.methods:
            mallory.post(desk.url(page), {"do": "remove", "role": "admin", "group": "staff"})

    assert actions(cast.here) == before
    with tenant_scope(cast.here.id):
        assert not Member.objects.filter(suspended_at__isnull=False).exists()
        titles = [
            d.title
            for d in list_documents(
                clearance=clearance_for(member_id=cast.alice.id), after=None, limit=10
            )
        ]
    assert titles == ["Handbook"]


def test_the_operators_menu_and_pages_hold_nothing_of_a_tenant(
    embeddings: Stack, cast: Cast, desk: Desk
) -> None:
    client = operator().client()

    home = client.get("/admin/").content.decode()
    tenant = client.get(desk.url(page_named("tenant"))).content.decode()

    assert re.findall(r'href="(/admin/[a-z]+/)"', home).count("/admin/documents/") == 0
    for secret in ("Handbook", "alice@example.test", "Alice", "nurses"):
        assert secret not in home + tenant


def test_without_a_sign_in_every_page_leads_to_the_sign_inpage_named(desk: Desk) -> None:
    for page in PAGES:
        answer = Client().get(desk.url(page))
        assert (answer.status_code, answer.headers["Location"].split("?")[0]) == (
            302,
            "/admin/login/",
        )


def test_a_plain_member_cannot_sign_in_even_with_an_account(cast: Cast) -> None:
    sign_in = signed_in(cast.here, cast.adam.id)
    with as_service(cast.here.id):
        services.set_member_role(member_id=cast.adam.id, role="member")

    answer = _try(sign_in)

    assert (answer.status_code, "do not match" in answer.content.decode()) == (200, True)


@pytest.mark.parametrize("what", ["role", "member", "tenant", "account"])
def test_a_session_ends_with_what_it_stood_on(cast: Cast, what: str) -> None:
    client = signed_in(cast.here, cast.adam.id).client()
    assert client.get("/admin/members/").status_code == 200

    if what == "tenant":
        operator().client().post(
            f"/admin/tenants/ten_{cast.here.id.hex}/suspension/", {"do": "suspend"}
        )
    else:
        with as_service(cast.here.id):
            if what == "role":
                services.set_member_role(member_id=cast.adam.id, role="auditor")
            if what == "member":
                services.set_member_suspended(member_id=cast.adam.id, suspended=True)
            if what == "account":
                Account.objects.filter(member_id=cast.adam.id).update(is_active=False)

    assert client.get("/admin/members/").status_code == (404 if what == "role" else 302)


def test_a_one_time_password_opens_nothing_but_the_choice_of_another(cast: Cast) -> None:
    sign_in = signed_in(cast.here, cast.adam.id, first=True)
    client = sign_in.client()

    assert client.get("/admin/members/").headers["Location"] == "/admin/password_change/"
    same = _change(client, sign_in.password, sign_in.password)
    chosen = _change(client, sign_in.password, OWN_PASSWORD)

    assert (same.status_code, "differs from the present" in same.content.decode()) == (422, True)
    assert chosen.status_code == 302
    assert client.get("/admin/members/").status_code == 200


def test_after_five_wrong_guesses_even_the_right_password_has_to_wait(cast: Cast) -> None:
    sign_in = signed_in(cast.here, cast.adam.id)
    for _ in range(5):
        _try(SignIn(sign_in.name, "wrong"))

    waiting = _try(sign_in)
    elsewhere = Client(REMOTE_ADDR="127.0.0.9").post(
        "/admin/login/", {"username": sign_in.name, "password": sign_in.password}
    )

    assert "Too many wrong guesses" in waiting.content.decode()
    assert elsewhere.status_code == 302


def test_a_refusal_does_not_tell_which_names_exist(cast: Cast) -> None:
    there = _try(SignIn(signed_in(cast.here, cast.adam.id).name, "wrong"))
    nowhere = _try(SignIn("nobody/nobody@example.test", "wrong"))

    seen = [
        re.sub(r'value="[^"]*"', "", without_token(answer.content)) for answer in (there, nowhere)
    ]
    assert seen[0] == seen[1]


def test_no_page_loads_or_runs_anything_from_elsewhere(embeddings: Stack, desk: Desk) -> None:
    signs = {"operator": operator(), "admin": desk.admin, "auditor": desk.auditor}
    for role, sign_in in signs.items():
        client = sign_in.client()
        for page in PAGES:
            if role not in page.roles or "GET" not in page.methods:
                continue
            answer = client.get(desk.url(page))
            body = answer.getvalue().decode(errors="replace")
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "'unsafe-inline'" not in policy.split("script-src")[1].split(";")[0]
            assert "no-store" in answer.headers["Cache-Control"]
            assert not re.search(r"<script(?![^>]*\bsrc=)", body), page.name
            assert not re.search(r'(?:src|href|action)="(?:https?:)?//', body), page.name


def test_a_form_from_elsewhere_is_refused_in_words_and_changes_nothing(cast: Cast) -> None:
    sign_in = signed_in(cast.here, cast.adam.id)
    client = Client(enforce_csrf_checks=True)
    account = sign_in.client().get("/admin/").wsgi_request.user
    assert isinstance(account, Account)
    client.force_login(account)

    answer = client.post(f"/admin/members/{cast.bob.public_id}/suspension/")

    assert (answer.status_code, "This form is too old" in answer.content.decode()) == (403, True)
    assert "member.suspended" not in actions(cast.here)


def test_a_group_that_would_contain_itself_is_refused_with_a_sentence(cast: Cast) -> None:
    client = signed_in(cast.here, cast.adam.id).client()
    with tenant_scope(cast.here.id):
        nurses = f"grp_{cast.here.group_id.hex}"

    answer = client.post(f"/admin/groups/{nurses}/groups/", {"group": "group:staff", "do": "add"})

    assert answer.status_code == 422
    assert "Staff already contains Nurses" in answer.content.decode()


def test_an_operator_makes_a_tenants_first_administrator_and_no_second(cast: Cast) -> None:
    url = f"/admin/tenants/ten_{cast.here.id.hex}/administrator/"
    client = operator().client()

    first = client.post(url, {"admin_name": "Ann", "admin_email": "ann@example.test"})
    second = client.post(url, {"admin_name": "Eve", "admin_email": "eve@example.test"})

    assert (first.status_code, second.status_code) == (200, 422)
    with tenant_scope(cast.here.id):
        assert not Member.objects.filter(email="eve@example.test").exists()


def test_a_new_tenant_comes_with_a_key_and_a_one_time_password_that_work(database: Stack) -> None:
    slug = f"new-{id(database)}"
    form = {"name": "New", "slug": slug, "admin_name": "Ann", "admin_email": "ann@example.test"}

    page = operator().client().post("/admin/tenants/new/", form).content.decode()

    password = re.findall(r'id="password">([^<]+)<', page)[0]
    key = re.findall(r'id="key">([^<]+)<', page)[0]
    assert SignIn(f"{slug}/ann@example.test", password).client().get("/admin/").status_code == 302
    parsed = parse_key(key)
    assert parsed is not None
    assert parsed.kind == "svc"


def test_who_can_see_a_document_names_the_way_through_nested_groups(desk: Desk) -> None:
    body = (
        desk.privacy_officer.client().get(desk.url(page_named("document_readers"))).content.decode()
    )

    assert "Nurses → Staff" in body
    assert "bob@example.test" in body
    assert "carol@example.test" not in body


def test_the_first_operator_is_made_once(database: Stack) -> None:
    create_first_operator()

    assert ensure_first_operator() is None


def test_the_command_prints_the_new_key_and_nothing_else(database: Stack) -> None:
    printed = io.StringIO()

    call_command("operator_key", name="test", stdout=printed)

    key = printed.getvalue().rstrip("\n")
    assert "\n" not in key
    parsed = parse_key(key)
    assert parsed is not None
    assert parsed.kind == "op"


def _declared(role: SeatRole, page: Page) -> int:
    if role not in page.roles:
        return 404
    return 200 if "GET" in page.methods else 405


def _try(sign_in: SignIn):  # type: ignore[no-untyped-def]  # the test client's response
    return Client().post("/admin/login/", {"username": sign_in.name, "password": sign_in.password})


def _change(client: Client, old: str, new: str):  # type: ignore[no-untyped-def]
    return client.post(
        "/admin/password_change/",
        {"old_password": old, "new_password1": new, "new_password2": new},
    )
