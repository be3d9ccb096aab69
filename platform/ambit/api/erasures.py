"""Erasures: a person or documents are forgotten, and a receipt says what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from ambit.api.bodies import Choice, Input, PublicId, Text, Whole
from ambit.api.document_shapes import AsQuery, SubjectShape
from ambit.api.pagination import page_of
from ambit.api.permissions import Policy
from ambit.api.shapes import Output, PageQuery, page_shape, paged
from ambit.api.views import AmbitView, located
from ambit.corpus.types import SubjectRef
from ambit.erasure import clock, queries, services
from ambit.erasure.printed import print_receipt
from ambit.erasure.types import ErasureView as Erasure
from tenants.ids import NO_ID, parse_id, public_id

OFFICERS = Policy("erasures", roles=frozenset({"privacy_officer", "admin"}), needs_member=False)
MAX_DOCUMENTS = 10_000
_PDF = "application/pdf"


class ErasureInput(Input):
    """Whom or what to forget: `subject` or `documents`, never both, never neither.

    `also_documents` goes with a `subject`: documents that do not declare it and that a person confirmed.
    """

    subject = SubjectShape(required=False)
    documents = serializers.ListField(
        child=PublicId("document"), required=False, max_length=MAX_DOCUMENTS
    )
    also_documents = serializers.ListField(
        child=PublicId("document"),
        required=False,
        max_length=MAX_DOCUMENTS,
        help_text="Beside a subject: documents of POST …/candidates that a person confirmed to be about it.",
    )
    reason = Text(max_length=2000, help_text="Kept sealed, without the person's identifiers.")
    dry_run = serializers.BooleanField(
        required=False, default=False, help_text="Count what would go; hide and keep nothing."
    )

    identity = Choice(
        ("verified", "pending"),
        required=False,
        default="verified",
        help_text="`pending`: nothing is hidden, and the clock stands, until POST …/identity.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse a truth value that is spelled as something else, where it decides about destruction."""
        _require_truth(self, "dry_run", one_of=(True, False))
        return attrs


