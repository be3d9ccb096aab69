"""The end of a tenant, by the operator: everything of it is destroyed, and a certificate says so."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from ambit.api.bodies import Input, PublicId, Text
from ambit.api.document_shapes import AsQuery
from ambit.api.erasures import HoldingOutput, StateOutput
from ambit.api.permissions import OPERATOR
from ambit.api.shapes import Output
from ambit.api.views import AmbitView
from ambit.audit.archive import archive
from ambit.audit.flow import trail_signer
from ambit.erasure import offboarding
from ambit.erasure.printed import print_receipt
from ambit.files.streaming import streamed
from tenants.ids import public_id

_PDF, _ZIP = "application/pdf", "application/zip"


class OffboardingInput(Input):
    """The tenant's slug, typed again: what this ends does not come back."""

    slug = Text(max_length=63, help_text="The tenant's own, as a confirmation.")


class CertificateQuery(AsQuery):
    """In which form: JSON, or a PDF made from what was signed."""

    roles = ("json", "pdf")


class OffboardingOutput(Output):
    """How far a tenant's end has come."""

    tenant = PublicId("tenant", source="tenant_id")
    erasure = PublicId(
        "erasure", source="erasure_id", help_text="The case, as certificate and audit log name it."
    )
    state = serializers.CharField()
    complete = serializers.BooleanField()
    began_at = serializers.DateTimeField()
    closed_at = serializers.DateTimeField(allow_null=True)
    states = StateOutput(many=True)
    attempts = serializers.IntegerField()
    waits_for = serializers.CharField(
        allow_blank=True, help_text="Why it has to wait; empty: it does not."
    )
    places = HoldingOutput(many=True, help_text="Empty until a worker has counted.")


class OffboardingView(AmbitView):
    """The end of one tenant."""

    policies = {"GET": OPERATOR, "POST": OPERATOR}

    @extend_schema(responses=OffboardingOutput)
    def get(self, request: Request, id: str) -> Response:
        """Show how far a tenant's end has come."""
        found = offboarding.get_offboarding(tenant_id=self.id_in_path("tenant"))
        return Response(OffboardingOutput(found).data)

    @extend_schema(request=OffboardingInput, responses={202: OffboardingOutput})
    def post(self, request: Request, id: str) -> Response:
        """End a tenant, for ever. With this answer its keys and sessions are refused; workers destroy all it has.

        Sent again, it shows what was begun. Refused while holds are open.
        """
        begun = offboarding.begin_offboarding(
            tenant_id=self.id_in_path("tenant"), slug=self.body(OffboardingInput)["slug"]
        )
        return Response(OffboardingOutput(begun).data, status=202)


class CertificateView(AmbitView):
    """The certificate of one tenant's end."""

    policies = {"GET": OPERATOR}

    @extend_schema(
        parameters=[CertificateQuery],
        responses={
            (200, "application/json"): OpenApiTypes.OBJECT,
            (200, _PDF): OpenApiTypes.BINARY,
        },
    )
    def get(self, request: Request, id: str) -> HttpResponseBase:
        """Show what was found, destroyed and verified, place by place, and what stays and why.

        Signed like the receipt of an erasure: `ambit-verify --receipt` checks it.
        """
        asked, tenant_id = self.query(CertificateQuery), self.id_in_path("tenant")
        said = offboarding.get_certificate(tenant_id=tenant_id)
        if asked["as"] == "json":
            return Response(said)
        name = f"certificate-{public_id('tenant', tenant_id)}.pdf"
        return HttpResponse(
            print_receipt(said["signed"]),
            content_type=_PDF,
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )


class ClosedTrailView(AmbitView):
    """The audit trail of a tenant that has ended."""

    policies = {"GET": OPERATOR}

    @extend_schema(responses={(200, _ZIP): OpenApiTypes.BINARY})
    def get(self, request: Request, id: str) -> Any:
        """Download the trail that the certificate is held against: without values about people, still proved."""
        tenant_id = self.id_in_path("tenant")
        offboarding.read_closed_trail(tenant_id=tenant_id)
        disposition = f'attachment; filename="audit-{public_id("tenant", tenant_id)}.zip"'
        headers = {"Content-Type": _ZIP, "Content-Disposition": disposition}
        plain = request._request  # noqa: SLF001 - DRF's wrapper
        content = archive(tenant_id=tenant_id, key=trail_signer().key)
        return streamed(plain, content, headers=headers)
