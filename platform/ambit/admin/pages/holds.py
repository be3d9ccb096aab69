"""Holds and restrictions: place, list, look at and end."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, time
from typing import Any, Final
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils import timezone

from ambit.admin.forms import PlainForm
from ambit.admin.named import KINDS, VALUE_HELP, NotUnderstood, read_named
from ambit.admin.page import MISSING, page, show, to
from ambit.admin.people import members_by_id
from ambit.corpus.holdings import DocumentsUnknown
from ambit.erasure.restrictions import (
    BASES,
    AlreadyLifted,
    BeingErased,
    HoldNotFound,
    Kind,
    NothingToRestrict,
    RestrictionNotFound,
    ReviewNotAhead,
    get_restriction,
    lift,
    list_restrictions,
    place_hold,
    place_restriction,
)
from ambit.erasure.subjects import NothingNamed
from ambit.erasure.types import RestrictionView
from tenants.holdings import SubjectAmbiguous
from tenants.ids import parse_id, public_id
from tenants.models import Member

MISSING.extend([HoldNotFound, RestrictionNotFound])
ROLES: Final = ("admin", "privacy_officer")
PER_PAGE = 50
BASIS_CHOICES = tuple((letter, f"({letter}) {words}") for letter, words in BASES.items())
# What a refusal says beside the identifier.
SENTENCES: dict[type[Exception], str] = {
    SubjectAmbiguous: "This names more than one member. Use the member id. Nothing was changed.",
    DocumentsUnknown: "At least one of these documents is not there. Nothing was changed.",
    NothingNamed: "Name a person or at least one document. Nothing was changed.",
    NothingToRestrict: "No member and no document declares this person: there is nothing to hide or keep.",
    BeingErased: "Something of this is deleted or covered by an erasure already: what came first stands. "
    "Nothing was changed.",
}


class RestrictionForm(PlainForm):
    """Asks whose or which documents to restrict, and why."""

    kind = forms.ChoiceField(label="Whose or which documents", choices=KINDS, initial="documents")
    value = forms.CharField(
        label="Identifier",
        max_length=20_000,
        widget=forms.Textarea(attrs={"rows": 2, "spellcheck": "false"}),
        help_text=VALUE_HELP,
    )
    reason = forms.CharField(
        label="Reason",
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="Kept encrypted; identifiers of the person are taken out of it.",
    )


class HoldForm(RestrictionForm):
    """Asks for the legal basis and the day of review too."""

    basis = forms.ChoiceField(
        label="Legal basis, Art. 17(3) GDPR", choices=BASIS_CHOICES, initial="e"
    )
    review_on = forms.DateField(
        label="Review on",
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text="When a person looks again whether the hold is still needed.",
    )
    field_order = ("kind", "value", "basis", "review_on", "reason")


@page("holds/", name="holds", roles=ROLES)
def holds(request: HttpRequest) -> HttpResponseBase:
    """List holds, newest first."""
    return _listed(request, "hold", title="Holds")


@page("restrictions/", name="restrictions", roles=ROLES)
def restrictions(request: HttpRequest) -> HttpResponseBase:
    """List restrictions, newest first."""
    return _listed(request, "restriction", title="Restrictions")


@page("holds/new/", name="hold_new", roles=ROLES, methods=("GET", "POST"))
def hold_new(request: HttpRequest) -> HttpResponseBase:
    """Place a hold."""
    form = HoldForm(request.POST if request.method == "POST" else None, initial=_initial(request))
    return _placed(
        request, form, kind="hold", title="Place a hold", submit="Place the hold",
        intro="From this moment nobody reads the documents, as if they did not exist, and no erasure destroys them. "
        "A hold on a person keeps the member’s record too, and the documents that declare the person now; documents "
        "that come later are not held. What an erasure covers already cannot be held any more.",
    )  # fmt: skip


@page("restrictions/new/", name="restriction_new", roles=ROLES, methods=("GET", "POST"))
def restriction_new(request: HttpRequest) -> HttpResponseBase:
    """Place a restriction."""
    form = RestrictionForm(
        request.POST if request.method == "POST" else None, initial=_initial(request)
    )
    return _placed(
        request, form, kind="restriction", title="Restrict", submit="Restrict",
        intro="Art. 18 GDPR: from this moment nobody reads the documents, as if they did not exist, and nothing is "
        "destroyed. A restriction does not stand against an erasure: for that, place a hold.",
    )  # fmt: skip


@page("holds/<ambit_hold:hold_id>/", name="hold", roles=ROLES)
def hold(request: HttpRequest, hold_id: UUID) -> HttpResponseBase:
    """Show a hold."""
    return _shown(request, get_restriction(kind="hold", restriction_id=hold_id))


@page("restrictions/<ambit_restriction:restriction_id>/", name="restriction", roles=ROLES)
def restriction(request: HttpRequest, restriction_id: UUID) -> HttpResponseBase:
    """Show a restriction."""
    return _shown(request, get_restriction(kind="restriction", restriction_id=restriction_id))


@page(
    "holds/<ambit_hold:hold_id>/release/",
    name="hold_release",
    roles=ROLES,
    methods=("GET", "POST"),
)
def hold_release(request: HttpRequest, hold_id: UUID) -> HttpResponseBase:
    """Release a hold."""
    return _lifted(
        request,
        get_restriction(kind="hold", restriction_id=hold_id),
        title="Release this hold?",
        submit="Release the hold",
        consequences=[
            "What an erasure covers is destroyed now. There is no undo.",
            "Everything else comes back to its readers, unless another hold or a restriction is on it.",
        ],
    )


@page(
    "restrictions/<ambit_restriction:restriction_id>/lift/",
    name="restriction_lift",
    roles=ROLES,
    methods=("GET", "POST"),
)
def restriction_lift(request: HttpRequest, restriction_id: UUID) -> HttpResponseBase:
    """Lift a restriction."""
    return _lifted(
        request,
        get_restriction(kind="restriction", restriction_id=restriction_id),
        title="Lift this restriction?",
        submit="Lift the restriction",
        consequences=[
            "The documents come back to their readers, unless a hold, another restriction or an erasure is on them."
        ],
    )


def _listed(request: HttpRequest, kind: Kind, *, title: str) -> HttpResponseBase:
    after = parse_id(kind, request.GET.get("after", ""))
    found = list_restrictions(kind=kind, after=after, limit=PER_PAGE + 1)
    shown = found[:PER_PAGE]
    return show(
        request, "holds.html", title=title, kind=kind, found=shown, newest=bool(after),
        people=_placers(shown), bases=BASES, now=timezone.now(),
        older=public_id(kind, shown[-1].id) if len(found) > PER_PAGE else "",
    )  # fmt: skip


def _placed(
    request: HttpRequest,
    form: RestrictionForm,
    *,
    kind: Kind,
    title: str,
    submit: str,
    intro: str,
) -> HttpResponseBase:
    made = _place(form, kind) if form.is_valid() else None
    if made is not None:
        messages.success(
            request,
            "From this moment nobody reads what it is on, and nothing of that is destroyed.",
        )
        return to(kind, **{f"{kind}_id": made.id})
    return show(
        request, "form.html", title=title, trail=_trail(kind), form=form, submit=submit, intro=intro,
        cancel=reverse(f"admin:{kind}s"), refused=form.is_bound,
    )  # fmt: skip


def _place(form: RestrictionForm, kind: Kind) -> RestrictionView | None:
    """Place what the form asks for; None where it is refused, which the form then says."""
    values = form.cleaned_data
    try:
        asked = read_named(values["kind"], values["value"].strip())
        named: dict[str, Any] = {
            "subject": asked.subject,
            "document_ids": asked.document_ids,
            "reason": values["reason"],
        }
        if kind == "restriction":
            return place_restriction(**named)
        review_at = datetime.combine(values["review_on"], time.min, tzinfo=UTC)
        return place_hold(**named, basis=values["basis"], review_at=review_at)
    except NotUnderstood as error:
        form.refuse("value", error.sentence)
    except ReviewNotAhead:
        form.refuse("review_on", "Choose a day in the future.")
    except tuple(SENTENCES) as error:
        form.refuse("value", SENTENCES[type(error)])
    return None


def _shown(request: HttpRequest, found: RestrictionView) -> HttpResponseBase:
    kind = _kind(found)
    return show(
        request, "hold.html", title=f"{kind.capitalize()} {public_id(kind, found.id)[:8]}…{found.id.hex[-6:]}",
        trail=_trail(kind), found=found, kind=kind, basis=BASES.get(found.basis, ""),
        people=_placers([found]), members=members_by_id(found.member_ids), now=timezone.now(),
    )  # fmt: skip


def _lifted(
    request: HttpRequest,
    found: RestrictionView,
    *,
    title: str,
    submit: str,
    consequences: list[str],
) -> HttpResponseBase:
    kind = _kind(found)
    if request.method == "POST":
        try:
            lift(kind=kind, restriction_id=found.id)
        except AlreadyLifted:
            messages.error(request, "It was ended before. Nothing was changed.")
        else:
            messages.success(
                request, "It is over: what nothing else hides is back with its readers."
            )
        return to(kind, **{f"{kind}_id": found.id})
    return show(
        request, "confirm.html", title=title, trail=_trail(kind), consequences=consequences, submit=submit,
        danger=kind == "hold", cancel=reverse(f"admin:{kind}", args=[found.id]),
    )  # fmt: skip


def _kind(found: RestrictionView) -> Kind:
    return "hold" if found.is_hold else "restriction"


def _trail(kind: Kind) -> list[tuple[str, str]]:
    return [(f"{kind.capitalize()}s", reverse(f"admin:{kind}s"))]


def _initial(request: HttpRequest) -> dict[str, str]:
    document = request.GET.get("document", "")
    return {"kind": "documents", "value": document} if parse_id("document", document) else {}


def _placers(found: Iterable[RestrictionView]) -> dict[UUID, Member]:
    return members_by_id(one.placed_by_id for one in found)
