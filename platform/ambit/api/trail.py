"""What proves the audit trail: the key, the signed checkpoints, proofs, and all of it to take away."""

from __future__ import annotations

import base64
from typing import Any
from uuid import UUID

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from ambit.api.audit import READS
from ambit.api.bodies import Input, PublicId, Whole
from ambit.api.pagination import page_of
from ambit.api.shapes import Output, PageQuery, page_shape, paged
from ambit.api.views import AmbitView
from ambit.audit import proofs
from ambit.audit.archive import archive
from ambit.audit.export import read_events
from ambit.audit.flow import trail_signer
from ambit.files.streaming import streamed
from tenants.ids import public_id
from tenants.scope import current_tenant_id

_ZIP = "application/zip"


class Hash(serializers.CharField):
    """A SHA-256 in base64, as in signed notes."""

    def to_representation(self, value: Any) -> str:
        """Return it as text."""
        return base64.b64encode(bytes(value)).decode()


class AuditKeyOutput(Output):
    """The key that signs every checkpoint: note it where the operator cannot change it."""

    key = serializers.CharField(help_text="name+id+key, as of C2SP signed-note.")


class CheckpointOutput(Output):
    """The first `size` events have this root; signed."""

    size = serializers.IntegerField()
    root = Hash()  # type: ignore[assignment]  # a field, read from its class by DRF
    at = serializers.DateTimeField()
    note = serializers.CharField(help_text="The signed note (C2SP tlog-checkpoint, Ed25519).")
    copied = serializers.BooleanField(help_text="Whether it stands in the folder of copies too.")


class ProofQuery(Input):
    """Against which checkpoint."""

    size = Whole(required=False, min_value=1, help_text="Of a checkpoint; the latest by default.")


class ProofOutput(Output):
    """That an event is in a checkpoint (RFC 9162, section 2.1.3)."""

    event = PublicId("event")
    number = serializers.IntegerField(help_text="From 0.")
    line = serializers.DictField(
        help_text="The event as the export has it; its `entry` is the leaf."
    )
    proof = serializers.ListField(child=Hash(), help_text="From the leaf up.")
    checkpoint = CheckpointOutput()


class ConsistencyQuery(Input):
    """Which two checkpoints."""

    older = Whole(min_value=1)
    newer = Whole(min_value=1)


class ConsistencyOutput(Output):
    """That a later checkpoint begins with an earlier one (RFC 9162, section 2.1.4)."""

    older = serializers.IntegerField()
    newer = serializers.IntegerField()
    proof = serializers.ListField(child=Hash())


CheckpointPage = page_shape("CheckpointPage", CheckpointOutput(many=True))


class AuditKeyView(AmbitView):
    """The audit log's public key."""

    reads = "event.key_read"
    policies = {"GET": READS}

    @extend_schema(responses=AuditKeyOutput)
    def get(self, request: Request) -> Response:
        """Show the public key that signs the audit log."""
        return Response({"key": trail_signer().key})


class CheckpointsView(AmbitView):
    """What was signed."""

    reads = "event.checkpoints_listed"
    policies = {"GET": READS}

    @extend_schema(parameters=[PageQuery], responses=CheckpointPage)
    def get(self, request: Request) -> Response:
        """List the signed checkpoints of the tenant's audit log, newest first."""
        asked = self.query(PageQuery)
        page = page_of(
            lambda after, limit: proofs.list_checkpoints(after=after, limit=limit),
            cursor=asked.get("cursor"),
            limit=asked["limit"],
            id_of=lambda checkpoint: checkpoint.pk,
        )
        return Response(paged(page, CheckpointOutput))


class EventProofView(AmbitView):
    """The proof of one event."""

    reads = "event.proved"
    policies = {"GET": READS}

    @extend_schema(parameters=[ProofQuery], responses=ProofOutput)
    def get(self, request: Request, id: str) -> Response:
        """Prove that an event is in a signed checkpoint; some seconds after it happened it is."""
        event_id = self.id_in_path("event")
        found = proofs.prove_event(event_id, size=self.query(ProofQuery).get("size"))
        return Response(_proof(event_id, found))


class ConsistencyView(AmbitView):
    """The proof between two checkpoints."""

    reads = "event.extension_proved"
    policies = {"GET": READS}

    @extend_schema(parameters=[ConsistencyQuery], responses=ConsistencyOutput)
    def get(self, request: Request) -> Response:
        """Prove that a later checkpoint of the audit log begins with an earlier one."""
        asked = self.query(ConsistencyQuery)
        found = proofs.prove_extension(older=asked["older"], newer=asked["newer"])
        return Response(ConsistencyOutput({**asked, "proof": found}).data)


class AuditExportView(AmbitView):
    """The whole trail."""

    reads = "event.exported"
    policies = {"GET": READS}

    @extend_schema(responses={(200, _ZIP): OpenApiTypes.BINARY})
    def get(self, request: Request) -> Any:
        """Download all events that are numbered, the checkpoints, and the program that checks them."""
        name = f"audit-{public_id('tenant', current_tenant_id())}.zip"
        content = archive(tenant_id=current_tenant_id(), key=trail_signer().key)
        disposition = f'attachment; filename="{name}"'
        headers = {"Content-Type": _ZIP, "Content-Disposition": disposition}
        plain = request._request  # noqa: SLF001 - DRF's wrapper
        return streamed(plain, content, headers=headers)


def _proof(event_id: UUID, found: proofs.Inclusion) -> dict[str, Any]:
    (line,) = read_events(start=found.leaf.number, limit=1)
    return ProofOutput(
        {
            "event": event_id,
            "number": found.leaf.number,
            "line": line,
            "proof": found.proof,
            "checkpoint": found.checkpoint,
        }
    ).data
