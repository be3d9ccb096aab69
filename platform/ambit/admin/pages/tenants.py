"""Tenants, for the operator: create, suspend, resume; never what is in them."""

from __future__ import annotations

import re
from typing import Final
from uuid import UUID

from django import forms
from django.contrib import messages
from django.db.models import Q
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse

from ambit.admin.accounts import (
    AlreadyHasSignIns,
    AlreadyHoldsDocuments,
    NewSignIn,
    create_first_administrator,
    get_any_tenant,
    has_sign_ins,
    set_tenant_suspended,
)
from ambit.admin.forms import PlainForm
from ambit.admin.listing import page_of
from ambit.admin.page import page, show, to
from ambit.corpus.canary import CANARY_TENANT
from ambit.keys.keyring import create_tenant_keys
from ambit.metering.queries import months_of_tenants
from tenants.models import Tenant
from tenants.queries import OPERATOR
from tenants.scope import tenant_scope
from tenants.services import NewKey, SlugTaken, create_tenant

ROLES: Final = ("operator",)
_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


class AdministratorForm(PlainForm):
    """Asks for a tenant's first administrator."""

    admin_name = forms.CharField(label="Administrator’s name", max_length=200)
    admin_email = forms.EmailField(
        label="Administrator’s e-mail",
        max_length=254,
        help_text="Gets a sign-in with a one-time password, shown once on the next page.",
    )


class TenantForm(AdministratorForm):
    """Asks for a new tenant."""

    name = forms.CharField(
        label="Name", max_length=200, help_text="As its people know it, such as Acme Ltd."
    )
    slug = forms.CharField(
        label="Short name",
        max_length=63,
        help_text="Small letters, digits and hyphens. It starts every sign-in name and cannot be changed.",
    )
    field_order = ("name", "slug", "admin_name", "admin_email")

    def clean_slug(self) -> str:
        """Refuse what would not read well in a sign-in name."""
        slug: str = self.cleaned_data["slug"].strip().lower()
        if not _SLUG.fullmatch(slug):
            raise forms.ValidationError(
                "Use small letters, digits and hyphens, such as acme-health."
            )
        return slug


@page("tenants/", name="tenants", roles=ROLES)
def tenants(request: HttpRequest) -> HttpResponseBase:
    """List tenants."""
    text, state = request.GET.get("q", "").strip(), request.GET.get("state", "")
    found = Tenant.objects.using(OPERATOR).exclude(pk=CANARY_TENANT).order_by("name", "id")
    if text:
        found = found.filter(Q(name__icontains=text) | Q(slug__icontains=text))
    if state in {"active", "suspended"}:
        found = found.filter(suspended_at__isnull=state == "active", closing_at__isnull=True)
    elif state == "closed":
        found = found.filter(closing_at__isnull=False)
    rows = page_of(request, found)
    used = months_of_tenants([one.pk for one in rows])
    return show(
        request, "tenants.html", title="Tenants", rows=rows, lines=[(one, used.get(one.pk, 0)) for one in rows],
        q=text, state=state, filtered=bool(text or state),
    )  # fmt: skip


@page("tenants/new/", name="tenant_new", roles=ROLES, methods=("GET", "POST"))
def tenant_new(request: HttpRequest) -> HttpResponseBase:
    """Create a tenant, its first service key and its first administrator."""
    form = TenantForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        values = form.cleaned_data
        try:
            tenant, key = create_tenant(
                name=values["name"], slug=values["slug"], make_keys=create_tenant_keys
            )
        except SlugTaken:
            form.refuse("slug", "Another tenant has this short name. Choose another.")
        else:
            return _created(request, tenant, key, _administrator(tenant, values))
    return show(
        request, "form.html", title="New tenant", trail=[("Tenants", reverse("admin:tenants"))],
        form=form, submit="Create tenant", cancel=reverse("admin:tenants"), refused=form.is_bound,
        intro="A tenant is a customer of its own: its people, documents and keys are kept apart from "
        "every other tenant’s by the database itself.",
    )  # fmt: skip


