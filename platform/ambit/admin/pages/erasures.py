"""Erasures: request with a look ahead, follow, and the receipt to read, print and keep."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar
from uuid import UUID

from django import forms
from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse

from ambit.access.clearance import clearance_for
from ambit.admin.forms import PlainForm
from ambit.admin.named import (
    KINDS,
    VALUE_HELP,
    NotUnderstood,
    read_identifiers,
    read_named,
    what_may_be,
)
from ambit.admin.page import MISSING, here, page, show, to
from ambit.admin.people import members_by_id
from ambit.admin.words import OPEN_STATES
from ambit.corpus.holdings import DocumentsUnknown
from ambit.corpus.mentions import LookedTooLong
from ambit.erasure.candidates import find_candidates
from ambit.erasure.clock import may_extend
from ambit.erasure.printed import print_receipt
from ambit.erasure.queries import (
    ErasureNotFound,
    ReceiptNotReady,
    get_erasure,
    get_receipt,
    get_receipt_note,
    list_erasures,
)
from ambit.erasure.services import request_erasure
from ambit.erasure.subjects import NothingNamed
from ambit.erasure.types import ENDS, Candidates, ErasureView
from ambit.notices.queries import notices_of
from tenants.audit import record
from tenants.holdings import SubjectAmbiguous
from tenants.ids import parse_id, public_id
from tenants.models import Member

MISSING.append(ErasureNotFound)
Read = TypeVar("Read")
TOO_LONG = "The names could not be looked for in time. Name fewer at once, or try again when less is going on."
ROLES: Final = ("admin", "privacy_officer")
# Who is shown what stands in documents that they may not read.
OFFICER: Final = "privacy_officer"
MAX_CANDIDATES = 200
PER_PAGE = 50
# How far back a filter by state looks.
SEARCHED = 1000
AMBIGUOUS = "This names more than one member. Use the member id. Nothing was hidden."
# Of the filter: what nobody asked for.
BY_AGE = "by age"
FILTER = ("open", "incomplete", "refused", "closed", BY_AGE)
STEPS = ("received", "identified", "hidden", "scoped", "shredded", "scrubbed", "verified", "closed")
IDENTITIES = (
    ("verified", "Yes: we know that the person is who they say"),
    ("pending", "Not yet: receive the request and check"),
)
OPENED = {
    "running": "The case is open. From this moment nothing retrieves what it covers.",
    "stopped": "The request is received. Nothing is hidden before its identity check has ended well.",
}


class ErasureForm(PlainForm):
    """Asks whom or what to forget, and why."""

    kind = forms.ChoiceField(label="Whom or what to forget", choices=KINDS, initial="email")
    value = forms.CharField(
        label="Identifier",
        max_length=20_000,
        widget=forms.Textarea(attrs={"rows": 2, "spellcheck": "false"}),
        help_text=VALUE_HELP,
    )
    mentions = forms.CharField(
        label="Look for mentions in other documents",
        max_length=20_000,
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false"}),
        help_text="What else identifies the person, one on a line: e-mail addresses, telephone numbers, ids, names. "
        "You are shown which documents mention it and decide about each; the identifier above is looked for too.",
    )
    identity = forms.ChoiceField(
        label="Is it known who asks?",
        choices=IDENTITIES,
        initial="verified",
        help_text="While the check runs nothing is hidden, the identifier is kept sealed, and the clock stands.",
    )
    reason = forms.CharField(
        label="Reason",
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="Such as “Art. 17 request of 3 May, ticket 4711”. Kept encrypted; the person’s identifiers are taken "
        "out of it.",
    )

    def clean_mentions(self) -> str:
        """Refuse a line that cannot be looked for."""
        lines = str(self.cleaned_data["mentions"])
        try:
            read_identifiers(lines)
        except NotUnderstood as error:
            raise forms.ValidationError(error.sentence) from error
        return lines


@page("erasures/", name="erasures", roles=ROLES)
def erasures(request: HttpRequest) -> HttpResponseBase:
    """List cases, newest first."""
    state = request.GET.get("state", "")
    after = parse_id("erasure", request.GET.get("after", ""))
    if state in {"open", "closed", "incomplete", "refused"}:
        wanted = OPEN_STATES if state == "open" else {state}
        asked_for = list_erasures(after=None, limit=SEARCHED, by_age=False)
        found = [c for c in asked_for if c.state in wanted]
    elif state == BY_AGE:
        found = list_erasures(after=None, limit=SEARCHED, by_age=True)
    else:
        state, found = "", list_erasures(after=after, limit=PER_PAGE + 1)
    shown = found if state else found[:PER_PAGE]
    more = not state and len(found) > PER_PAGE and shown[-1].id is not None
    return show(
        request, "erasures.html", title="Erasures", state=state, newest=bool(after), states=FILTER,
        cases=shown, requesters=_requesters(shown),
        older=public_id("erasure", shown[-1].id) if more and shown[-1].id else "",
    )  # fmt: skip


@page("erasures/new/", name="erasure_new", roles=ROLES, methods=("GET", "POST"))
def erasure_new(request: HttpRequest) -> HttpResponseBase:
    """Ask, show what would be destroyed, and on a second look open the case."""
    bound = request.method == "POST"
    form = ErasureForm(request.POST if bound else None, initial=_initial(request))
    if here(request).role != OFFICER:
        del form.fields["mentions"]
    preview: ErasureView | None = None
    candidates: Candidates | None = None
    also = [one for text in request.POST.getlist("also") if (one := parse_id("document", text))]
    if form.is_valid():
        confirmed = request.POST.get("do") == "confirm"
        try:
            case = _request(form.cleaned_data, also, dry_run=not confirmed)
            if case.id is None:
                candidates = _candidates(request, form.cleaned_data)
        except NotUnderstood as error:
            form.refuse("value", error.sentence)
        else:
            if case.id is not None:
                messages.success(request, OPENED[case.clock])
                return to("erasure", erasure_id=case.id)
            preview = case
    return show(
        request, "erasure_new.html", title="Request an erasure", form=form, preview=preview,
        candidates=candidates, also=also,
        trail=[("Erasures", reverse("admin:erasures"))], refused=bound and preview is None,
        kind_words=dict(KINDS).get(form.data.get("kind", ""), ""),
    )  # fmt: skip


@page("erasures/<ambit_erasure:erasure_id>/", name="erasure", roles=ROLES)
def erasure(request: HttpRequest, erasure_id: UUID) -> HttpResponseBase:
    """Show a case and its receipt."""
    case = get_erasure(erasure_id=erasure_id)
    return show(
        request, "erasure.html", title=f"Erasure {public_id('erasure', erasure_id)[:8]}…{erasure_id.hex[-6:]}",
        trail=[("Erasures", reverse("admin:erasures"))], requesters=_requesters([case]), notices=notices_of(erasure_id),
        **_state(case),
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
    receipt = _receipt_of(erasure_id, get_receipt)
    response = JsonResponse(receipt, json_dumps_params={"indent": 2, "ensure_ascii": False})
    return _as_file(response, erasure_id, "json")


@page("erasures/<ambit_erasure:erasure_id>/receipt.pdf", name="erasure_receipt_pdf", roles=ROLES)
def erasure_receipt_pdf(request: HttpRequest, erasure_id: UUID) -> HttpResponseBase:
    """Hand out the receipt as a PDF, with the JSON in it; a case that has none yet has no such page."""
    printed = print_receipt(_receipt_of(erasure_id, get_receipt_note))
    return _as_file(HttpResponse(printed, content_type="application/pdf"), erasure_id, "pdf")


def _receipt_of(erasure_id: UUID, read: Callable[..., Read]) -> Read:
    try:
        receipt = read(erasure_id=erasure_id)
    except ReceiptNotReady as error:
        raise ErasureNotFound(erasure_id) from error
    record("erasure.receipt_read", object_id=erasure_id)
    return receipt


def _as_file(response: HttpResponse, erasure_id: UUID, kind: str) -> HttpResponse:
    name = f"receipt-{public_id('erasure', erasure_id)}.{kind}"
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
        "final": case.state in ENDS,
        "steps": [(name, case.at(name)) for name in _steps(case)],  # type: ignore[arg-type]  # all are StateName
        "may_extend": may_extend(case),
    }


def _steps(case: ErasureView) -> tuple[str, ...]:
    if case.state == "refused":
        return ("received", "refused")
    checked = case.clock == "stopped" or case.at("identified") is not None
    return tuple(s for s in STEPS if checked or s != "identified")


def _candidates(request: HttpRequest, values: dict[str, str]) -> Candidates | None:
    """Return where else a person may be mentioned; None for who may not be told, and for documents."""
    seat = here(request)
    if seat.role != OFFICER or seat.member_id is None or values["kind"] == "documents":
        return None
    own = what_may_be(values["value"]) if values["kind"] != "member" else []
    identifiers = list(dict.fromkeys([*own, *read_identifiers(values["mentions"])]))
    if not identifiers:
        return None
    clearance = clearance_for(member_id=seat.member_id)
    try:
        # What Postgres ends in it must not end the page.
        with transaction.atomic():
            return find_candidates(
                identifiers=identifiers, clearance=clearance, limit=MAX_CANDIDATES
            )
    except SubjectAmbiguous as error:
        raise NotUnderstood(AMBIGUOUS) from error
    except LookedTooLong as error:
        raise NotUnderstood(TOO_LONG) from error


def _request(values: dict[str, str], also: list[UUID], *, dry_run: bool) -> ErasureView:
    asked = read_named(values["kind"], values["value"].strip())
    try:
        return request_erasure(
            subject=asked.subject,
            document_ids=asked.document_ids,
            also_document_ids=also or None,
            reason=values["reason"],
            dry_run=dry_run,
            identity="pending" if values["identity"] == "pending" else "verified",
        )
    except SubjectAmbiguous as error:
        raise NotUnderstood(AMBIGUOUS) from error
    except DocumentsUnknown as error:
        raise NotUnderstood(
            "At least one of these documents is not there. Nothing was hidden."
        ) from error
    except NothingNamed as error:
        raise NotUnderstood(
            "Name a person or at least one document. Nothing was hidden."
        ) from error


def _initial(request: HttpRequest) -> dict[str, str]:
    document = request.GET.get("document", "")
    return {"kind": "documents", "value": document} if parse_id("document", document) else {}


def _requesters(cases: list[ErasureView]) -> dict[UUID, Member]:
    return members_by_id(case.requested_by_id for case in cases)
