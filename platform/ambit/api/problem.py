"""What a caller is told when something is refused."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """What a caller is told; {error.…} in the detail is filled from the exception."""

    status: int
    code: str
    title: str
    detail: str
    retry_after_s: int | None = None