class IdentityInput(Input):
    """The outcome of an identity check that ended well; one that did not is a refusal."""

    verified = serializers.BooleanField(help_text="`true`; otherwise POST …/refusal.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Take nothing but `true`: it decides about destruction."""
        _require_truth(self, "verified", one_of=(True,))
        return attrs


class ReasonInput(Input):
    """Why, in writing."""

    reason = Text(max_length=2000, help_text="Kept sealed, without the person's identifiers.")


class ReceiptQuery(AsQuery):
    """Which receipt of the case, and in which form: JSON, or a PDF made from what was signed."""

    roles = ("json", "pdf")

    serial = Whole(required=False, min_value=1, help_text="From 1; the newest by default.")


class StateOutput(Output):
    """When a case reached a state."""

    state = serializers.CharField()
    at = serializers.DateTimeField()


class HoldingOutput(Output):
    """What one place holds of the case."""

    name = serializers.CharField()
    title = serializers.CharField()
    found = serializers.IntegerField()
    destroyed = serializers.IntegerField()
    remaining = serializers.IntegerField(allow_null=True, help_text="null: not verified yet.")


class HeldOutput(Output):
    """What is kept under holds of one legal basis."""

    basis = serializers.CharField(help_text="A letter of Art. 17(3) GDPR.")
    documents = serializers.IntegerField(source="n_documents")
    members = serializers.IntegerField(source="n_members")


class StaysOutput(Output):
    """What would be left, and why."""

    what = serializers.CharField()
    n = serializers.IntegerField(allow_null=True, help_text="null: not counted.")
    why = serializers.CharField()


class ErasureOutput(Output):
    """A case; a dry run has no id."""

    id = PublicId("erasure", allow_null=True)
    state = serializers.CharField()
    dry_run = serializers.BooleanField()
    subject_type = serializers.CharField(
        help_text="email, external_id, member, documents, or retention: it was older than the tenant keeps it."
    )
    subject_hash = serializers.CharField(allow_null=True)
    reason = serializers.CharField()
    received_at = serializers.DateTimeField()
    clock = serializers.CharField(
        help_text="running, stopped while the identity check runs, none where nobody asked, or ended."
    )
    due_at = serializers.DateTimeField(
        allow_null=True,
        help_text="One calendar month from receipt in UTC, three once extended, and as much later as the identity"
        " check took (Art. 12(3), (6) GDPR); null while that runs, and where nobody asked.",
    )
    extended_at = serializers.DateTimeField(allow_null=True)
    extension_reason = serializers.CharField(allow_blank=True)
    refusal_reason = serializers.CharField(allow_blank=True)
    states = StateOutput(many=True)
    complete = serializers.BooleanField()
    attempts = serializers.IntegerField()
    counts = serializers.DictField(child=serializers.IntegerField())
    held = HeldOutput(many=True, help_text="What is under a hold now, and left until its release.")
    waits_for = serializers.CharField(
        allow_blank=True,
        help_text="Why the case has to wait, for instance for its scrub or the tenant's keys; empty: it does not.",
    )
    repeats = PublicId(
        "erasure",
        allow_null=True,
        help_text="The erasure that this one carries out again, because a backup of before it was restored.",
    )
    also_open = serializers.ListField(
        child=PublicId("erasure"),
        help_text="Other open erasures of the same person. Each request has a case, a clock and a receipt of its own;"
        " what another one hid already is covered by both.",
    )
    goes = serializers.DictField(
        child=serializers.IntegerField(), help_text="Of a dry run: how many things would go."
    )
    stays = StaysOutput(many=True, help_text="Of a dry run: what would be left, and why.")
    holdings = HoldingOutput(many=True)
    n_shared_documents = serializers.IntegerField(
        help_text="Of the documents, those that are about other people too."
    )
    n_confirmed_documents = serializers.IntegerField(
        help_text="Of the documents, those that do not declare the subject: a person confirmed them."
    )


ErasurePage = page_shape("ErasurePage", ErasureOutput(many=True))


class ErasuresView(AmbitView):
    """All cases."""

    reads = "erasure.listed"
    policies = {"GET": OFFICERS, "POST": OFFICERS}
    makes = "erasure"

    @extend_schema(parameters=[PageQuery], responses=ErasurePage)
    def get(self, request: Request) -> Response:
        """List the tenant's erasures."""
        asked = self.query(PageQuery)
        page = page_of(
            lambda after, limit: queries.list_erasures(after=after, limit=limit),
            cursor=asked.get("cursor"),
            limit=asked["limit"],
            id_of=lambda case: case.id or NO_ID,
        )
        return Response(paged(page, ErasureOutput))

    @extend_schema(request=ErasureInput, responses={202: ErasureOutput, 200: ErasureOutput})
    def post(self, request: Request) -> Response:
        """Erase: hidden from every reader with this answer, destroyed and verified by the workers.

        With `identity: pending` the erasure is received, and nothing is hidden before POST …/identity.
        """
        asked = self.body(ErasureInput)
        case = services.request_erasure(
            subject=read_subject(asked.get("subject")),
            document_ids=asked.get("documents"),
            also_document_ids=asked.get("also_documents"),
            reason=asked["reason"],
            dry_run=asked["dry_run"],
            identity=asked["identity"],
        )
        if case.id is None:
            return Response(ErasureOutput(case).data, status=200)
        self.made = (case.id,)
        return _accepted(case, status=202)

    def show(self, object_ids: Sequence[UUID], *, status: int) -> Response:
        """Render the case opened."""
        return _accepted(queries.get_erasure(erasure_id=object_ids[0]), status=status)


class ErasureView(AmbitView):
    """One case."""

    reads = "erasure.read"
    policies = {"GET": OFFICERS}

    @extend_schema(responses=ErasureOutput)
    def get(self, request: Request, id: str) -> Response:
        """Show an erasure and how far it has come."""
        case = queries.get_erasure(erasure_id=self.id_in_path("erasure"))
        return Response(ErasureOutput(case).data)


class IdentityView(AmbitView):
    """The identity check of one case."""

    policies = {"POST": OFFICERS}

    @extend_schema(request=IdentityInput, responses=ErasureOutput)
    def post(self, request: Request, id: str) -> Response:
        """Say that the person is who they say: what is there of them now is hidden, and the clock runs."""
        self.body(IdentityInput)
        case = services.verify_identity(erasure_id=self.id_in_path("erasure"))
        return Response(ErasureOutput(case).data)


class RefusalView(AmbitView):
    """The refusal of one case."""

    policies = {"POST": OFFICERS}

    @extend_schema(request=ReasonInput, responses=ErasureOutput)
    def post(self, request: Request, id: str) -> Response:
        """Refuse an erasure of which nothing has been hidden; its receipt says so."""
        asked = self.body(ReasonInput)
        case = services.refuse_erasure(
            erasure_id=self.id_in_path("erasure"), reason=asked["reason"]
        )
        return Response(ErasureOutput(case).data)


class ExtensionView(AmbitView):
    """The extension of one case."""

    policies = {"POST": OFFICERS}

    @extend_schema(request=ReasonInput, responses=ErasureOutput)
    def post(self, request: Request, id: str) -> Response:
        """Take two further months, once and inside the first month."""
        asked = self.body(ReasonInput)
        case = clock.extend_erasure(erasure_id=self.id_in_path("erasure"), reason=asked["reason"])
        return Response(ErasureOutput(case).data)


class ReceiptView(AmbitView):
    """The receipt of one case."""

    reads = "erasure.receipt_read"
    policies = {"GET": OFFICERS}

    @extend_schema(
        parameters=[ReceiptQuery],
        responses={
            (200, "application/json"): OpenApiTypes.OBJECT,
            (200, _PDF): OpenApiTypes.BINARY,
        },
    )
    def get(self, request: Request, id: str) -> HttpResponseBase:
        """Show what was found, destroyed and verified, holding by holding, and what is not yet gone.

        `signed` is what was signed of it, byte for byte, as a note of the audit log's key; the other fields are what it
        says. `ambit-verify --receipt` checks it. It is false where the receipt was written before receipts were signed.
        """
        asked = self.query(ReceiptQuery)
        erasure_id = self.id_in_path("erasure")
        serial: int | None = asked.get("serial")
        if asked["as"] == "json":
            return Response(queries.get_receipt(erasure_id=erasure_id, serial=serial))
        name = f"receipt-{public_id('erasure', erasure_id)}.pdf"
        return HttpResponse(
            print_receipt(queries.get_receipt_note(erasure_id=erasure_id, serial=serial)),
            content_type=_PDF,
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )


def _require_truth(shape: Input, name: str, *, one_of: tuple[bool, ...]) -> None:
    given = shape.initial_data.get(name, False)
    if not any(given is value for value in one_of):
        words = " or ".join("true" if value else "false" for value in one_of)
        raise ValidationError({name: [ErrorDetail(f"Send {words}.", code="invalid")]})


def read_subject(given: dict[str, str] | None) -> SubjectRef | None:
    """Return the person a body names; None where it names none."""
    if given is None:
        return None
    if given["type"] == "member":
        return SubjectRef("member", str(parse_id("member", given["value"]) or NO_ID))
    return SubjectRef(given["type"], given["value"])  # type: ignore[arg-type]  # a Choice of its types


def _accepted(case: Erasure, *, status: int) -> Response:
    path = f"/v1/erasures/{public_id('erasure', case.id or NO_ID)}"
    return located(ErasureOutput(case).data, path, status=status)
