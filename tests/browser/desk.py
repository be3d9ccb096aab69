"""People at the admin web UI: sign-ins, and the address of every page with an object of theirs."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any
from uuid import UUID

from django.contrib.auth.hashers import PBKDF2PasswordHasher, make_password
from django.test import Client
from django.urls import NoReverseMatch, reverse
from django.utils import timezone

from ambit.admin.accounts import create_first_operator, give_sign_in, one_time_password
from ambit.admin.page import Page
from ambit.admin.seats import SeatRole
from ambit.admin.site import declared_pages
from ambit.corpus.types import SubjectRef
from ambit.erasure.exports import request_export
from ambit.erasure.restrictions import place_hold, place_restriction
from ambit.erasure.services import request_erasure
from ambit.keys.signing import make_signing_key
from tenants import services
from tenants.ids import PREFIXES, public_id
from tenants.models import Account, AuditEvent
from tenants.scope import tenant_scope
from tests.cast import Cast, Place, as_service, publish
from tests.database.exporting import make as make_export

PAGES = declared_pages()
OWN_PASSWORD = "a long password of one's own"
# A page's argument and the kind of object it names.
KINDS = {
    f"{kind}_id": kind
    for kind in (
        "tenant",
        "member",
        "group",
        "key",
        "collection",
        "document",
        "erasure",
        "hold",
        "restriction",
        "event",
        "export",
    )
}
_TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="[^"]*"')


@dataclass(frozen=True)
class SignIn:
    """A name and a password that works."""

    name: str
    password: str = field(repr=False)

    def client(self) -> Client:
        """Return a client that went through the sign-in page."""
        client = Client(raise_request_exception=False)
        answer = client.post("/admin/login/", {"username": self.name, "password": self.password})
        assert answer.status_code == 302, "the sign-in was refused"
        return client


@dataclass(frozen=True)
class Desk:
    """A tenant's people with a sign-in, and an object of every kind."""

    place: Place
    admin: SignIn
    privacy_officer: SignIn
    auditor: SignIn
    objects: dict[str, UUID]

    def url(self, page: Page, *, made_up: bool = False) -> str:
        """Return a page's address with this tenant's objects, or with ids that nobody has."""
        return reverse(f"admin:{page.name}", kwargs=self._arguments(page, made_up=made_up))

    def _arguments(self, page: Page, *, made_up: bool) -> dict[str, str]:
        named = re.findall(r"<\w+:(\w+)>", page.path)
        return {
            name: f"{PREFIXES[KINDS[name]]}_{'0' * 32}"
            if made_up
            else public_id(KINDS[name], self.objects[KINDS[name]])
            for name in named
        }


class QuickHasher(PBKDF2PasswordHasher):
    """Makes hashes that the server reads, as they say themselves how they were made."""

    iterations = 1000


@cache
def own_password_hash() -> str:
    """Return the hash of everybody's password; making one is slow by design."""
    return make_password(OWN_PASSWORD)


def has_object(page: Page) -> bool:
    """Say whether a page is about one object."""
    try:
        reverse(f"admin:{page.name}")
    except NoReverseMatch:
        return True
    return False


def pages_of_tenants() -> list[Page]:
    """Return the pages about one object of a tenant."""
    return [p for p in PAGES if has_object(p) and "operator" not in p.roles]


def page_named(name: str) -> Page:
    """Return the page of a name, which shows one object."""
    (found,) = [page for page in PAGES if page.name == name]
    assert has_object(found)
    return found


def signed_in(place: Place, member_id: UUID, *, first: bool = False) -> SignIn:
    """Give a member a sign-in; with a password of its own unless it is the first time."""
    with as_service(place.id, place.service_key_id):
        made = give_sign_in(member_id=member_id)
        if not first:
            account = Account.objects.get(tenant_id=place.id, member_id=member_id)
            account.password = own_password_hash()
            account.must_change_password = False
            account.save()
    return SignIn(made.sign_in, made.password if first else OWN_PASSWORD)


def operator() -> SignIn:
    """Return an operator's sign-in, a new one each time."""
    create_first_operator()
    name = f"operator-{one_time_password()}"
    account = Account(sign_in=name, must_change_password=False)
    account.password = own_password_hash()
    account.save(using="operator", force_insert=True)
    return SignIn(name, OWN_PASSWORD)


def desk_of_cast(cast: Cast) -> Desk:
    """Return the desk of Adam, Olivia and Audrey, with a document of Alice's."""
    # As after a start.
    make_signing_key()
    people = {"admin": cast.adam.id, "privacy_officer": cast.olivia.id, "auditor": cast.audrey.id}
    document_id = publish(cast.alice, cast.here)
    return _desk(cast.here, people, member_id=cast.carol.id, document_id=document_id)


def desk_of_mallory(cast: Cast) -> Desk:
    """Return the desk of the other tenant."""
    document_id = publish(cast.mallory, cast.there)
    with as_service(cast.there.id, cast.there.service_key_id):
        people = {
            role: services.create_member(
                external_id=role, email=f"{role}@example.test", name=role, role=role
            ).pk
            for role in ("admin", "privacy_officer", "auditor")
        }
    return _desk(cast.there, people, member_id=cast.mallory.id, document_id=document_id)


def _desk(place: Place, people: dict[str, UUID], *, member_id: UUID, document_id: UUID) -> Desk:
    with as_service(place.id, place.service_key_id):
        case = request_erasure(
            subject=None,
            document_ids=[publish_spare(place, document_id)],
            reason="test",
            dry_run=False,
        )
        spare = publish_spare(place, document_id)
        hold = place_hold(
            subject=None,
            document_ids=[spare],
            basis="e",
            review_at=timezone.now() + timedelta(days=90),
            reason="test",
        )
        restriction = place_restriction(subject=None, document_ids=[spare], reason="test")
        export = request_export(
            subject=SubjectRef("member", str(member_id)), reason="test", include_shared=False
        )
        event = AuditEvent.objects.order_by("-id").first()
    make_export(place.id, export.id)
    assert case.id is not None
    assert event is not None
    objects = {
        "tenant": place.id,
        "member": member_id,
        "group": place.group_id,
        "key": place.service_key_id,
        "collection": place.collection_id,
        "document": document_id,
        "erasure": case.id,
        "hold": hold.id,
        "restriction": restriction.id,
        "event": event.pk,
        "export": export.id,
    }
    signs: dict[str, Any] = {role: signed_in(place, pk) for role, pk in people.items()}
    return Desk(place=place, objects=objects, **signs)


def publish_spare(place: Place, document_id: UUID) -> UUID:
    """Return a second document beside the given one, for a case that leaves the first alone."""
    from ambit.corpus.queries import get_document_as_custodian
    from ambit.corpus.services import receive_document
    from ambit.corpus.types import Upload

    beside = get_document_as_custodian(document_id=document_id)
    return receive_document(
        upload=Upload("Spare", "spare.txt", "text/plain", [b"spare"]),
        collection_id=beside.collection_id,
        audience_id=beside.audience_id,
        own_grants=False,
    )


def without_token(body: bytes) -> str:
    """Return a page without the token that differs each time."""
    return _TOKEN.sub("", body.decode())


def actions(place: Place) -> list[str]:
    """Return what people did in a tenant, newest first; workers may be busy beside them."""
    with tenant_scope(place.id):
        done = AuditEvent.objects.exclude(actor_kind="worker").order_by("-id")
        return list(done.values_list("action", flat=True)[:50])


ROLES: tuple[SeatRole, ...] = ("operator", "admin", "privacy_officer", "auditor")
