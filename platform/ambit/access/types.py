"""Values that cross the border of access; frozen."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

RoleName = Literal["reader", "editor", "owner"]
ROLE_ORDER: dict[str, int] = {"reader": 1, "editor": 2, "owner": 3}


@dataclass(frozen=True, slots=True, order=True)
class PrincipalRef:
    """A member, a group or, with neither, the whole tenant."""

    member_id: UUID | None = None
    group_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class GrantSpec:
    """A role for a principal."""

    principal: PrincipalRef
    role: RoleName


@dataclass(frozen=True, slots=True)
class CollectionView:
    """A collection as a reader of it sees it; grants are empty unless asked for."""

    id: UUID
    name: str
    audience_id: UUID
    created_at: datetime
    grants: tuple[GrantSpec, ...] = ()
