"""Limits of a tenant, by the operator: how often it may ask, and how many tokens a month."""

from __future__ import annotations

from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from ambit.api.bodies import Input, Whole
from ambit.api.permissions import OPERATOR
from ambit.api.shapes import Output
from ambit.api.views import AmbitView
from ambit.corpus.canary import CANARY_TENANT
from ambit.metering.limits import forget_limits
from ambit.metering.queries import view_limits_of
from ambit.metering.services import set_limits
from ambit.metering.types import LimitsView, OwnLimits
from tenants.queries import TenantNotFound

MAX_PER_MINUTE = 1_000_000
MAX_PER_MONTH = 10**15
DEFAULT = "null, or not sent: the deployment's; 0: no limit."


def _limit(maximum: int, words: str) -> Whole:
    return Whole(
        required=False,
        allow_null=True,
        default=None,
        min_value=0,
        max_value=maximum,
        help_text=f"{words} {DEFAULT}",
    )


class LimitsInput(Input):
    """A tenant's own limits. What is not sent is the deployment's."""

    requests_per_minute = _limit(
        MAX_PER_MINUTE, "Answers asked for by all of its members together."
    )
    member_requests_per_minute = _limit(MAX_PER_MINUTE, "Answers asked for by each member.")
    tokens_per_month = _limit(MAX_PER_MONTH, "Prompt and completion, each calendar month (UTC).")


class OwnOutput(Output):
    """What was set for this tenant; null: the deployment's value counts."""

    requests_per_minute = serializers.IntegerField(allow_null=True)
    member_requests_per_minute = serializers.IntegerField(allow_null=True)
    tokens_per_month = serializers.IntegerField(allow_null=True)


class InForceOutput(Output):
    """What counts; 0: no limit."""

    requests_per_minute = serializers.IntegerField()
    member_requests_per_minute = serializers.IntegerField()
    tokens_per_month = serializers.IntegerField()


class LimitsOutput(Output):
    """A tenant's limits."""

    own = OwnOutput()
    in_force = InForceOutput()
    tokens_used = serializers.IntegerField(
        help_text="This month, what is under way by its estimate."
    )
    tokens_left = serializers.IntegerField(
        allow_null=True, help_text="Of this month's; null: there is no quota."
    )
    renews_at = serializers.DateTimeField(help_text="When the next month begins.")


class TenantLimitsView(AmbitView):
    """The limits of one tenant."""

    policies = {"GET": OPERATOR, "PUT": OPERATOR}

    @extend_schema(responses=LimitsOutput)
    def get(self, request: Request, id: str) -> Response:
        """Show a tenant's limits, and how much of this month's tokens is used: numbers, and nothing of what for."""
        return Response(_shown(view_limits_of(tenant_id=self._tenant())))

    @extend_schema(request=LimitsInput, responses=LimitsOutput)
    def put(self, request: Request, id: str) -> Response:
        """Set a tenant's limits, all of them; they count within five seconds.

        A quota below what is used already refuses until the month ends.
        """
        tenant_id = self._tenant()
        found = set_limits(tenant_id=tenant_id, own=OwnLimits(**self.body(LimitsInput)))
        forget_limits(tenant_id)
        return Response(_shown(found))

    def _tenant(self) -> UUID:
        """Return the id; the canary is nobody's customer and answers like a missing one."""
        tenant_id = self.id_in_path("tenant")
        if tenant_id == CANARY_TENANT:
            raise TenantNotFound(tenant_id)
        return tenant_id


def _shown(found: LimitsView) -> object:
    return LimitsOutput(found).data
