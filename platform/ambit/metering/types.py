"""Values of metering."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal
from uuid import UUID

Kind = Literal["answer", "chat", "condense"]
# How a use ended. Abandoned: whoever asked the model died, and upkeep counted what was estimated.
Outcome = Literal["finished", "cancelled", "failed", "withheld", "stopped"]
ABANDONED = "abandoned"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a tenant may ask for, the deployment's values filled in; 0: as much as it wants."""

    requests_per_minute: int
    member_requests_per_minute: int
    tokens_per_month: int


@dataclass(frozen=True, slots=True)
class OwnLimits:
    """What the operator set for a tenant; None: the deployment's value, 0: no limit."""

    requests_per_minute: int | None = None
    member_requests_per_minute: int | None = None
    tokens_per_month: int | None = None


@dataclass(frozen=True, slots=True)
class LimitsView:
    """A tenant's limits as they are shown: what was set for it, what is in force, and how much of the month is used."""

    own: OwnLimits
    in_force: Limits
    tokens_used: int
    renews_at: datetime

    @property
    def tokens_left(self) -> int | None:
        """What is left of the month's tokens; None: there is no quota."""
        quota = self.in_force.tokens_per_month
        return max(0, quota - self.tokens_used) if quota else None


GroupName = Literal["day", "member", "key", "model", "kind"]
GROUPS: tuple[GroupName, ...] = ("day", "member", "key", "model", "kind")


@dataclass(frozen=True, slots=True)
class Usage:
    """Sums of uses that are over; of what they were not grouped by nothing is said."""

    # By which of these it differs from the others.
    groups: tuple[GroupName, ...]
    requests: int
    unfinished: int
    estimated: int
    passages: int
    retrieval_ms: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    day: date | None = None
    # None in a row that is grouped by it: erased, or no key.
    member_id: UUID | None = None
    key_id: UUID | None = None
    model: str | None = None
    kind: str | None = None

    @property
    def tokens(self) -> int:
        """What counts towards a quota."""
        return self.prompt_tokens + self.completion_tokens
