"""The OpenAPI document: policies, headers and problems are read from the views themselves."""

from __future__ import annotations

import re
from typing import Any, cast

from drf_spectacular.extensions import (
    OpenApiAuthenticationExtension,
    OpenApiSerializerFieldExtension,
)
from drf_spectacular.openapi import AutoSchema

from ambit.api.authentication import MEMBER_HEADER
from ambit.api.bodies import QuestionParser
from ambit.api.filters import MAX_CHOICES, MAX_KEYS
from ambit.api.idempotency import HEADER as IDEMPOTENCY_HEADER
from ambit.api.idempotency import MAX_LENGTH
from ambit.api.permissions import Policy
from ambit.api.shapes import ProblemOutput
from ambit.api.uploads import MAX_QUESTION_BYTES, MIB
from ambit.api.views import AmbitView
from tenants.ids import PREFIXES

PROBLEM = "application/problem+json"
_IN_PATH = {"member": "member", "child": "group"}


class KeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # registers itself
    """The Authorization header."""

    target_class = "ambit.api.authentication.KeyAuthentication"
    name = "key"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        """Describe the header."""
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "ambit_op_… (operator), ambit_svc_… (a tenant's service)"
            " or ambit_mbr_… (a member).",
        }


class PublicIdField(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]  # registers itself
    """Identifiers."""

    target_class = "ambit.api.bodies.PublicId"

    def map_serializer_field(self, auto_schema: AutoSchema, direction: str) -> dict[str, Any]:
        """Describe an identifier of the field's kind."""
        return {"type": "string", "example": example_id(self.target.kind)}


class AnyIdField(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]  # registers itself
    """Identifiers of several kinds."""

    target_class = "ambit.api.audit.AnyId"

    def map_serializer_field(self, auto_schema: AutoSchema, direction: str) -> dict[str, Any]:
        """Describe an identifier of the first kind."""
        return {"type": "string", "example": example_id(self.target.kinds[0])}


class JsonObjectField(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]  # registers itself
    """Objects of callers' own."""

    target_class = "ambit.api.bodies.JsonObject"

    def map_serializer_field(self, auto_schema: AutoSchema, direction: str) -> dict[str, Any]:
        """Describe any object."""
        return {"type": "object", "additionalProperties": True}


class WantedField(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]  # registers itself
    """Values of documents' metadata."""

    target_class = "ambit.api.filters.Wanted"

    def map_serializer_field(self, auto_schema: AutoSchema, direction: str) -> dict[str, Any]:
        """Describe an object of scalars and lists of them."""
        scalar = [{"type": name} for name in ("string", "number", "boolean")]
        several = {"type": "array", "items": {"oneOf": scalar}, "maxItems": MAX_CHOICES}
        return {
            "type": "object",
            "additionalProperties": {"oneOf": [*scalar, several]},
            "maxProperties": MAX_KEYS,
            "example": {"year": [2025, 2026], "department": "surgery"},
        }


class WantedInQueryField(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]  # registers itself
    """The same in an address."""

    target_class = "ambit.api.filters.WantedInQuery"

    def map_serializer_field(self, auto_schema: AutoSchema, direction: str) -> dict[str, Any]:
        """Describe JSON text."""
        return {"type": "string", "example": '{"year": [2025, 2026]}'}


class MomentField(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]  # registers itself
    """Times."""

    target_class = "ambit.api.filters.Moment"

    def map_serializer_field(self, auto_schema: AutoSchema, direction: str) -> dict[str, Any]:
        """Describe a time with its offset."""
        return {"type": "string", "format": "date-time"}


class MessagesField(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]  # registers itself
    """Messages of a chat."""

    target_class = "ambit.api.chat_shapes.Messages"

    def map_serializer_field(self, auto_schema: AutoSchema, direction: str) -> dict[str, Any]:
        """Describe a list of messages with text."""
        message = {
            "type": "object",
            "properties": {
                "role": {"type": "string", "enum": ["system", "developer", "user", "assistant"]},
                "content": {"type": "string"},
            },
            "required": ["role", "content"],
        }
        return {
            "type": "array",
            "items": message,
            "example": [{"role": "user", "content": "How many days of annual leave are there?"}],
        }


class ResponseFormatField(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]  # registers itself
    """The form of an answer."""

    target_class = "ambit.api.chat_shapes.ResponseFormat"

    def map_serializer_field(self, auto_schema: AutoSchema, direction: str) -> dict[str, Any]:
        """Describe OpenAI's object."""
        return {
            "type": "object",
            "properties": {
                "type": {"type": "string", "enum": ["text", "json_object", "json_schema"]},
                "json_schema": {"type": "object", "additionalProperties": True},
            },
            "required": ["type"],
        }


