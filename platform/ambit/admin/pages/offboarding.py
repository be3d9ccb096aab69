"""The end of a tenant, for the operator: begin it, follow it, and take its certificate away."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.urls import reverse

from ambit.admin.accounts import get_any_tenant
from ambit.admin.forms import PlainForm
from ambit.admin.page import page, show, to
from ambit.erasure.offboarding import (
    HoldsOpen,
    NotOffboarded,
    Offboarding,
    SlugMismatch,
    begin_offboarding,
    get_certificate,
    get_offboarding,
)
from ambit.erasure.printed import print_receipt
from ambit.erasure.queries import ReceiptNotReady
from tenants.ids import public_id

ROLES: Final = ("operator",)
STEPS = ("received", "hidden", "scoped", "shredded", "scrubbed", "verified", "closed")
CONSEQUENCES = (
    "From the moment you confirm all its keys are refused and nobody can sign in.",
    "Everything of it is destroyed: documents, answers, people, groups, keys, exports, files, notices not sent yet.",
    "Its key is destroyed, so that nothing that was sealed opens again, not even in backups.",
    "What stays is the audit trail without the values about people, signed receipts, and a certificate of the end.",
    "Nobody can undo this. Make sure that the tenant has taken what it is to keep.",
)


class OffboardingForm(PlainForm):
    """Asks for a tenant's short name, as a confirmation."""

    slug = forms.CharField(
        label="Short name",
        max_length=63,
        help_text="Type the tenant’s short name to confirm.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )


@page(
    "tenants/<ambit_tenant:tenant_id>/offboarding/",
    name="tenant_offboarding",
    roles=ROLES,
    methods=("GET", "POST"),
)
def tenant_offboarding(request: HttpRequest, tenant_id: UUID) -> HttpResponseBase:
    """Begin a tenant's end, or show how far it has come; `?as=json` or `pdf` is the certificate."""
    found = get_any_tenant(tenant_id=tenant_id)
    if kind := request.GET.get("as"):
        return _certificate(tenant_id, kind)
    form = OffboardingForm(request.POST if request.method == "POST" else None)
    if form.is_valid() and _begun(form, tenant_id):
        messages.success(request, "The tenant is being off-boarded.")
        return to("tenant_offboarding", tenant_id=tenant_id)
    shown = _state_of(tenant_id)
    name = found.name or "Closed tenant"
    return show(
        request, "offboarding.html", title=f"Off-boarding of {name}" if shown else f"Off-board {name}?",
        trail=[("Tenants", reverse("admin:tenants")), (name, reverse("admin:tenant", args=[tenant_id]))],
        shown=shown, steps=[(step, _at(shown, step)) for step in STEPS], form=form, refused=form.is_bound,
        consequences=CONSEQUENCES, cancel=reverse("admin:tenant", args=[tenant_id]),
        has_certificate=shown is not None and shown.state in {"closed", "incomplete"},
    )  # fmt: skip


def _begun(form: OffboardingForm, tenant_id: UUID) -> bool:
    try:
        begin_offboarding(tenant_id=tenant_id, slug=form.cleaned_data["slug"])
    except SlugMismatch:
        form.refuse("slug", "That is not this tenant’s short name. Nothing was changed.")
    except HoldsOpen as open_holds:
        form.refuse(
            None,
            f"{open_holds.n} holds of the tenant are not released: what they keep may not be destroyed. "
            "Its privacy officers release them. Nothing was changed.",
        )
    else:
        return True
    return False


def _state_of(tenant_id: UUID) -> Offboarding | None:
    try:
        return get_offboarding(tenant_id=tenant_id)
    except NotOffboarded:
        return None


def _at(shown: Offboarding | None, step: str) -> Any:
    return next((s.at for s in shown.states if s.state == step), None) if shown else None


def _certificate(tenant_id: UUID, kind: str) -> HttpResponse:
    try:
        said = get_certificate(tenant_id=tenant_id)
    except (NotOffboarded, ReceiptNotReady) as error:
        raise Http404 from error
    response = (
        HttpResponse(print_receipt(said["signed"]), content_type="application/pdf")
        if kind == "pdf"
        else JsonResponse(said, json_dumps_params={"indent": 2, "ensure_ascii": False})
    )
    name = f"certificate-{public_id('tenant', tenant_id)}.{'pdf' if kind == 'pdf' else 'json'}"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response
