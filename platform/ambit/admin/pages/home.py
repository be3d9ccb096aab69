"""The start page: what needs a person, before any figure."""

from __future__ import annotations

from datetime import timedelta

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone

from ambit.admin.health import parts
from ambit.admin.page import here, page, show
from ambit.admin.queries import (
    SHOWN,
    document_counts,
    failed_documents,
    keys_expiring,
    n_events_since,
    open_erasures,
    setting,
)
from ambit.admin.seats import EVERY_ROLE
from ambit.corpus.canary import CANARY_TENANT
from tenants.audit import record
from tenants.models import Member, Tenant
from tenants.queries import OPERATOR


@page("", name="index", roles=EVERY_ROLE)
def index(request: HttpRequest) -> HttpResponseBase:
    """Show the start page of the role."""
    seat = here(request)
    if seat.is_operator:
        return _operators(request)
    if seat.role == "auditor":
        since = timezone.now() - timedelta(days=1)
        return show(request, "home.html", title="Home", n_events=n_events_since(since))
    if seat.role == "privacy_officer":
        return show(request, "home.html", title="Home", erasures=open_erasures())
    assert seat.member_id is not None  # noqa: S101 - an administrator is a member
    failed = failed_documents()
    if failed:
        record("document.records_listed", document_ids=[d.id for d in failed[:SHOWN]])
    return show(
        request, "home.html", title="Home", erasures=open_erasures(), failed=failed[:SHOWN],
        more_failed=len(failed) > SHOWN, counts=document_counts(), keys=keys_expiring(),
        setting=setting(seat.member_id), n_members=Member.objects.count(),
    )  # fmt: skip


def _operators(request: HttpRequest) -> HttpResponseBase:
    tenants = Tenant.objects.using(OPERATOR).exclude(pk=CANARY_TENANT)
    return show(
        request, "home_operator.html", title="Home", n_tenants=tenants.count(),
        n_suspended=tenants.filter(suspended_at__isnull=False).count(), parts=parts(),
    )  # fmt: skip
