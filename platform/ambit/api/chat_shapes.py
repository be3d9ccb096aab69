"""What OpenAI's clients send and read, as far as Ambit has it; the rest is refused by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError

from ambit.answers.types import DEFAULT_MAX_TOKENS, MOST_TOKENS
from ambit.api.bodies import Input, PublicId, Text, Whole, check_text
from ambit.api.routes_input import RoutedQuestionInput
from ambit.api.search import MAX_QUERY_LENGTH
from ambit.api.shapes import Output

MAX_MESSAGES = 200
# Of all messages, also those that are not read, such as the model's.
MAX_CHAT = 160_000
MAX_INSTRUCTIONS = 4_000
# Of a chat that the client keeps, so many earlier questions are read.
MAX_EARLIER = 6
_SYSTEM = ("system", "developer")
_NOT_HERE = "This is not supported: {} Leave it out."
# Each would change what is done or sent back, so that ignoring it would mislead.
_REFUSED = {
    "tools": "no tool is ever called, because a document's words could call it.",
    "tool_choice": "no tool is ever called.",
    "parallel_tool_calls": "no tool is ever called.",
    "functions": "no function is ever called, because a document's words could call it.",
    "function_call": "no function is ever called.",
    "logprobs": "probabilities are not given out.",
    "top_logprobs": "probabilities are not given out.",
    "logit_bias": "the model's words are not steered.",
    "stop": "an answer ends where its sentences end.",
    "audio": "answers are text.",
    "modalities": "answers are text.",
    "prediction": "answers are not predicted.",
    "web_search_options": "answers come from the tenant's documents alone.",
}
# What asks for nothing by the names above.
_NOTHING_ASKED = {"modalities": ["text"], "tool_choice": "none"}
# Taken, because most clients send them, and not used: answers are written at a temperature of .1.
_UNUSED = (
    "temperature", "top_p", "seed", "presence_penalty", "frequency_penalty", "user", "metadata",
    "store", "service_tier", "reasoning_effort", "verbosity", "safety_identifier", "prompt_cache_key",
    "prompt_cache_retention", "prompt_cache_options",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Said:
    """A chat as it is read: the application's instructions, earlier questions, the question."""

    question: str = field(repr=False)
    earlier: tuple[str, ...] = field(repr=False)
    instructions: str = field(repr=False)


class Messages(serializers.Field[Any, Any, Any, Any]):
    """The messages of a chat, the last one a user's."""

    def to_internal_value(self, data: Any) -> Said:
        """Return what is read of them; raise ValidationError."""
        if isinstance(data, list) and len(data) > MAX_MESSAGES:
            words = f"Send at most {MAX_MESSAGES} messages: leave out the earliest."
            raise ValidationError(words, code="max_length")
        if not isinstance(data, list) or not data or not all(isinstance(m, dict) for m in data):
            raise ValidationError("Send a list of messages, each an object.", code="invalid")
        texts = [(_role(message), _text(message)) for message in data]
        if sum(len(text) for _, text in texts) > MAX_CHAT:
            words = f"Send at most {MAX_CHAT} characters in all messages: leave out the earliest."
            raise ValidationError(words, code="max_length")
        for _, text in texts:
            check_text(text)
        asked = [text for role, text in texts if role == "user"]
        if texts[-1][0] != "user" or not asked[-1].strip():
            raise ValidationError("Send as the last message what a user asks.", code="invalid")
        if len(asked[-1]) > MAX_QUERY_LENGTH:
            words = f"Send a question of at most {MAX_QUERY_LENGTH} characters."
            raise ValidationError(words, code="max_length")
        instructions = "\n".join(text for role, text in texts if role in _SYSTEM)
        if len(instructions) > MAX_INSTRUCTIONS:
            words = f"Send at most {MAX_INSTRUCTIONS} characters of system messages."
            raise ValidationError(words, code="max_length")
        earlier = tuple(text[:MAX_QUERY_LENGTH] for text in asked[:-1] if text.strip())
        return Said(asked[-1], earlier[-MAX_EARLIER:], instructions)

    def to_representation(self, value: Any) -> Any:
        """Return nothing: messages only come in."""
        return None


