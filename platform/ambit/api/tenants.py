"""Tenants: the operator makes and lists them, and never sees what is in them."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from ambit.api.bodies import Input, PublicId, Text
from ambit.api.keys import NewKeyOutput
from ambit.api.pagination import page_of
from ambit.api.permissions import OPERATOR
from ambit.api.shapes import Output, PageQuery, page_shape, paged
from ambit.api.views import AmbitView
from ambit.keys.keyring import create_tenant_keys
from tenants import services
from tenants.models import Tenant

FIRST_KEY = "first service key"


class TenantInput(Input):
    """A customer to add."""

    name = Text(max_length=200)
    slug = serializers.RegexField(
        r"^[a-z0-9]+(-[a-z0-9]+)*$",
        max_length=63,
        error_messages={"invalid": "Use small letters and digits, with single hyphens between."},
    )


class TenantOutput(Output):
    """A tenant."""

    id = PublicId("tenant")
    name = serializers.CharField()
    slug = serializers.CharField()
    created_at = serializers.DateTimeField()
    suspended_at = serializers.DateTimeField(allow_null=True)
    closing_at = serializers.DateTimeField(
        allow_null=True, help_text="When its end began: …/offboarding."
    )
    closed_at = serializers.DateTimeField(
        allow_null=True,
        help_text="When nothing of it was left: its name is empty then, and its slug a keyed hash.",
    )


class NewTenantOutput(TenantOutput):
    """A tenant just made, with its first service's key."""

    service_key = NewKeyOutput()


TenantPage = page_shape("TenantPage", TenantOutput(many=True))


class TenantsView(AmbitView):
    """All tenants."""

    policies = {"GET": OPERATOR, "POST": OPERATOR}

    @extend_schema(parameters=[PageQuery], responses=TenantPage)
    def get(self, request: Request) -> Response:
        """List the tenants."""
        asked = self.query(PageQuery)
        tenants = Tenant.objects.using(services.OPERATOR).order_by("-id")
        page = page_of(
            lambda after, limit: list((tenants.filter(pk__lt=after) if after else tenants)[:limit]),
            cursor=asked.get("cursor"),
            limit=asked["limit"],
            id_of=lambda tenant: tenant.pk,
        )
        return Response(paged(page, TenantOutput))

    @extend_schema(request=TenantInput, responses={201: NewTenantOutput})
    def post(self, request: Request) -> Response:
        """Add a tenant; its first service's key is shown this once."""
        tenant, key = services.create_tenant(**self.body(TenantInput), make_keys=create_tenant_keys)
        service_key = NewKeyOutput(key, context={"name": FIRST_KEY}).data
        return Response({**TenantOutput(tenant).data, "service_key": service_key}, status=201)
