"""What a person decides about an open erasure: who asked, whether it is refused, more time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse

from ambit.admin.forms import PlainForm
from ambit.admin.page import page, show, to
from ambit.erasure.clock import (
    AlreadyExtended,
    ErasureOver,
    ExtensionTooLate,
    NoClock,
    extend_erasure,
)
from ambit.erasure.identity import NotPending
from ambit.erasure.queries import get_erasure
from ambit.erasure.services import refuse_erasure, verify_identity
from ambit.erasure.types import ErasureView
from tenants.holdings import SubjectAmbiguous

ROLES: Final = ("admin", "privacy_officer")
SENTENCES: dict[type[Exception], str] = {
    NotPending: "The identity check of this case is over. Nothing was changed.",
    SubjectAmbiguous: "The request names more than one member by now: refuse it, and open a case by member id.",
    ErasureOver: "This case is over. Nothing was changed.",
    NoClock: "Nobody asked for this erasure: it has no time to extend. Nothing was changed.",
    AlreadyExtended: "This case was extended before; the law gives two further months once.",
    ExtensionTooLate: "The first month is over: the time is extended inside it or not at all.",
}


class ReasonForm(PlainForm):
    """Asks why."""

    reason = forms.CharField(
        label="Reason",
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Kept encrypted, for you and for a supervisory authority. Identifiers of the person that are known "
        "here are taken out of it.",
    )


@page(
    "erasures/<ambit_erasure:erasure_id>/identity/",
    name="erasure_identity",
    roles=ROLES,
    methods=("GET", "POST"),
)
def erasure_identity(request: HttpRequest, erasure_id: UUID) -> HttpResponseBase:
    """End the identity check well: hide and hand over."""
    case = get_erasure(erasure_id=erasure_id)
    if request.method == "POST":
        return _done(
            request,
            case,
            lambda: verify_identity(erasure_id=erasure_id),
            "The identity is noted. From this moment nothing retrieves what the case covers.",
        )
    return show(
        request, "confirm.html", title="Is this person who they say?", trail=_trail(case),
        consequences=[
            "What is here of the person now, documents of the last days too, is hidden from everybody at once.",
            "The workers then destroy it. There is no undo.",
            "The clock runs on: the case is due as much later as the check took.",
            "What the request names is forgotten; the case keeps a keyed hash of it.",
        ],
        submit="Identity verified: erase", danger=True, cancel=_url(case),
    )  # fmt: skip


@page(
    "erasures/<ambit_erasure:erasure_id>/refusal/",
    name="erasure_refusal",
    roles=ROLES,
    methods=("GET", "POST"),
)
def erasure_refusal(request: HttpRequest, erasure_id: UUID) -> HttpResponseBase:
    """Refuse a case of which nothing was hidden."""
    return _with_reason(
        request,
        get_erasure(erasure_id=erasure_id),
        lambda reason: refuse_erasure(erasure_id=erasure_id, reason=reason),
        title="Refuse this erasure",
        submit="Refuse the erasure",
        intro="Nothing is hidden or destroyed, the case ends as refused, and its receipt says so. Tell the person the "
        "reason, and that they may complain to a supervisory authority (Art. 12(4) GDPR). A refused case is not "
        "opened again; the person may ask again.",
        done="The erasure is refused; the receipt says so.",
    )


@page(
    "erasures/<ambit_erasure:erasure_id>/extension/",
    name="erasure_extension",
    roles=ROLES,
    methods=("GET", "POST"),
)
def erasure_extension(request: HttpRequest, erasure_id: UUID) -> HttpResponseBase:
    """Take two further months."""
    return _with_reason(
        request,
        get_erasure(erasure_id=erasure_id),
        lambda reason: extend_erasure(erasure_id=erasure_id, reason=reason),
        title="Extend the time",
        submit="Extend by two months",
        intro="Art. 12(3) GDPR gives two further months once, where the request is complex, and only inside the first "
        "month. Tell the person of it and of the reason within that month. What is hidden stays hidden.",
        done="The case has two further months.",
    )


def _with_reason(
    request: HttpRequest,
    case: ErasureView,
    act: Callable[[str], ErasureView],
    *,
    title: str,
    submit: str,
    intro: str,
    done: str,
) -> HttpResponseBase:
    form = ReasonForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        return _done(request, case, lambda: act(form.cleaned_data["reason"]), done)
    return show(
        request, "form.html", title=title, trail=_trail(case), form=form, submit=submit, intro=intro,
        cancel=_url(case), refused=form.is_bound,
    )  # fmt: skip


def _done(
    request: HttpRequest, case: ErasureView, act: Callable[[], ErasureView], sentence: str
) -> HttpResponseBase:
    try:
        act()
    except tuple(SENTENCES) as error:
        messages.error(request, SENTENCES[type(error)])
    else:
        messages.success(request, sentence)
    return to("erasure", erasure_id=case.id)


def _url(case: ErasureView) -> str:
    return reverse("admin:erasure", args=[case.id])


def _trail(case: ErasureView) -> list[tuple[str, str]]:
    return [("Erasures", reverse("admin:erasures")), ("This case", _url(case))]
