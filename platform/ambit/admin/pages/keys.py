"""Keys of services and of members: made here, shown once, revoked here."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import Final
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils import timezone

from ambit.admin.forms import PlainForm
from ambit.admin.page import page, show, to
from tenants.models import ApiKey, Member
from tenants.queries import KeyNotFound, get_member, list_keys
from tenants.services import (
    MEMBER_SCOPES,
    SCOPES,
    create_member_key,
    create_service_key,
    revoke_key,
)

ROLES: Final = ("admin",)
SCOPE_WORDS = {
    "directory": "manage members, groups and keys",
    "collections": "manage collections and their grants",
    "documents:read": "read documents that the member may see",
    "documents:write": "upload, replace and delete documents",
    "search": "search passages",
    "answers": "ask questions",
    "erasures": "request erasures and read receipts",
    "audit": "read audit events",
    "exports": "get all that is here of a person",
    "webhooks": "say where erasures are told",
    "adapters": "register, promote and retire adapters",
    "usage": "read what answers cost",
}
READING = ("documents:read", "search", "answers")


class KeyForm(PlainForm):
    """Asks for a new key."""

    name = forms.CharField(
        label="Name", max_length=200, help_text="Where it is used, such as intranet search."
    )
    scopes = forms.MultipleChoiceField(
        label="What it may do",
        choices=[],
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "Choose at least one."},
    )
    expires_on = forms.DateField(
        label="Expires on",
        required=False,
        help_text="The key stops working at the end of this day (UTC). Empty: when it is revoked.",
        widget=forms.DateInput(attrs={"type": "date"}),
    )

    def __init__(self, *args: object, scopes: tuple[str, ...], **kwargs: object) -> None:
        """Offer the scopes this kind of key may have."""
        super().__init__(*args, **kwargs)
        field = self.fields["scopes"]
        field.choices = [(s, f"{s}: {SCOPE_WORDS.get(s, '')}".rstrip(": ")) for s in scopes]  # type: ignore[attr-defined]

    def clean_expires_on(self) -> object:
        """Refuse a day that is over."""
        day = self.cleaned_data["expires_on"]
        if day is not None and day < timezone.now().date():
            raise forms.ValidationError("This day is over.")
        return day


@page("keys/", name="keys", roles=ROLES)
def keys(request: HttpRequest) -> HttpResponseBase:
    """List the services' keys."""
    return show(request, "keys.html", title="Service keys", keys=list_keys(member_id=None))


@page("keys/new/", name="key_new", roles=ROLES, methods=("GET", "POST"))
def key_new(request: HttpRequest) -> HttpResponseBase:
    """Make a service key."""
    return _make(request, None)


@page(
    "members/<ambit_member:member_id>/keys/new/",
    name="member_key_new",
    roles=ROLES,
    methods=("GET", "POST"),
)
def member_key_new(request: HttpRequest, member_id: UUID) -> HttpResponseBase:
    """Make a member's key."""
    return _make(request, get_member(member_id=member_id))


@page("keys/<ambit_key:key_id>/revoke/", name="key_revoke", roles=ROLES, methods=("GET", "POST"))
def key_revoke(request: HttpRequest, key_id: UUID) -> HttpResponseBase:
    """Revoke a key."""
    key = ApiKey.objects.filter(pk=key_id).first()
    if key is None:
        raise KeyNotFound(key_id)
    owner = get_member(member_id=key.member_id) if key.member_id else None
    back = _back(owner)
    if request.method == "POST":
        revoke_key(key_id=key_id)
        messages.success(request, "The key is revoked; it is refused from the next request on.")
        return to("member", member_id=owner.pk) if owner else to("keys")
    return show(
        request, "confirm.html", title=f"Revoke the key “{key.name}”?", trail=_trail(owner),
        consequences=[
            "Whatever uses this key is refused from the next request on.",
            "A revoked key cannot be brought back.",
        ],
        submit="Revoke key", danger=True, cancel=back,
    )  # fmt: skip


def _make(request: HttpRequest, owner: Member | None) -> HttpResponseBase:
    bound = request.POST if request.method == "POST" else None
    form = KeyForm(
        bound, scopes=MEMBER_SCOPES if owner else SCOPES, initial={"scopes": list(READING)}
    )
    if form.is_valid():
        name, scopes, day = (form.cleaned_data[n] for n in ("name", "scopes", "expires_on"))
        until = datetime.combine(day, time.max, tzinfo=UTC) if day else None
        if owner is not None:
            key = create_member_key(member_id=owner.pk, name=name, scopes=scopes, expires_at=until)
        else:
            key = create_service_key(name=name, scopes=scopes, expires_at=until)
        return show(
            request,
            "key_made.html",
            title="Key created",
            trail=_trail(owner),
            key=key,
            back=_back(owner),
        )
    return show(
        request, "form.html", title=f"New key of {owner.name or owner.email}" if owner else "New service key",
        trail=_trail(owner), form=form, submit="Make key", cancel=_back(owner), refused=form.is_bound,
        intro="" if owner else "A service’s key acts for members: with each request the application names "
        "the member in the header Ambit-Member, and gets what that member may see.",
    )  # fmt: skip


def _back(owner: Member | None) -> str:
    return reverse("admin:member", args=[owner.pk]) if owner else reverse("admin:keys")


def _trail(owner: Member | None) -> list[tuple[str, str]]:
    if owner is None:
        return [("Service keys", reverse("admin:keys"))]
    return [("Members", reverse("admin:members")), (owner.name or owner.email, _back(owner))]
