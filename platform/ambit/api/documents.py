"""Documents: upload, list, show, share, retry, delete."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from ambit.access import documents as access
from ambit.access.clearance import clearance_for
from ambit.access.queries import document_grants
from ambit.api.bodies import StrictFormParser, StrictJsonParser, checked
from ambit.api.document_shapes import (
    DocumentOutput,
    DocumentPage,
    DocumentQuery,
    DocumentsQuery,
    FileInput,
    TextInput,
    read_subjects,
)
from ambit.api.filters import read_filters
from ambit.api.pagination import page_of
from ambit.api.permissions import Policy, RoleMissing
from ambit.api.principals import GrantOutput, GrantsOrNoneInput, resolve_grants, shown_grants
from ambit.api.shapes import Output, paged
from ambit.api.uploads import pieces
from ambit.api.views import AmbitView, located
from ambit.corpus import queries
from ambit.corpus.types import DocumentView as Document
from ambit.corpus.types import Upload
from tenants.audit import record
from tenants.ids import public_id

READS = Policy("documents:read")
WRITES = Policy("documents:write")
TEXT_FILE_NAME = "text.txt"


class DocumentBase(AmbitView):
    """What the views of documents share."""

    def as_custodian(self, asked: dict[str, Any]) -> bool:
        """Say whether records are asked for as administrator; raise RoleMissing for others."""
        if asked["as"] != "custodian":
            return False
        if self.caller is None or self.caller.role != "admin":
            raise RoleMissing(frozenset({"admin"}))
        return True

    def one(self, document_id: UUID) -> Document:
        """Return a document the member may see; raise DocumentNotFound."""
        clearance = clearance_for(member_id=self.acting_member())
        return queries.get_document(document_id=document_id, clearance=clearance)

    def accepted(self, document_id: UUID, *, status: int = 202) -> Response:
        """Answer a document whose work goes on, with its address."""
        body = DocumentOutput(self.one(document_id)).data
        return located(body, f"/v1/documents/{public_id('document', document_id)}", status=status)


class DocumentsView(DocumentBase):
    """All documents the member may see."""

    policies = {"GET": READS, "POST": WRITES}
    makes = "document"
    parser_classes = [StrictJsonParser, StrictFormParser]

    @extend_schema(parameters=[DocumentsQuery], responses=DocumentPage)
    def get(self, request: Request) -> Response:
        """List documents; administrators may ask for every record with as=custodian."""
        asked = self.query(DocumentsQuery)
        within = [asked["collection"]] if "collection" in asked else None
        filters = read_filters(asked, collection_ids=within)

        def read(after: UUID | None, limit: int) -> list[Document]:
            if self.as_custodian(asked):
                return queries.list_documents_as_custodian(
                    after=after, limit=limit, filters=filters, state=asked.get("state")
                )
            clearance = clearance_for(member_id=self.acting_member())
            return queries.list_documents(
                clearance=clearance, after=after, limit=limit, filters=filters
            )

        page = page_of(read, cursor=asked.get("cursor"), limit=asked["limit"], id_of=lambda d: d.id)
        record("document.listed", document_ids=[d.id for d in page.items])
        return Response(paged(page, DocumentOutput))

    @extend_schema(
        request={"multipart/form-data": FileInput, "application/json": TextInput},
        responses={202: DocumentOutput},
    )
    def post(self, request: Request) -> Response:
        """Upload a document; poll its address until it is `ready` or `failed`."""
        shape = FileInput if _is_form(request) else TextInput
        return self.created(
            [upload_one(checked(shape, request.data), member_id=self.acting_member())], status=202
        )

    def show(self, object_ids: Sequence[UUID], *, status: int) -> Response:
        """Render the document made."""
        return self.accepted(object_ids[0], status=status)


class DocumentView(DocumentBase):
    """One document."""

    policies = {"GET": READS, "DELETE": WRITES}

    @extend_schema(parameters=[DocumentQuery], responses=DocumentOutput)
    def get(self, request: Request, id: str) -> Response:
        """Show a document, its state and, where it failed, the reason."""
        document_id = self.id_in_path("document")
        if self.as_custodian(self.query(DocumentQuery)):
            document = queries.get_document_as_custodian(document_id=document_id)
        else:
            document = self.one(document_id)
        record("document.read", object_id=document_id, document_ids=[document_id])
        return Response(DocumentOutput(document).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, id: str) -> Response:
        """Delete a document: nothing finds it from now on, and its content is destroyed."""
        clearance = clearance_for(member_id=self.acting_member())
        access.delete_document(clearance=clearance, document_id=self.id_in_path("document"))
        return Response(status=204)


class DocumentGrantsOutput(Output):
    """A document's own grants; null where its collection's apply."""

    grants = GrantOutput(many=True, allow_null=True)


class DocumentGrantsView(DocumentBase):
    """Who may do what with one document."""

    policies = {"PUT": WRITES}

    @extend_schema(request=GrantsOrNoneInput, responses=DocumentGrantsOutput)
    def put(self, request: Request, id: str) -> Response:
        """Give a document grants of its own, or with null its collection's again; for owners."""
        document_id = self.id_in_path("document")
        asked = self.body(GrantsOrNoneInput)["grants"]
        clearance = clearance_for(member_id=self.acting_member())
        access.require_owner(clearance=clearance, document_id=document_id)
        grants = None if asked is None else resolve_grants(asked)
        access.set_document_grants(clearance=clearance, document_id=document_id, grants=grants)
        shown = None if grants is None else shown_grants(document_grants(document_id=document_id))
        return Response({"grants": shown})


class RetryView(DocumentBase):
    """Another try of a failed document."""

    policies = {"POST": WRITES}
    makes = "document"

    @extend_schema(request=None, responses={202: DocumentOutput})
    def post(self, request: Request, id: str) -> Response:
        """Try a failed document again."""
        document_id = self.id_in_path("document")
        clearance = clearance_for(member_id=self.acting_member())
        access.retry_document(clearance=clearance, document_id=document_id)
        return self.created([document_id], status=202)

    def show(self, object_ids: Sequence[UUID], *, status: int) -> Response:
        """Render the document retried."""
        return self.accepted(object_ids[0], status=status)


def upload_one(fields: dict[str, Any], *, member_id: UUID) -> UUID:
    """Store one document for a member; raises what ambit.access.documents.upload_document does."""
    file = fields.get("file")
    if file is None:
        name, media_type = TEXT_FILE_NAME, "text/plain"
        chunks: Iterable[bytes] = [fields["text"].encode()]
    else:
        name, media_type, chunks = file.name, file.content_type or "", pieces(file)
    grants = fields["grants"]
    clearance = clearance_for(member_id=member_id)
    # Before any name in the body is looked up: who may not write here learns of nobody.
    access.require_editor(clearance=clearance, collection_id=fields["collection"])
    return access.upload_document(
        clearance=clearance,
        collection_id=fields["collection"],
        upload=Upload(
            title=fields.get("title") or PurePath(name).stem or name,
            file_name=name,
            media_type=media_type,
            chunks=chunks,
            language=fields["language"],
            external_id=fields["external_id"],
            metadata=fields["metadata"],
            subjects=read_subjects(fields["subjects"]),
            created_by_id=member_id,
        ),
        grants=None if grants is None else resolve_grants(grants),
    )


def _is_form(request: Request) -> bool:
    return str(request.content_type or "").startswith("multipart/")
