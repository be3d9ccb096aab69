"""Exports: everything about a person in one archive (Art. 15 and 20 GDPR), for some days."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from ambit.api.bodies import Input, PublicId, Text
from ambit.api.document_shapes import SubjectShape
from ambit.api.erasures import read_subject
from ambit.api.pagination import page_of
from ambit.api.permissions import Policy
from ambit.api.shapes import Output, PageQuery, page_shape, paged
from ambit.api.views import AmbitView, located
from ambit.erasure.exports import reason_of, request_export
from ambit.export import queries
from ambit.export.types import ExportView as Export
from ambit.files.streaming import begun, streamed
from tenants.audit import record
from tenants.ids import public_id

OFFICERS = Policy("exports", roles=frozenset({"privacy_officer"}), needs_member=False)
_ZIP = "application/zip"


class ExportInput(Input):
    """Whose data, and why."""

    subject = SubjectShape()
    reason = Text(max_length=2000, help_text="Kept sealed, without the person's identifiers.")
    include_shared = serializers.BooleanField(
        required=False,
        default=False,
        help_text="`true`: an officer decided that the files of documents that are about others too are given out"
        " whole (Art. 15(4) GDPR).",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse a truth value that is spelled as something else, where it decides about others' data."""
        given = self.initial_data.get("include_shared", False)
        if given is not True and given is not False:
            words = ErrorDetail("Send true or false.", code="invalid")
            raise ValidationError({"include_shared": [words]})
        return attrs


class ExportOutput(Output):
    """An export."""

    id = PublicId("export")
    state = serializers.CharField(help_text="received, ready, expired or failed.")
    subject_type = serializers.CharField()
    subject_hash = serializers.CharField()
    include_shared = serializers.BooleanField()
    reason = serializers.SerializerMethodField()
    received_at = serializers.DateTimeField()
    ready_at = serializers.DateTimeField(allow_null=True)
    expires_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)
    ended_because = serializers.CharField(
        allow_blank=True,
        help_text="time; erasure: something in it was erased or deleted; ambiguous: the identifier names several by"
        " now; changing: what is in it was deleted or erased again and again while it was made; unreadable: it could"
        " not be made.",
    )
    progress = serializers.FloatField(help_text="0 to 1.")
    n_documents = serializers.IntegerField()
    n_originals = serializers.IntegerField(help_text="Files of documents that go in.")
    n_left_out = serializers.IntegerField(
        help_text="Documents whose files are left out because they are about others too."
    )
    n_bytes = serializers.IntegerField(allow_null=True)

    def get_reason(self, export: Export) -> str:
        """Return why it was asked for."""
        return reason_of(export)


ExportPage = page_shape("ExportPage", ExportOutput(many=True))


class ExportsView(AmbitView):
    """All exports."""

    reads = "export.listed"
    policies = {"GET": OFFICERS, "POST": OFFICERS}
    makes = "export"

    @extend_schema(parameters=[PageQuery], responses=ExportPage)
    def get(self, request: Request) -> Response:
        """List the tenant's exports, the expired ones too."""
        asked = self.query(PageQuery)
        page = page_of(
            lambda after, limit: queries.list_exports(after=after, limit=limit),
            cursor=asked.get("cursor"),
            limit=asked["limit"],
            id_of=lambda one: one.id,
        )
        return Response(paged(page, ExportOutput))

    @extend_schema(request=ExportInput, responses={202: ExportOutput})
    def post(self, request: Request) -> Response:
        """Have the workers put together everything about a person, and nothing about anyone else."""
        asked = self.body(ExportInput)
        made = request_export(
            subject=read_subject(asked["subject"]),
            reason=asked["reason"],
            include_shared=asked["include_shared"],
        )
        return self.created([made.id], status=202)

    def show(self, object_ids: Sequence[UUID], *, status: int) -> Response:
        """Render the export asked for."""
        found = queries.get_export(export_id=object_ids[0])
        path = f"/v1/exports/{public_id('export', found.id)}"
        return located(ExportOutput(found).data, path, status=status)


class ExportView(AmbitView):
    """One export."""

    reads = "export.read"
    policies = {"GET": OFFICERS}

    @extend_schema(responses=ExportOutput)
    def get(self, request: Request, id: str) -> Response:
        """Show an export and how far it has come."""
        found = queries.get_export(export_id=self.id_in_path("export"))
        return Response(ExportOutput(found).data)


class ExportFileView(AmbitView):
    """The archive of one export."""

    policies = {"GET": OFFICERS}

    @extend_schema(responses={(200, _ZIP): OpenApiTypes.BINARY})
    def get(self, request: Request, id: str) -> StreamingHttpResponse:
        """Download the archive: what there is about the person as JSON, and the documents' files."""
        found, content = queries.read_archive(export_id=self.id_in_path("export"))
        with begun(content) as pieces:
            record("export.downloaded", object_id=found.id)
        headers = queries.download_headers(found)
        return streamed(request._request, pieces, headers=headers)  # noqa: SLF001 - DRF's wrapper
