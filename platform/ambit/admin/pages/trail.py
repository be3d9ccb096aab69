"""The proof of the audit trail: what was signed and copied, the key, and a check of all of it."""

from __future__ import annotations

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from ambit.admin.page import page, show, to
from ambit.admin.pages.events import ROLES
from ambit.audit.archive import archive
from ambit.audit.check import MOST_EVENTS, TooMany, check_trail_now
from ambit.audit.flow import trail_signer
from ambit.audit.models import Log
from ambit.audit.outside import copy_places
from ambit.audit.proofs import list_checkpoints
from ambit.files.streaming import streamed
from ambit.keys.keyring import KeyUnavailable
from tenants.audit import record
from tenants.ids import public_id
from tenants.models import AuditEvent
from tenants.scope import current_tenant_id

SHOWN = 20


@page("audit-proof/", name="trail", roles=ROLES, methods=("GET", "POST"))
def trail(request: HttpRequest) -> HttpResponseBase:
    """Show how far the trail is signed and copied; checked at a press of the button."""
    log, key = Log.objects.first(), _key()
    report, too_many = None, False
    if request.method == "POST" and key:
        try:
            report = check_trail_now(key)
        except TooMany:
            too_many = True
        record("event.trail_checked", counts={"fault": len(report.faults)} if report else None)
    checkpoints = list_checkpoints(after=None, limit=SHOWN)
    return show(
        request, "trail.html", title="Audit proof", log=log, key=key, report=report, too_many=too_many,
        most=MOST_EVENTS, checkpoints=checkpoints, latest=checkpoints[0] if checkpoints else None,
        n_waiting=_n_waiting(log), places=copy_places(),
    )  # fmt: skip


@page("audit-proof/export", name="trail_export", roles=ROLES)
def trail_export(request: HttpRequest) -> HttpResponseBase:
    """Download everything that is needed to check the trail elsewhere."""
    tenant_id, key = current_tenant_id(), _key()
    if not key:
        return to("trail")
    record("event.exported")
    content = archive(tenant_id=tenant_id, key=key)
    name = f"audit-{public_id('tenant', tenant_id)}.zip"
    headers = {
        "Content-Type": "application/zip",
        "Content-Disposition": f'attachment; filename="{name}"',
    }
    return streamed(request, content, headers=headers)


def _key() -> str:
    try:
        return trail_signer().key
    except KeyUnavailable:
        return ""


def _n_waiting(log: Log | None) -> int:
    return AuditEvent.objects.count() - (log.size if log else 0)
