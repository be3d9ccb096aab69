"""The audit trail: who did what, to which objects, when."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from ambit.api.bodies import PublicId, Text
from ambit.api.document_shapes import AsQuery
from ambit.api.ocsf import as_ocsf
from ambit.api.pagination import page_of
from ambit.api.permissions import Policy
from ambit.api.shapes import Output, PageQuery, page_shape, paged
from ambit.api.views import AmbitView
from tenants.ids import PREFIXES, parse_id, public_id
from tenants.models import AuditEvent
from tenants.queries import list_events
from tenants.scope import current_tenant_id

READS = Policy(
    "audit", roles=frozenset({"auditor", "privacy_officer", "admin"}), needs_member=False
)


class AnyId(serializers.Field[Any, Any, Any, Any]):
    """An identifier of some kinds."""

    def __init__(self, kinds: tuple[str, ...], **kwargs: Any) -> None:
        self.kinds = kinds
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> UUID:
        """Return the identifier; raise ValidationError where it is of none of the kinds."""
        for kind in self.kinds:
            found = parse_id(kind, data) if isinstance(data, str) else None
            if found is not None:
                return found
        prefixes = ", ".join(f"{PREFIXES[kind]}_…" for kind in self.kinds)
        raise ValidationError(f"Send an id: {prefixes}", code="invalid")

    def to_representation(self, value: Any) -> str:
        """Return it as text; never asked for, as it only comes in."""
        return str(value)


class EventsQuery(AsQuery, PageQuery):
    """Which events, and in which form: ours, or as API Activity of OCSF 1.6.0."""

    roles = ("ambit", "ocsf")

    action = Text(required=False, max_length=64)
    actor = AnyId(("member", "key"), required=False, help_text="Who acted, or for whom.")
    object = AnyId(tuple(PREFIXES), required=False, help_text="What it was done to.")
    since = serializers.DateTimeField(required=False)


class ActorOutput(Output):
    """Who acted."""

    kind = serializers.ChoiceField(["operator", "service", "member", "worker"])
    id = serializers.CharField(allow_null=True)
    member = serializers.CharField(allow_null=True, help_text="The member a service acted for.")


class EventOutput(Output):
    """One thing done; ids and counts, never content."""

    id = PublicId("event")
    at = serializers.DateTimeField()
    actor = serializers.SerializerMethodField()
    action = serializers.CharField()
    object = serializers.SerializerMethodField()
    documents = serializers.ListField(child=PublicId("document"), source="document_ids")
    chunks = serializers.ListField(child=PublicId("chunk"), source="chunk_ids")
    counts = serializers.DictField(child=serializers.IntegerField())
    request_id = serializers.UUIDField(allow_null=True)

    @extend_schema_field(ActorOutput)
    def get_actor(self, event: AuditEvent) -> dict[str, str | None]:
        """Return who acted."""
        kind = "member" if event.actor_kind == "member" else "key"
        return {
            "kind": event.actor_kind,
            "id": _shown(kind, event.actor_id),
            "member": _shown("member", event.member_id),
        }

    def get_object(self, event: AuditEvent) -> str | None:
        """Return what it was done to, by the kind its action names."""
        kind = event.action.partition(".")[0]
        if kind == "content":
            kind = "document"
        return _shown(kind, event.object_id) if kind in PREFIXES else None


EventPage = page_shape("EventPage", EventOutput(many=True))


class EventsView(AmbitView):
    """Audit events."""

    reads = "event.listed"
    policies = {"GET": READS}

    @extend_schema(parameters=[EventsQuery], responses=EventPage)
    def get(self, request: Request) -> Response:
        """List what was done, newest first."""
        asked = self.query(EventsQuery)
        since: datetime | None = asked.get("since")

        def read(after: UUID | None, limit: int) -> list[AuditEvent]:
            return list_events(
                after=after,
                limit=limit,
                action=asked.get("action"),
                actor_id=asked.get("actor"),
                object_id=asked.get("object"),
                since=since,
            )

        page = page_of(read, cursor=asked.get("cursor"), limit=asked["limit"], id_of=lambda e: e.pk)
        shown = paged(page, EventOutput)
        if asked["as"] == "ocsf":
            tenant = public_id("tenant", current_tenant_id())
            both = zip(shown["results"], page.items, strict=True)
            shown["results"] = [as_ocsf(one, tenant=tenant, at=event.at) for one, event in both]
        return Response(shown)


def _shown(kind: str, value: UUID | None) -> str | None:
    return public_id(kind, value) if value else None