class ResponseFormat(serializers.Field[Any, Any, Any, Any]):
    """`text`, or `json_schema` with its schema."""

    def to_internal_value(self, data: Any) -> Any:
        """Return the JSON schema, None for text; raise ValidationError."""
        kind = data.get("type") if isinstance(data, dict) else None
        if kind == "text":
            return None
        if kind == "json_object":
            return {"type": "object"}
        given = data.get("json_schema") if kind == "json_schema" else None
        schema = given.get("schema") if isinstance(given, dict) else None
        if not isinstance(schema, dict):
            words = 'Send {"type": "text"}, or "json_schema" with an object in json_schema.schema.'
            raise ValidationError(words, code="invalid")
        return schema

    def to_representation(self, value: Any) -> Any:
        """Return nothing: it only comes in."""
        return None


class StreamOptions(Input):
    """What a stream holds beside the text."""

    include_usage = serializers.BooleanField(required=False, default=False)
    include_obfuscation = serializers.BooleanField(required=False, help_text="Not used.")


class CompletionInput(RoutedQuestionInput):
    """A chat to complete; beside OpenAI's fields those of /v1/answers that say where to look."""

    model = Text(max_length=100, help_text="`ambit`, or an adapter of GET /v1/models.")
    messages = Messages(
        help_text=f"At most {MAX_MESSAGES}, of {MAX_CHAT} characters together; the last one a user's."
    )
    stream = serializers.BooleanField(required=False, allow_null=True, default=False)
    stream_options = StreamOptions(required=False, allow_null=True, default=None)
    max_tokens = Whole(
        required=False, allow_null=True, default=None, min_value=1, max_value=MOST_TOKENS
    )
    max_completion_tokens = Whole(
        required=False,
        allow_null=True,
        default=None,
        min_value=1,
        max_value=MOST_TOKENS,
        help_text=f"{DEFAULT_MAX_TOKENS} where it is left out.",
    )
    response_format = ResponseFormat(required=False, allow_null=True, default=None)
    n = Whole(required=False, allow_null=True, default=1, min_value=1, max_value=1)
    conversation = PublicId("conversation", required=False, allow_null=True, default=None)
    retrieval = serializers.BooleanField(required=False, default=True)

    def get_fields(self) -> dict[str, Any]:
        """Add what is taken and not used; OpenAI's `metadata` is a filter here."""
        unused = {
            name: serializers.JSONField(required=False, allow_null=True, help_text="Not used.")
            for name in _UNUSED
            if name != "metadata"
        }
        return {**super().get_fields(), **unused}

    def to_internal_value(self, data: Any) -> Any:
        """Refuse by name what OpenAI's API has and Ambit has not."""
        if isinstance(data, dict):
            refused = {
                name: why
                for name, why in _REFUSED.items()
                if data.get(name) and data[name] != _NOTHING_ASKED.get(name)
            }
            if refused:
                raise ValidationError(
                    {
                        name: [ErrorDetail(_NOT_HERE.format(why), code="not_supported")]
                        for name, why in refused.items()
                    }
                )
            data = {name: value for name, value in data.items() if name not in _REFUSED}
        return super().to_internal_value(data)


class CompletionOutput(Output):
    """A completion in OpenAI's shape; `ambit` holds citations, groundedness and the answer's id."""

    id = serializers.CharField()
    object = serializers.CharField()
    created = serializers.IntegerField()
    model = serializers.CharField()
    choices = serializers.JSONField()
    usage = serializers.JSONField()
    ambit = serializers.JSONField()


class ModelOutput(Output):
    """A model."""

    id = serializers.CharField()
    object = serializers.CharField()
    created = serializers.IntegerField()
    owned_by = serializers.CharField()


class ModelsOutput(Output):
    """Models."""

    object = serializers.CharField()

    def get_fields(self) -> dict[str, Any]:
        """Add `data`, which as an attribute would hide the serializer's own."""
        return {**super().get_fields(), "data": ModelOutput(many=True)}


def _role(message: dict[str, Any]) -> str:
    role = message.get("role")
    if role not in ("user", "assistant", *_SYSTEM):
        words = "Give each message a role: system, developer, user or assistant."
        raise ValidationError(words, code="invalid")
    return str(role)


def _text(message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    if content is None and message.get("role") == "assistant":
        return ""
    parts = content if isinstance(content, list) else [None]
    texts = [p.get("text") for p in parts if isinstance(p, dict) and p.get("type") == "text"]
    if len(texts) != len(parts) or not all(isinstance(text, str) for text in texts):
        raise ValidationError(
            "Send content as text: images and files are not read.", code="invalid"
        )
    return "\n".join(str(text) for text in texts)
