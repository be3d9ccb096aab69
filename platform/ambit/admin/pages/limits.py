"""A tenant's limits, for the operator: how often it may ask, and how many tokens a month."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse

from ambit.admin.accounts import get_any_tenant
from ambit.admin.forms import PlainForm
from ambit.admin.page import page, show, to
from ambit.admin.pages.tenants import real_tenant
from ambit.metering.limits import forget_limits
from ambit.metering.queries import view_limits_of
from ambit.metering.services import set_limits
from ambit.metering.types import MAX_PER_MINUTE, MAX_PER_MONTH, Limits, OwnLimits

ROLES: Final = ("operator",)


def _limit(label: str, maximum: int) -> forms.IntegerField:
    words = f"Give a whole number from 0 to {maximum:,}, or leave it empty."
    return forms.IntegerField(
        label=label,
        required=False,
        min_value=0,
        max_value=maximum,
        error_messages=dict.fromkeys(("invalid", "min_value", "max_value"), words),
        widget=forms.NumberInput(attrs={"min": 0, "max": maximum, "step": 1}),
    )


class LimitsForm(PlainForm):
    """Asks for a tenant's limits; empty: the deployment's."""

    requests_per_minute = _limit("Requests a minute, all of its members together", MAX_PER_MINUTE)
    member_requests_per_minute = _limit("Requests a minute, each member", MAX_PER_MINUTE)
    tokens_per_month = _limit("Tokens a month, prompts and completions", MAX_PER_MONTH)


@page(
    "tenants/<ambit_tenant:tenant_id>/limits/",
    name="tenant_limits",
    roles=ROLES,
    methods=("GET", "POST"),
)
def tenant_limits(request: HttpRequest, tenant_id: UUID) -> HttpResponseBase:
    """Show a tenant's limits, and set them."""
    tenant = get_any_tenant(tenant_id=real_tenant(tenant_id))
    found = view_limits_of(tenant_id=tenant_id)
    own = {name: getattr(found.own, name) for name in LimitsForm.base_fields}
    form = LimitsForm(request.POST if request.method == "POST" else None, initial=own)
    for name, field in form.fields.items():
        field.help_text = f"Empty: {_words(found.deployment, name)}. 0: no limit."
    if form.is_valid():
        set_limits(tenant_id=tenant_id, own=OwnLimits(**form.cleaned_data))
        forget_limits(tenant_id)
        messages.success(request, "Saved. It counts within five seconds.")
        return to("tenant", tenant_id=tenant_id)
    back = reverse("admin:tenant", args=[tenant_id])
    return show(
        request, "form.html", title=f"Limits of {tenant.name}", refused=form.is_bound, form=form,
        trail=[("Tenants", reverse("admin:tenants")), (tenant.name, back)], submit="Save", cancel=back,
        intro=f"{found.tokens_used:,} tokens are used this month. A quota below that refuses answers by the model "
        "until the month ends; searching is never limited.",
    )  # fmt: skip


def _words(deployment: Limits, name: str) -> str:
    value = getattr(deployment, name)
    return f"the deployment’s, {value:,}" if value else "the deployment’s, which is no limit"
