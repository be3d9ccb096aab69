"""Holds and restrictions: what is kept and read by nobody."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from ambit.api.bodies import Choice, Input, PublicId, Text
from ambit.api.document_shapes import SubjectShape
from ambit.api.erasures import MAX_DOCUMENTS, OFFICERS, read_subject
from ambit.api.pagination import page_of
from ambit.api.shapes import Output, PageQuery, page_shape, paged
from ambit.api.views import AmbitView, located
from ambit.erasure import restrictions
from tenants.ids import public_id


class RestrictionInput(Input):
    """Whose or which documents: `subject` or `documents`, never both, never neither."""

    subject = SubjectShape(required=False)
    documents = serializers.ListField(
        child=PublicId("document"), required=False, max_length=MAX_DOCUMENTS
    )
    reason = Text(max_length=2000, help_text="Kept sealed, without the person's identifiers.")


class HoldInput(RestrictionInput):
    """What to keep, on which legal basis, and when a person looks again."""

    basis = Choice(
        tuple(restrictions.BASES),
        help_text="; ".join(f"{letter}: {words}" for letter, words in restrictions.BASES.items())
        + " (Art. 17(3) GDPR).",
    )
    review_at = serializers.DateTimeField(help_text="In the future.")


class RestrictionOutput(Output):
    """A restriction."""

    id = PublicId("restriction")
    subject_type = serializers.CharField()
    documents = serializers.ListField(child=PublicId("document"), source="document_ids")
    reason = serializers.CharField()
    placed_at = serializers.DateTimeField()
    lifted_at = serializers.DateTimeField(allow_null=True)


class HoldOutput(Output):
    """A hold."""

    id = PublicId("hold")
    basis = serializers.CharField(help_text="A letter of Art. 17(3) GDPR.")
    subject_type = serializers.CharField()
    documents = serializers.ListField(child=PublicId("document"), source="document_ids")
    members = serializers.ListField(child=PublicId("member"), source="member_ids")
    reason = serializers.CharField()
    placed_at = serializers.DateTimeField()
    review_at = serializers.DateTimeField()
    released_at = serializers.DateTimeField(source="lifted_at", allow_null=True)


HoldPage = page_shape("HoldPage", HoldOutput(many=True))
RestrictionPage = page_shape("RestrictionPage", RestrictionOutput(many=True))


class OfOneKind(AmbitView):
    """What holds and restrictions have in common."""

    kind: ClassVar[restrictions.Kind]
    output: ClassVar[type[Output]]

    def show(self, object_ids: Sequence[UUID], *, status: int) -> Response:
        """Render what was placed."""
        found = restrictions.get_restriction(kind=self.kind, restriction_id=object_ids[0])
        path = f"/v1/{self.kind}s/{public_id(self.kind, found.id)}"
        return located(self.output(found).data, path, status=status)

    def listed(self) -> Response:
        """Render one page of all."""
        asked = self.query(PageQuery)
        page = page_of(
            lambda after, limit: restrictions.list_restrictions(
                kind=self.kind, after=after, limit=limit
            ),
            cursor=asked.get("cursor"),
            limit=asked["limit"],
            id_of=lambda one: one.id,
        )
        return Response(paged(page, self.output))

    def one(self) -> Response:
        """Render the one of the path."""
        found = restrictions.get_restriction(
            kind=self.kind, restriction_id=self.id_in_path(self.kind)
        )
        return Response(self.output(found).data)

    def lifted(self) -> Response:
        """End the one of the path and render it."""
        found = restrictions.lift(kind=self.kind, restriction_id=self.id_in_path(self.kind))
        return Response(self.output(found).data)


class HoldsView(OfOneKind):
    """All holds."""

    policies = {"GET": OFFICERS, "POST": OFFICERS}
    makes = "hold"
    kind = "hold"
    output = HoldOutput

    @extend_schema(parameters=[PageQuery], responses=HoldPage)
    def get(self, request: Request) -> Response:
        """List the tenant's holds, the released ones too."""
        return self.listed()

    @extend_schema(request=HoldInput, responses={201: HoldOutput})
    def post(self, request: Request) -> Response:
        """Hold: read by nobody from this answer on, and kept against every erasure until released.

        With `subject` the member and the documents that declare the person now; documents that come later are not held.
        """
        asked = self.body(HoldInput)
        made = restrictions.place_hold(
            **_named(asked), basis=asked["basis"], review_at=asked["review_at"]
        )
        return self.created([made.id])


class HoldView(OfOneKind):
    """One hold."""

    policies = {"GET": OFFICERS}
    kind = "hold"
    output = HoldOutput

    @extend_schema(responses=HoldOutput)
    def get(self, request: Request, id: str) -> Response:
        """Show a hold."""
        return self.one()


class ReleaseView(OfOneKind):
    """The release of one hold."""

    policies = {"POST": OFFICERS}
    kind = "hold"
    output = HoldOutput

    @extend_schema(request=None, responses=HoldOutput)
    def post(self, request: Request, id: str) -> Response:
        """Release a hold: what an erasure covers is destroyed now, the rest comes back to its readers."""
        return self.lifted()


class RestrictionsView(OfOneKind):
    """All restrictions."""

    policies = {"GET": OFFICERS, "POST": OFFICERS}
    makes = "restriction"
    kind = "restriction"
    output = RestrictionOutput

    @extend_schema(parameters=[PageQuery], responses=RestrictionPage)
    def get(self, request: Request) -> Response:
        """List the tenant's restrictions, the lifted ones too."""
        return self.listed()

    @extend_schema(request=RestrictionInput, responses={201: RestrictionOutput})
    def post(self, request: Request) -> Response:
        """Restrict (Art. 18 GDPR): read by nobody from this answer on, and not destroyed.

        It does not stand against an erasure; a hold does.
        """
        made = restrictions.place_restriction(**_named(self.body(RestrictionInput)))
        return self.created([made.id])


class RestrictionView(OfOneKind):
    """One restriction."""

    policies = {"GET": OFFICERS}
    kind = "restriction"
    output = RestrictionOutput

    @extend_schema(responses=RestrictionOutput)
    def get(self, request: Request, id: str) -> Response:
        """Show a restriction."""
        return self.one()


class LiftView(OfOneKind):
    """The end of one restriction."""

    policies = {"POST": OFFICERS}
    kind = "restriction"
    output = RestrictionOutput

    @extend_schema(request=None, responses=RestrictionOutput)
    def post(self, request: Request, id: str) -> Response:
        """Lift a restriction: what nothing else hides comes back to its readers."""
        return self.lifted()


def _named(asked: dict[str, Any]) -> dict[str, Any]:
    return {
        "subject": read_subject(asked.get("subject")),
        "document_ids": asked.get("documents"),
        "reason": asked["reason"],
    }
