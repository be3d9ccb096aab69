"""Webhooks: recipients of documents, who are told of erasures and restrictions (Art. 19 GDPR)."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from ambit.api.bodies import Choice, Input, PublicId, Text
from ambit.api.erasures import OFFICERS as ERASURE_OFFICERS
from ambit.api.idempotency import KeyShownOnce
from ambit.api.pagination import page_of
from ambit.api.permissions import Policy
from ambit.api.shapes import Output, PageQuery, page_shape, paged
from ambit.api.views import AmbitView, located
from ambit.erasure.queries import get_erasure
from ambit.notices import queries, services
from ambit.notices.addresses import MAX_URL
from ambit.notices.types import EVENTS
from tenants.ids import public_id

OFFICERS = Policy("webhooks", roles=frozenset({"privacy_officer", "admin"}), needs_member=False)


class WebhookInput(Input):
    """Who receives documents, and where it wants to be told of what."""

    name = Text(max_length=200, help_text="Who it is: a person who asks is told (Art. 19 GDPR).")
    url = Text(max_length=MAX_URL, help_text="https, without a password in it.")
    events = serializers.ListField(
        child=Choice(EVENTS), allow_empty=False, max_length=len(EVENTS), help_text=", ".join(EVENTS)
    )


class WebhookOutput(Output):
    """A recipient."""

    id = PublicId("webhook")
    name = serializers.CharField()
    url = serializers.CharField()
    events = serializers.ListField(child=serializers.CharField())
    created_at = serializers.DateTimeField()


class NewWebhookOutput(WebhookOutput):
    """A recipient with its secret, which is shown this once."""

    secret = serializers.CharField(
        help_text="Verifies `webhook-signature` (Standard Webhooks 1.0.0)."
    )


class NoticeOutput(Output):
    """What one recipient was told, or is to be."""

    id = PublicId("notice", help_text="The `webhook-id` it is sent under, each time.")
    webhook = PublicId("webhook", source="webhook_id")
    recipient = serializers.CharField()
    event = serializers.CharField()
    documents = serializers.IntegerField(source="n_documents")
    occurred_at = serializers.DateTimeField()
    state = serializers.CharField(help_text="waiting, told or given_up.")
    attempts = serializers.IntegerField()
    last_status = serializers.IntegerField(allow_null=True)
    last_fault = serializers.CharField(allow_blank=True)
    ended_at = serializers.DateTimeField(allow_null=True)


class NoticesOutput(Output):
    """All recipients of one erasure's notices."""

    results = NoticeOutput(many=True)


WebhookPage = page_shape("WebhookPage", WebhookOutput(many=True))


class WebhooksView(AmbitView):
    """All recipients."""

    reads = "webhook.listed"
    policies = {"GET": OFFICERS, "POST": OFFICERS}
    makes = "webhook"

    @extend_schema(parameters=[PageQuery], responses=WebhookPage)
    def get(self, request: Request) -> Response:
        """List the tenant's webhooks; never their secrets."""
        asked = self.query(PageQuery)
        page = page_of(
            lambda after, limit: queries.list_webhooks(after=after, limit=limit),
            cursor=asked.get("cursor"),
            limit=asked["limit"],
            id_of=lambda one: one.id,
        )
        return Response(paged(page, WebhookOutput))

    @extend_schema(request=WebhookInput, responses={201: NewWebhookOutput})
    def post(self, request: Request) -> Response:
        """Have a recipient told of what happens from now on, signed as Standard Webhooks has it."""
        made = services.create_webhook(**self.body(WebhookInput))
        self.made = (made.webhook.id,)
        body = WebhookOutput(made.webhook).data | {"secret": made.secret}
        return located(body, f"/v1/webhooks/{public_id('webhook', made.webhook.id)}", status=201)

    def show(self, object_ids: Sequence[UUID], *, status: int) -> Response:
        """Refuse: the secret is shown by the request that made it and by no other."""
        raise KeyShownOnce


class WebhookView(AmbitView):
    """One recipient."""

    reads = "webhook.read"
    policies = {"GET": OFFICERS, "DELETE": OFFICERS}

    @extend_schema(responses=WebhookOutput)
    def get(self, request: Request, id: str) -> Response:
        """Show a webhook; never its secret."""
        found = queries.get_webhook(webhook_id=self.id_in_path("webhook"))
        return Response(WebhookOutput(found).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, id: str) -> Response:
        """Forget a webhook's address and secret: it is told nothing any more."""
        services.remove_webhook(webhook_id=self.id_in_path("webhook"))
        return Response(status=204)


class ErasureNoticesView(AmbitView):
    """Who was told of one erasure."""

    reads = "erasure.notices_read"
    policies = {"GET": ERASURE_OFFICERS}

    @extend_schema(responses=NoticesOutput)
    def get(self, request: Request, id: str) -> Response:
        """List the recipients told of an erasure, for the person who asks (Art. 19 GDPR)."""
        case = get_erasure(erasure_id=self.id_in_path("erasure"))
        found = queries.notices_of(case.id) if case.id else ()
        return Response({"results": NoticeOutput(found, many=True).data})
