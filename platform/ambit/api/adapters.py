"""Adapters: register what was trained elsewhere, make it live, retire it, and see which may be used."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import IO, Any
from uuid import UUID

from django.conf import settings
from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from ambit.access.clearance import clearance_for
from ambit.adapters import queries, services
from ambit.adapters.store import require_store
from ambit.adapters.types import AdapterView as Adapter
from ambit.adapters.types import Registered, TrainedOn
from ambit.adapters.weights import MAX_CONFIG_BYTES, LoraConfig, check_tensors, read_config
from ambit.api import idempotency
from ambit.api.bodies import FormList, Input, PublicId, StrictFormParser, Text, Whole
from ambit.api.document_shapes import FileField
from ambit.api.pagination import page_of, page_of_all
from ambit.api.permissions import Policy
from ambit.api.shapes import Output, PageQuery, page_shape, paged
from ambit.api.uploads import pieces
from ambit.api.views import AmbitView, located
from tenants.audit import record
from tenants.ids import public_id

MAX_DOCUMENTS = 10_000
READS = Policy("answers")
ADMINS = Policy("adapters", roles=frozenset({"admin"}))
MANAGES = Policy("adapters", roles=frozenset({"admin"}), needs_member=False)


class TrainedOnShape(Input):
    """A document that it was trained on, and the number of the version."""

    document = PublicId("document")
    version = Whole(min_value=1, help_text="The current version's number.")


class AdapterInput(Input):
    """An adapter as a form with its two files, as peft saves them."""

    name = Text(max_length=200, help_text="Your word for it.")
    documents = FormList(
        child=TrainedOnShape(),
        allow_empty=False,
        max_length=MAX_DOCUMENTS,
        help_text="Every document it was trained on, as JSON text.",
    )
    weights = FileField(help_text="adapter_model.safetensors.")
    config = FileField(help_text="adapter_config.json.")


class AdapterOutput(Output):
    """An adapter's record; never its weights."""

    id = PublicId("adapter")
    name = serializers.CharField(help_text="Empty once it is erased.")
    state = serializers.ChoiceField(["candidate", "live", "retired", "erased"])
    base = serializers.CharField(help_text="The model it was trained for.")
    rank = serializers.IntegerField()
    sha256 = serializers.CharField(help_text="Of adapter_model.safetensors.")
    bytes = serializers.IntegerField(source="n_bytes")
    documents = serializers.IntegerField(source="n_documents")
    registered_at = serializers.DateTimeField()
    live_at = serializers.DateTimeField(allow_null=True)
    loaded_at = serializers.DateTimeField(
        allow_null=True, help_text="Since when every model server has it."
    )
    load_fault = serializers.CharField(
        allow_blank=True,
        help_text="Why not every model server has it: no_server, other_base, no_files, refused or unreachable.",
    )
    retired_at = serializers.DateTimeField(allow_null=True)
    retired_because = serializers.CharField(
        allow_blank=True,
        help_text="by_hand; hidden: a training document was deleted, erased, held or restricted; moved: its readers are"
        " others; replaced: it has new content; not_stored: the weights could not be written.",
    )
    retired_for = PublicId("document", source="retired_for_id", allow_null=True)
    erased_at = serializers.DateTimeField(allow_null=True)


AdapterPage = page_shape("AdapterPage", AdapterOutput(many=True))


class AdapterBase(AmbitView):
    """What the views of adapters share."""

    def one(self, adapter_id: UUID) -> Adapter:
        """Return an adapter the caller may see: administrators any, others those they may use."""
        if self.manages():
            return queries.get_adapter(adapter_id=adapter_id)
        clearance = clearance_for(member_id=self.acting_member())
        return queries.get_usable(adapter_id=adapter_id, clearance=clearance)

    def manages(self) -> bool:
        """Say whether the caller manages adapters: an administrator, by a key that may."""
        caller = self.caller
        return caller is not None and caller.role == "admin" and "adapters" in caller.scopes

    def rendered(self, adapter_id: UUID, *, status: int = 200) -> Response:
        """Answer an adapter's record, with its address."""
        body = AdapterOutput(queries.get_adapter(adapter_id=adapter_id)).data
        return located(body, f"/v1/adapters/{public_id('adapter', adapter_id)}", status=status)


