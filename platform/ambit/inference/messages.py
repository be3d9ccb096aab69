"""What a chat model is given; free of HTTP, so that a prompt needs no network library."""

from __future__ import annotations

from typing import Literal, TypedDict


class Message(TypedDict):
    """One turn, as the OpenAI chat API spells it."""

    role: Literal["system", "user", "assistant"]
    content: str
