"""Values of metering."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["answer", "chat", "condense"]
# How a use ended. Abandoned: whoever asked the model died, and upkeep counted what was estimated.
Outcome = Literal["finished", "cancelled", "failed", "withheld", "stopped"]
ABANDONED = "abandoned"
FINISHED = "finished"


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