class AdaptersView(AdapterBase):
    """All adapters.

    In transactions of its own: the row of a new one is committed first, so that no weights lie where no row leads.
    """

    policies = {"GET": READS, "POST": ADMINS}
    makes = "adapter"
    own_transactions = True
    parser_classes = [StrictFormParser]

    @extend_schema(parameters=[PageQuery], responses=AdapterPage)
    def get(self, request: Request) -> Response:
        """List the adapters the member may use; for administrators, all of the tenant's, the erased too."""
        asked = self.query(PageQuery)
        cursor, limit = asked.get("cursor"), asked["limit"]
        with self.in_scope():
            record("adapter.listed")
            if self.manages():
                page = page_of(
                    lambda after, wanted: queries.list_adapters(after=after, limit=wanted),
                    cursor=cursor,
                    limit=limit,
                    id_of=lambda one: one.id,
                )
            else:
                clearance = clearance_for(member_id=self.acting_member())
                usable = queries.adapters_for(clearance=clearance)
                page = page_of_all(usable, cursor=cursor, limit=limit, id_of=lambda one: one.id)
        return Response(paged(page, AdapterOutput))

    @extend_schema(request={"multipart/form-data": AdapterInput}, responses={201: AdapterOutput})
    def post(self, request: Request) -> HttpResponseBase:
        """Register an adapter as a candidate; all it was trained on must be visible to the member."""
        require_store()
        asked = self.body(AdapterInput)
        config = read_config(
            asked["config"].file.read(MAX_CONFIG_BYTES + 1),
            base=settings.AMBIT_LORA_BASE,
            max_rank=settings.AMBIT_LORA_MAX_RANK,
        )
        sha256 = _checked(asked["weights"].file, config=config, size=asked["weights"].size)
        begun = self._begin(asked, config, sha256)
        if not isinstance(begun, tuple):
            return begun
        taken, made = begun
        try:
            services.write_weights(made, config=config, weights=pieces(asked["weights"].file))
        except BaseException:
            self._give_up(taken, made.id)
            raise
        with self.in_scope():
            services.finish_registration(made)
            response = self.created([made.id], status=201)
            self.finish_once(taken, status=201)
            return response

    def show(self, object_ids: Sequence[UUID], *, status: int) -> Response:
        """Render the adapter made."""
        return self.rendered(object_ids[0], status=status)

    def _begin(
        self, asked: dict[str, Any], config: LoraConfig, sha256: str
    ) -> HttpResponseBase | tuple[idempotency.Slot | None, Registered]:
        """Make the row, or show what the request's Idempotency-Key has made before."""
        with self.in_scope():
            taken = self.begin_once()
            if isinstance(taken, idempotency.Earlier):
                return self.replayed(taken)
            return taken, services.register_adapter(
                name=asked["name"],
                config=config,
                sha256=sha256,
                n_bytes=asked["weights"].size,
                trained_on=[
                    TrainedOn(one["document"], one["version"]) for one in asked["documents"]
                ],
                clearance=clearance_for(member_id=self.acting_member()),
            )

    def _give_up(self, taken: idempotency.Slot | None, adapter_id: UUID) -> None:
        with self.in_scope():
            services.give_up_registration(adapter_id=adapter_id)
            if taken is not None:
                idempotency.give_up(taken)


class AdapterView(AdapterBase):
    """One adapter."""

    reads = "adapter.read"
    policies = {"GET": READS}

    @extend_schema(responses=AdapterOutput)
    def get(self, request: Request, id: str) -> Response:
        """Show an adapter's record; members see those that they may use."""
        return Response(AdapterOutput(self.one(self.id_in_path("adapter"))).data)


class PromoteView(AdapterBase):
    """Making an adapter live."""

    policies = {"POST": MANAGES}

    @extend_schema(request=None, responses=AdapterOutput)
    def post(self, request: Request, id: str) -> Response:
        """Make a candidate live: members who see all it was trained on may use it once it is loaded."""
        adapter_id = self.id_in_path("adapter")
        services.promote_adapter(adapter_id=adapter_id)
        return self.rendered(adapter_id)


class RetireView(AdapterBase):
    """Retiring an adapter."""

    policies = {"POST": MANAGES}

    @extend_schema(request=None, responses=AdapterOutput)
    def post(self, request: Request, id: str) -> Response:
        """Retire an adapter for good: nobody uses it from now on, and workers destroy its weights."""
        adapter_id = self.id_in_path("adapter")
        services.retire_adapter(adapter_id=adapter_id)
        return self.rendered(adapter_id)


def _checked(file: IO[bytes], *, config: LoraConfig, size: int) -> str:
    """Return the file's digest, and leave the file at its start; raise AdapterFileRefused, BodyTooLarge."""
    check_tensors(file, size=size, config=config)
    digest = hashlib.sha256()
    file.seek(0)
    for piece in pieces(file):
        digest.update(piece)
    file.seek(0)
    return digest.hexdigest()
