"""Exports: ask for everything about a person, follow, and fetch the archive while its days last."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse

from ambit.admin.forms import PlainForm
from ambit.admin.named import KINDS, NotUnderstood, read_named
from ambit.admin.page import MISSING, page, show, to
from ambit.admin.people import members_by_id
from ambit.erasure.exports import reason_of, request_export
from ambit.erasure.subjects import NothingNamed
from ambit.export.queries import (
    ExportNotFound,
    ExportNotReady,
    ExportOver,
    download_headers,
    get_export,
    list_exports,
    read_archive,
)
from ambit.export.types import ExportView
from ambit.files.streaming import begun, streamed
from tenants.audit import record
from tenants.holdings import SubjectAmbiguous
from tenants.ids import parse_id, public_id
from tenants.models import Member

MISSING.extend([ExportNotFound, ExportNotReady, ExportOver])
ROLES: Final = ("privacy_officer",)
PER_PAGE = 50
PEOPLE = tuple((kind, words) for kind, words in KINDS if kind != "documents")
ENDS = {
    "time": "Its days are over: the archive and its key are destroyed.",
    "erasure": "Something in it was erased or deleted: the archive and its key are destroyed. Ask for a new one "
    "if it is still needed.",
    "ambiguous": "The identifier names more than one member by now. Ask again with the member id.",
    "changing": "Something in it was deleted or erased each time it was made. Ask again once that is over.",
    "unreadable": "It could not be made after many tries. The operator’s log says why; ask again then.",
}


class ExportForm(PlainForm):
    """Asks whose data, why, and what becomes of documents about others too."""

    kind = forms.ChoiceField(label="Whose data", choices=PEOPLE, initial="email")
    value = forms.CharField(
        label="Identifier",
        max_length=320,
        widget=forms.TextInput(attrs={"spellcheck": "false", "autocomplete": "off"}),
        help_text="The e-mail address, the external id, or for a member also the member id.",
    )
    reason = forms.CharField(
        label="Reason",
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="Such as “Art. 15 request of 3 May, identity checked, ticket 4711”. Kept encrypted; the person’s "
        "identifiers are taken out of it.",
    )
    include_shared = forms.BooleanField(
        label="Also give out the files of documents that are about other people too",
        required=False,
        help_text="Only after you weighed the others’ rights (Art. 15(4) GDPR). Without it such documents are listed, "
        "and their files and answers left out.",
    )


@page("exports/", name="exports", roles=ROLES)
def exports(request: HttpRequest) -> HttpResponseBase:
    """List exports, newest first."""
    after = parse_id("export", request.GET.get("after", ""))
    found = list_exports(after=after, limit=PER_PAGE + 1)
    shown = found[:PER_PAGE]
    return show(
        request, "exports.html", title="Exports", newest=bool(after), days=settings.AMBIT_EXPORT_DAYS,
        lines=[(one, reason_of(one)) for one in shown], requesters=_requesters(shown),
        older=public_id("export", shown[-1].id) if len(found) > PER_PAGE else "",
    )  # fmt: skip


@page("exports/new/", name="export_new", roles=ROLES, methods=("GET", "POST"))
def export_new(request: HttpRequest) -> HttpResponseBase:
    """Ask for a person's archive."""
    bound = request.method == "POST"
    form = ExportForm(request.POST if bound else None)
    if form.is_valid():
        try:
            made = _request(form.cleaned_data)
        except NotUnderstood as error:
            form.refuse("value", error.sentence)
        else:
            messages.success(request, "The archive is being made. You can leave this page.")
            return to("export", export_id=made.id)
    return show(
        request, "form.html", title="Export a person’s data", form=form, submit="Make the archive",
        trail=[("Exports", reverse("admin:exports"))], cancel=reverse("admin:exports"), refused=bound,
        intro="Everything that is here of one person, as JSON and files, and nothing of anyone else: for the person’s "
        f"request for access (Art. 15 GDPR). It is sealed and destroyed after {settings.AMBIT_EXPORT_DAYS} days. "
        "Make sure first that it is the person who asks.",
    )  # fmt: skip


@page("exports/<ambit_export:export_id>/", name="export", roles=ROLES)
def export(request: HttpRequest, export_id: UUID) -> HttpResponseBase:
    """Show an export."""
    found = get_export(export_id=export_id)
    return show(
        request, "export.html", title=f"Export {public_id('export', export_id)[:4]}…{export_id.hex[-6:]}",
        trail=[("Exports", reverse("admin:exports"))], reason=reason_of(found),
        requesters=_requesters([found]), **_state(found),
    )  # fmt: skip


@page("exports/<ambit_export:export_id>/state/", name="export_state", roles=ROLES)
def export_state(request: HttpRequest, export_id: UUID) -> HttpResponseBase:
    """Return the part of the page that changes while the archive is made."""
    found = get_export(export_id=export_id)
    return TemplateResponse(request, "ambit_admin/parts/export_state.html", _state(found))


@page("exports/<ambit_export:export_id>/file", name="export_file", roles=ROLES)
def export_file(request: HttpRequest, export_id: UUID) -> HttpResponseBase:
    """Hand out the archive; one that is not ready or over has no such page."""
    found, content = read_archive(export_id=export_id)
    with begun(content) as pieces:
        record("export.downloaded", object_id=export_id)
    return streamed(request, pieces, headers=download_headers(found))


def _state(found: ExportView) -> dict[str, Any]:
    return {
        "found": found,
        "final": found.state != "received",
        "ended": ENDS.get(found.ended_because, ""),
    }


def _request(values: dict[str, Any]) -> ExportView:
    asked = read_named(values["kind"], values["value"].strip())
    try:
        return request_export(
            subject=asked.subject, reason=values["reason"], include_shared=values["include_shared"]
        )
    except SubjectAmbiguous as error:
        raise NotUnderstood(
            "This names more than one member. Use the member id. Nothing was made."
        ) from error
    except NothingNamed as error:
        raise NotUnderstood("Name a person. Nothing was made.") from error


def _requesters(found: list[ExportView]) -> dict[UUID, Member]:
    return members_by_id(one.requested_by_id for one in found)