@page("tenants/<ambit_tenant:tenant_id>/", name="tenant", roles=ROLES)
def tenant(request: HttpRequest, tenant_id: UUID) -> HttpResponseBase:
    """Show a tenant's record."""
    found = get_any_tenant(tenant_id=real_tenant(tenant_id))
    return show(
        request, "tenant.html", title=found.name or "Closed tenant", trail=[("Tenants", reverse("admin:tenants"))],
        tenant=found, has_sign_ins=has_sign_ins(tenant_id=tenant_id),
        tokens=months_of_tenants([tenant_id]).get(tenant_id, 0),
    )  # fmt: skip


@page(
    "tenants/<ambit_tenant:tenant_id>/administrator/",
    name="tenant_administrator",
    roles=ROLES,
    methods=("GET", "POST"),
)
def tenant_administrator(request: HttpRequest, tenant_id: UUID) -> HttpResponseBase:
    """Make a tenant's first administrator, where it has no sign-in yet."""
    found = get_any_tenant(tenant_id=real_tenant(tenant_id))
    form = AdministratorForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        try:
            return _created(request, found, None, _administrator(found, form.cleaned_data))
        except AlreadyHasSignIns:
            form.refuse(None, "This tenant has sign-ins; its own administrators make further ones.")
        except AlreadyHoldsDocuments:
            form.refuse(
                None,
                "This tenant already holds documents. An operator makes the first administrator "
                "before there is anything to read.",
            )
    return show(
        request, "form.html", title="First administrator", refused=form.is_bound, form=form,
        trail=[("Tenants", reverse("admin:tenants")), (found.name, reverse("admin:tenant", args=[tenant_id]))],
        submit="Create administrator", cancel=reverse("admin:tenant", args=[tenant_id]),
    )  # fmt: skip


@page(
    "tenants/<ambit_tenant:tenant_id>/suspension/",
    name="tenant_suspension",
    roles=ROLES,
    methods=("GET", "POST"),
)
def tenant_suspension(request: HttpRequest, tenant_id: UUID) -> HttpResponseBase:
    """Suspend a tenant, or resume it."""
    found = get_any_tenant(tenant_id=real_tenant(tenant_id))
    suspend = found.suspended_at is None
    if request.method == "POST":
        set_tenant_suspended(tenant_id=tenant_id, suspended=suspend)
        messages.success(
            request, "The tenant is suspended." if suspend else "The tenant is active again."
        )
        return to("tenant", tenant_id=tenant_id)
    return show(
        request, "confirm.html", title=f"{'Suspend' if suspend else 'Resume'} {found.name}?",
        trail=[("Tenants", reverse("admin:tenants")), (found.name, reverse("admin:tenant", args=[tenant_id]))],
        consequences=[
            "All its keys are refused and nobody can sign in, from the next request on.",
            "Its documents, people and running erasures stay as they are.",
            "You can resume it at any time.",
        ]
        if suspend
        else ["Its keys work and its people can sign in again, from the next request on."],
        submit="Suspend tenant" if suspend else "Resume tenant", danger=suspend,
        cancel=reverse("admin:tenant", args=[tenant_id]),
    )  # fmt: skip


def real_tenant(tenant_id: UUID) -> UUID:
    """Return the id; the canary is nobody's customer and answers like a missing one."""
    return UUID(int=0) if tenant_id == CANARY_TENANT else tenant_id


def _administrator(tenant: Tenant, values: dict[str, str]) -> NewSignIn:
    with tenant_scope(tenant.pk):
        return create_first_administrator(
            tenant=tenant, email=values["admin_email"], name=values["admin_name"]
        )


def _created(
    request: HttpRequest, tenant: Tenant, key: NewKey | None, sign_in: NewSignIn
) -> HttpResponseBase:
    return show(
        request, "tenant_created.html", title=f"{tenant.name} is ready" if key else "Administrator created",
        trail=[("Tenants", reverse("admin:tenants"))], tenant=tenant, key=key, sign_in=sign_in,
    )  # fmt: skip
