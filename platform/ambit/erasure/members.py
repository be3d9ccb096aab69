"""Let members back, unless they are being forgotten."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from ambit.erasure.models import ErasureItem
from tenants.models import Member
from tenants.services import set_member_suspended


class MemberBeingErased(RuntimeError):
    """An erasure covers the member; nothing was changed."""


def lock_members(member_ids: Iterable[UUID]) -> None:
    """Wait for whoever holds, forgets or resumes these members, in an order that two cannot cross."""
    found = Member.objects.select_for_update(no_key=True).filter(pk__in=list(member_ids))
    list(found.order_by("pk").values_list("pk", flat=True))


def resume_member(*, member_id: UUID) -> None:
    """End a member's suspension; raise MemberNotFound, MemberBeingErased.

    Otherwise a person whose erasure is requested could act and leave new data while workers destroy the old.
    """
    # Locked before looking: a request that is filed meanwhile suspends the member after this.
    list(Member.objects.select_for_update().filter(pk=member_id))
    if ErasureItem.objects.filter(kind="member", object_id=member_id).exists():
        raise MemberBeingErased(member_id)
    set_member_suspended(member_id=member_id, suspended=False)