class AmbitSchema(AutoSchema):
    """Describes a view with what its policies and the base view add to every call."""

    def get_operation_id(self) -> str:
        """Name an operation by its method and path: getDocumentsContent."""
        words = re.findall(r"[a-z]+", re.sub(r"\{[^}]*\}", "", self.path.removeprefix("/v1")))
        one = "One" if self.path.endswith("}") else ""
        return self.method.lower() + "".join(w.capitalize() for w in words) + one

    def get_tags(self) -> list[str]:
        """Group operations by resource."""
        words = re.findall(r"[a-z]+", self.path.removeprefix("/v1"))
        return [words[0]] if words else []

    def get_operation(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        """Describe one call."""
        operation: dict[str, Any] | None = super().get_operation(*args, **kwargs)
        if operation is None:
            return None
        view = cast(AmbitView, self.view)
        policy = view.policies[self.method]
        operation["parameters"] = [
            *operation.get("parameters", []),
            *_headers(policy, view, self.method),
        ]
        if not operation["parameters"]:
            del operation["parameters"]
        operation["security"] = [{}] if policy.public else [{"key": []}]
        words = _policy_words(policy)
        operation["description"] = "\n\n".join(
            w for w in (operation.get("description"), words) if w
        )
        problem = self.resolve_serializer(ProblemOutput, "response").ref
        refusals = _refusals(policy, operation)
        if "413" in refusals and QuestionParser in view.parser_classes:
            refusals["413"] = f"The body has more than {MAX_QUESTION_BYTES // MIB} MiB."
        for status, why in refusals.items():
            operation["responses"].setdefault(
                status, {"description": why, "content": {PROBLEM: {"schema": problem}}}
            )
        operation["responses"] = dict(sorted(operation["responses"].items()))
        return operation

    def _resolve_path_parameters(self, variables: list[str]) -> list[dict[str, Any]]:
        words = re.findall(r"[a-z]+", self.path.removeprefix("/v1"))
        kind = {"audit": "event", "models": "adapter"}.get(words[0], words[0].rstrip("s"))
        return [
            {
                "in": "path",
                "name": name,
                "required": True,
                "schema": {"type": "string", "example": example_id(_IN_PATH.get(name, kind))},
            }
            for name in variables
        ]


def example_id(kind: str) -> str:
    """Return an identifier that nothing has."""
    return f"{PREFIXES[kind]}_0199d2c0a1b27c3d8e4f5a6b7c8d9e0f"


def _headers(policy: Policy, view: AmbitView, method: str) -> list[dict[str, Any]]:
    headers = []
    if not policy.public and not policy.operator:
        headers.append(
            _header(
                MEMBER_HEADER,
                "For a service's key: the member it acts for, by id, external_id or e-mail address."
                + (" Required." if policy.needs_member else ""),
            )
        )
    if method == "POST" and view.makes:
        headers.append(
            _header(
                IDEMPOTENCY_HEADER,
                f"1 to {MAX_LENGTH} visible ASCII characters. The same request under the same key"
                " within 24 hours makes nothing again and answers with Idempotency-Replayed: true;"
                " 404 where what it made is deleted or no longer to be seen.",
            )
        )
    return headers


def _header(name: str, description: str) -> dict[str, Any]:
    return {"in": "header", "name": name, "schema": {"type": "string"}, "description": description}


def _policy_words(policy: Policy) -> str:
    if policy.public:
        return "For anybody."
    if policy.operator:
        return "For operators' keys."
    who = (
        f"a member with the role {' or '.join(sorted(policy.roles))}"
        if policy.roles
        else "a member"
    )
    alone = "" if policy.needs_member else "a service acting for nobody, or for "
    return f"Takes the scope `{policy.scope}`; for {alone}{who}."


def _refusals(policy: Policy, operation: dict[str, Any]) -> dict[str, str]:
    refusals = {"400": "The request is not valid.", "500": "A fault of the server."}
    if not policy.public:
        refusals |= {
            "401": "No valid key.",
            "403": "The key, role or grant does not allow it.",
            "503": "Something it needs is down; Retry-After says when to try again.",
        }
    if not policy.public and not policy.operator:
        refusals["404"] = "There is no such object, or none the caller may see."
    if "requestBody" in operation:
        refusals |= {
            "409": "Something stands in the way.",
            "413": "The body is too large.",
            "415": "This kind of body is not taken.",
            "422": "The Idempotency-Key belongs to another request.",
        }
    return refusals
