"""Erasures: request with a look ahead, follow, and the receipt to read, print and keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse

from ambit.admin.forms import PlainForm
from ambit.admin.page import MISSING, here, page, show, to
from ambit.admin.people import members_by_id
from ambit.admin.words import OPEN_STATES
from ambit.corpus.holdings import DocumentsUnknown
from ambit.corpus.types import SubjectRef
from ambit.erasure.queries import (
    ErasureNotFound,
    ReceiptNotReady,
    get_erasure,
    get_receipt,
    list_erasures,
)
from ambit.erasure.services import NothingNamed, request_erasure
from ambit.erasure.types import ErasureView
from tenants.audit import record
from tenants.holdings import SubjectAmbiguous
from tenants.ids import parse_id, public_id
from tenants.models import Member
from tenants.queries import MemberNotFound, find_member

MISSING.append(ErasureNotFound)
ROLES: Final = ("admin", "privacy_officer")
PER_PAGE = 50
# How far back a filter by state looks.
SEARCHED = 1000
STEPS = ("received", "hidden", "destroyed", "verified", "closed")
KINDS = (
    ("email", "A person, by e-mail address"),
    ("external_id", "A person, by external id"),
    ("member", "A member"),
    ("documents", "Documents, by their ids"),
)


class ErasureForm(PlainForm):
    """Asks whom or what to forget, and why."""

    kind = forms.ChoiceField(label="Whom or what to forget", choices=KINDS, initial="email")
    value = forms.CharField(
        label="Identifier",
        max_length=20_000,
        widget=forms.Textarea(attrs={"rows": 2, "spellcheck": "false"}),
        help_text="The e-mail address, the external id, or for a member also the member id. For documents: "
        "their ids (doc_…), separated by spaces or lines.",
    )
    reason = forms.CharField(
        label="Reason",
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="Such as “Art. 17 request of 3 May, ticket 4711”. Kept encrypted; the person’s identifiers are taken "
        "out of it.",
    )


@dataclass(frozen=True, slots=True)
class Asked:
    """What the form names, as the service wants it."""

    subject: SubjectRef | None
    document_ids: list[UUID] | None


class NotUnderstood(ValueError):
    """The identifier cannot be what was chosen; carries a sentence."""

    def __init__(self, sentence: str) -> None:
        super().__init__("not understood")
        self.sentence = sentence


@page("erasures/", name="erasures", roles=ROLES)
def erasures(request: HttpRequest) -> HttpResponseBase:
    """List cases, newest first."""
    state = request.GET.get("state", "")
    after = parse_id("erasure", request.GET.get("after", ""))
    if state in {"open", "closed", "incomplete"}:
        wanted = OPEN_STATES if state == "open" else {state}
        found = [c for c in list_erasures(after=None, limit=SEARCHED) if c.state in wanted]
    else:
        state, found = "", list_erasures(after=after, limit=PER_PAGE + 1)
    shown = found if state else found[:PER_PAGE]
    more = not state and len(found) > PER_PAGE and shown[-1].id is not None
    return show(
        request, "erasures.html", title="Erasures", state=state, newest=bool(after),
        cases=shown, requesters=_requesters(shown),
        older=public_id("erasure", shown[-1].id) if more and shown[-1].id else "",
    )  # fmt: skip


@page("erasures/new/", name="erasure_new", roles=ROLES, methods=("GET", "POST"))
def erasure_new(request: HttpRequest) -> HttpResponseBase:
    """Ask, show what would be destroyed, and on a second look open the case."""
    bound = request.method == "POST"
    form = ErasureForm(request.POST if bound else None, initial=_initial(request))
    preview: ErasureView | None = None
    if form.is_valid():
        confirmed = request.POST.get("do") == "confirm"
        try:
            case = _request(form.cleaned_data, dry_run=not confirmed)
        except NotUnderstood as error:
            form.refuse("value", error.sentence)
        else:
            if case.id is not None:
                messages.success(
                    request, "The case is open. From this moment nothing retrieves what it covers."
                )
                return to("erasure", erasure_id=case.id)
            preview = case
    return show(
        request, "erasure_new.html", title="Request an erasure", form=form, preview=preview,
        trail=[("Erasures", reverse("admin:erasures"))], refused=bound and preview is None,
        kind_words=dict(KINDS).get(form.data.get("kind", ""), ""),
    )  # fmt: skip


@page("erasures/<ambit_erasure:erasure_id>/", name="erasure", roles=ROLES)
def erasure(request: HttpRequest, erasure_id: UUID) -> HttpResponseBase:
    """Show a case and its receipt."""
    case = get_erasure(erasure_id=erasure_id)
    return show(
        request, "erasure.html", title=f"Erasure {public_id('erasure', erasure_id)[:8]}…{erasure_id.hex[-6:]}",
        trail=[("Erasures", reverse("admin:erasures"))], requesters=_requesters([case]), **_state(case),
    )  # fmt: skip


@page("erasures/<ambit_erasure:erasure_id>/state/", name="erasure_state", roles=ROLES)
def erasure_state(request: HttpRequest, erasure_id: UUID) -> HttpResponseBase:
    """Return the part of the page that changes while a case is worked on."""
    case = get_erasure(erasure_id=erasure_id)
    return TemplateResponse(
        request, "ambit_admin/parts/erasure_state.html", {**_state(case), "seat": here(request)}
    )


@page("erasures/<ambit_erasure:erasure_id>/receipt.json", name="erasure_receipt", roles=ROLES)
def erasure_receipt(request: HttpRequest, erasure_id: UUID) -> HttpResponseBase:
    """Hand out the receipt as JSON; a case that has none yet has no such page."""
    try:
        receipt = get_receipt(erasure_id=erasure_id)
    except ReceiptNotReady as error:
        raise ErasureNotFound(erasure_id) from error
    record("erasure.receipt_read", object_id=erasure_id)
    response = JsonResponse(receipt, json_dumps_params={"indent": 2, "ensure_ascii": False})
    name = f"receipt-{public_id('erasure', erasure_id)}.json"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _state(case: ErasureView) -> dict[str, Any]:
    receipt = None
    if case.id is not None:
        try:
            receipt = get_receipt(erasure_id=case.id)
        except ReceiptNotReady:
            receipt = None
    return {
        "case": case,
        "receipt": receipt,
        "final": case.state == "closed",
        "steps": [(name, case.at(name)) for name in STEPS],  # type: ignore[arg-type]  # all are StateName
    }


def _request(values: dict[str, str], *, dry_run: bool) -> ErasureView:
    asked = _asked(values["kind"], values["value"].strip())
    try:
        return request_erasure(
            subject=asked.subject,
            document_ids=asked.document_ids,
            reason=values["reason"],
            dry_run=dry_run,
        )
    except SubjectAmbiguous as error:
        raise NotUnderstood(
            "This names more than one member. Use the member id. Nothing was hidden."
        ) from error
    except DocumentsUnknown as error:
        raise NotUnderstood(
            "At least one of these documents is not there. Nothing was hidden."
        ) from error
    except NothingNamed as error:
        raise NotUnderstood(
            "Name a person or at least one document. Nothing was hidden."
        ) from error


def _asked(kind: str, value: str) -> Asked:
    if kind == "documents":
        words = value.replace(",", " ").split()
        ids = [parse_id("document", word) for word in words]
        if not ids or None in ids:
            raise NotUnderstood(
                "Document ids look like doc_0199…, with 32 characters after the underscore."
            )
        return Asked(None, [i for i in ids if i])
    if "\n" in value:
        raise NotUnderstood("Name one person; each gets a case and a receipt of its own.")
    if kind == "member":
        return Asked(SubjectRef("member", str(_member_id(value))), None)
    if kind == "email" and "@" not in value:
        raise NotUnderstood("This is no e-mail address.")
    return Asked(SubjectRef("email" if kind == "email" else "external_id", value), None)


def _member_id(value: str) -> UUID:
    found = parse_id("member", value)
    if found is not None:
        # Also a suspended one, whom no other name finds.
        if not Member.objects.filter(pk=found).exists():
            raise NotUnderstood("There is no such member. Nothing was hidden.")
        return found
    try:
        return find_member(text=value).pk
    except MemberNotFound as error:
        raise NotUnderstood(
            "There is no active member like this; use the member id for a suspended one."
        ) from error


def _initial(request: HttpRequest) -> dict[str, str]:
    document = request.GET.get("document", "")
    return {"kind": "documents", "value": document} if parse_id("document", document) else {}


def _requesters(cases: list[ErasureView]) -> dict[UUID, Member]:
    return members_by_id(case.requested_by_id for case in cases)
