"""A document's content: the original or its text out, new content in."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any
from uuid import UUID

from django.http import StreamingHttpResponse
from django.utils.http import content_disposition_header
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from ambit.access import documents as access
from ambit.access.clearance import clearance_for
from ambit.api.bodies import RawParser, StrictFormParser, StrictJsonParser, checked
from ambit.api.document_shapes import (
    ContentFileInput,
    ContentQuery,
    ContentTextInput,
    DocumentOutput,
)
from ambit.api.documents import READS, TEXT_FILE_NAME, WRITES, DocumentBase
from ambit.api.uploads import pieces
from ambit.corpus import queries
from ambit.corpus.queries import ContentNotReady
from ambit.corpus.types import MEDIA_TYPE, Upload
from ambit.corpus.types import DocumentView as Document
from ambit.files.streaming import begun, streamed
from tenants.audit import record

_ANY = "application/octet-stream"


class ContentView(DocumentBase):
    """A document's content."""

    policies = {"GET": READS, "PUT": WRITES}
    parser_classes = [StrictJsonParser, StrictFormParser, RawParser]

    @extend_schema(
        parameters=[ContentQuery],
        responses={(200, _ANY): OpenApiTypes.BINARY, (200, "text/plain"): OpenApiTypes.STR},
    )
    def get(self, request: Request, id: str) -> StreamingHttpResponse:
        """Download the current version's original, or the text that citations count in."""
        asked = self.query(ContentQuery)
        kind, document_id = asked["as"], self.id_in_path("document")
        clearance = clearance_for(member_id=self.acting_member())
        current = queries.get_document(document_id=document_id, clearance=clearance).current
        if current is None or asked.get("version", current.number) != current.number:
            raise ContentNotReady(document_id)
        document, content = queries.read_content(
            document_id=document_id, clearance=clearance, kind=kind
        )
        with begun(content) as pieces:
            record("content.read", object_id=document.id, document_ids=[document.id])
        return streamed(
            request._request,  # noqa: SLF001 - DRF's wrapper
            pieces,
            headers=_headers(document, kind, current.media_type, current.n_bytes),
        )

    @extend_schema(
        request={
            _ANY: OpenApiTypes.BINARY,
            "multipart/form-data": ContentFileInput,
            "application/json": ContentTextInput,
        },
        responses={202: DocumentOutput},
    )
    def put(self, request: Request, id: str) -> Response:
        """Replace the content; what is found stays the old version until the new one is ready."""
        document_id = self.id_in_path("document")
        document = self.one(document_id)
        access.replace_content(
            clearance=clearance_for(member_id=self.acting_member()),
            document_id=document_id,
            upload=_upload(request, document, member_id=self.acting_member()),
        )
        return self.accepted(document_id)


def _upload(request: Request, document: Document, *, member_id: UUID) -> Upload:
    given = str(request.content_type or "").partition(";")[0].strip().lower()
    data: Any = request.data
    language = None
    if given == "application/json":
        fields = checked(ContentTextInput, data)
        text, language = fields["text"], fields["language"]
        name, media_type, chunks = TEXT_FILE_NAME, "text/plain", iter([text.encode()])
    elif given.startswith("multipart/"):
        fields = checked(ContentFileInput, data)
        file, language = fields["file"], fields["language"]
        name, media_type, chunks = file.name, file.content_type or "", pieces(file)
    else:
        name, media_type = document.file_name, given
        # An empty body reaches the parser as no stream at all.
        chunks = pieces(data) if hasattr(data, "read") else iter([])
    return Upload(
        title=document.title,
        file_name=name,
        media_type=media_type,
        chunks=chunks,
        language=language,
        created_by_id=member_id,
    )


def _headers(document: Document, kind: str, media_type: str, n_bytes: int) -> dict[str, str]:
    name = document.file_name or "document"
    headers = {
        # Never rendered by a browser: what is inside may be anything.
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
    if kind == "text":
        name = f"{PurePath(name).stem}.txt"
        headers["Content-Type"] = "text/plain; charset=utf-8"
    else:
        headers["Content-Type"] = media_type if MEDIA_TYPE.fullmatch(media_type) else _ANY
        headers["Content-Length"] = str(n_bytes)
    disposition = content_disposition_header(as_attachment=True, filename=name)
    return headers | {"Content-Disposition": disposition or "attachment"}
