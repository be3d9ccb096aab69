"""What is asked of a model server, what it gives, and how it can fail; free of HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ambit.inference.messages import Message

UnavailableReason = Literal[
    "not_configured",
    # No answer began: no connection, or no word in time; or each replica failed a moment ago.
    "unreachable",
    "slow",
    "busy",
    # The server gave up, or what it wrote is no answer.
    "failed",
    "garbled",
    "cut_short",
    "whitespace",
]
RefusedReason = Literal["credentials", "context_overflow", "model", "schema", "request"]


class GenerationUnavailable(Exception):
    """No model server gave an answer; worth another try later, except where none is configured."""

    def __init__(self, *, reason: UnavailableReason, status: int | None = None) -> None:
        super().__init__(f"generation unavailable: {reason}")
        self.reason = reason
        self.status = status


class GenerationTimedOut(Exception):
    """The answer was not complete within the caller's deadline; the server was told to stop."""

    def __init__(self, *, deadline_s: float) -> None:
        super().__init__(f"generation not complete within {deadline_s:g} s")
        self.deadline_s = deadline_s


class GenerationRefused(Exception):
    """The server refused this request and will refuse it again."""

    def __init__(self, *, reason: RefusedReason, status: int) -> None:
        super().__init__(f"generation refused: {reason} ({status})")
        self.reason = reason
        self.status = status


class SchemaNotServed(GenerationRefused):
    """The server cannot write to this schema; it is the asker's to change."""

    def __init__(self, *, status: int) -> None:
        super().__init__(reason="schema", status=status)


class ContextOverflow(GenerationRefused):
    """Prompt and answer are longer than the server takes; the asker may ask for less."""

    def __init__(self, *, status: int) -> None:
        super().__init__(reason="context_overflow", status=status)


@dataclass(frozen=True, slots=True)
class Order:
    """One completion to be asked for."""

    messages: Sequence[Message] = field(repr=False)
    cache_salt: str = field(repr=False)
    max_tokens: int = 512
    # The served name of an adapter of our database; None asks the base model.
    adapter: str | None = None
    # A JSON schema that the text must follow.
    schema: Mapping[str, Any] | None = field(default=None, repr=False)
    # The lower, the earlier.
    priority: int = 0


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """Tokens spent; inexact where the server did not come to telling its last count."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    # Prompt tokens taken from the prefix cache of the same salt; told at the end alone.
    cached_tokens: int = 0
    exact: bool = False


@dataclass(frozen=True, slots=True)
class Completion:
    """A generated text with the server's own token counts."""

    text: str = field(repr=False)
    prompt_tokens: int
    completion_tokens: int
    # Prompt tokens taken from the prefix cache of the same salt.
    cached_tokens: int
    # "stop", or "length" where max_tokens cut the text.
    finish_reason: str
