"""Read tenants, members, groups and keys."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from tenants.ids import parse_id
from tenants.models import ApiKey, AuditEvent, Group, Member, OperatorKey, Tenant
from tenants.scope import current_tenant_id
from tenants.secrets import PresentedKey

OPERATOR = "operator"


class TenantNotFound(LookupError):
    """There is no such tenant."""


class MemberNotFound(LookupError):
    """There is no such member in this tenant."""


class GroupNotFound(LookupError):
    """There is no such group in this tenant."""


class KeyNotFound(LookupError):
    """There is no such key in this tenant."""


class KeyRefused(PermissionError):
    """A presented key is unknown, expired or revoked, or its member is suspended: not told apart."""


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """Whose key was presented, and what it allows."""

    key_id: UUID
    member_id: UUID | None
    scopes: frozenset[str]


def operator_key(presented: PresentedKey) -> UUID:
    """Return the id of an operator's key; raise KeyRefused."""
    found = (
        OperatorKey.objects.using(OPERATOR)
        .filter(secret_hash=presented.secret_hash, revoked_at__isnull=True)
        .first()
    )
    if found is None:
        raise KeyRefused("operator key")
    return found.pk


def key_holder(presented: PresentedKey) -> KeyHolder:
    """Return who holds a key of the tenant in scope; raise KeyRefused."""
    now = timezone.now()
    found = (
        ApiKey.objects.filter(secret_hash=presented.secret_hash, revoked_at__isnull=True)
        .filter(Q(expires_at__isnull=True) | Q(expires_at__gt=now))
        .first()
    )
    if found is None or (presented.kind == "mbr") != (found.member_id is not None):
        raise KeyRefused("key")
    if tenant_is_suspended():
        raise KeyRefused("tenant")
    if (
        found.member_id
        and not Member.objects.filter(pk=found.member_id, suspended_at__isnull=True).exists()
    ):
        raise KeyRefused("member")
    if found.last_used_at is None or (now - found.last_used_at).total_seconds() > 60:
        # A long call of the same key may hold its row: then that call has noted the use.
        free = ApiKey.objects.select_for_update(skip_locked=True).filter(pk=found.pk)
        ApiKey.objects.filter(pk__in=free.values("pk")).update(last_used_at=now)
    return KeyHolder(found.pk, found.member_id, frozenset(found.scopes))


def tenant_is_suspended() -> bool:
    """Say whether the tenant in scope is suspended, off-boarded, or not there at all."""
    active = Tenant.objects.filter(suspended_at__isnull=True, closing_at__isnull=True)
    return not active.filter(pk=current_tenant_id()).exists()


def list_slugs(*, slug: str | None = None) -> dict[UUID, str]:
    """Return every tenant's id and slug, or that of one slug, as the operator; the oldest first."""
    found = Tenant.objects.using(OPERATOR).order_by("pk")
    return dict((found.filter(slug=slug) if slug else found).values_list("pk", "slug"))


def is_tenant_open() -> bool:
    """Say whether the tenant in scope is there and was not off-boarded."""
    return Tenant.objects.filter(pk=current_tenant_id(), closing_at__isnull=True).exists()


def standing_epoch() -> int | None:
    """Return the epoch of the tenant in scope, None where it is suspended, off-boarded or not there."""
    active = Tenant.objects.filter(suspended_at__isnull=True, closing_at__isnull=True)
    found = active.filter(pk=current_tenant_id()).values_list("salt_epoch", flat=True)
    return found.first()


def get_tenant() -> Tenant:
    """Return the tenant in scope."""
    return Tenant.objects.get(pk=current_tenant_id())


def get_member(*, member_id: UUID) -> Member:
    """Return an active or suspended member; raise MemberNotFound."""
    found = Member.objects.filter(pk=member_id).first()
    if found is None:
        raise MemberNotFound(member_id)
    return found


def find_member(*, text: str) -> Member:
    """Return the active member behind an id, external_id or e-mail address; raise MemberNotFound.

    Refuses a text that names two members: nobody is guessed.
    """
    text = unicodedata.normalize("NFC", text)
    by_id = parse_id("member", text)
    if by_id is not None:
        found = list(Member.objects.filter(pk=by_id, suspended_at__isnull=True))
    else:
        found = list(
            Member.objects.filter(
                Q(external_id=text) | Q(email=text.lower()), suspended_at__isnull=True
            )[:2]
        )
    if len(found) != 1:
        raise MemberNotFound(text)
    return found[0]


def list_members(*, after: UUID | None, limit: int) -> list[Member]:
    """Return members newest first, from the one after a cursor."""
    found = Member.objects.order_by("-id")
    return list((found.filter(pk__lt=after) if after else found)[:limit])


def list_groups(*, after: UUID | None, limit: int) -> list[Group]:
    """Return groups newest first, from the one after a cursor."""
    found = Group.objects.order_by("-id")
    return list((found.filter(pk__lt=after) if after else found)[:limit])


def get_group(*, group_id: UUID) -> Group:
    """Return a group; raise GroupNotFound."""
    found = Group.objects.filter(pk=group_id).first()
    if found is None:
        raise GroupNotFound(group_id)
    return found


def list_keys(*, member_id: UUID | None) -> list[ApiKey]:
    """Return a member's keys, or the services'; never their secrets."""
    return list(ApiKey.objects.filter(member_id=member_id).order_by("-id"))


def list_events(
    *,
    after: UUID | None,
    limit: int,
    action: str | None = None,
    actor_id: UUID | None = None,
    object_id: UUID | None = None,
    since: datetime | None = None,
) -> list[AuditEvent]:
    """Return audit events newest first; object_id also finds events that touched that document."""
    found = AuditEvent.objects.order_by("-id")
    if after:
        found = found.filter(pk__lt=after)
    if action:
        found = found.filter(action=action)
    if actor_id:
        found = found.filter(Q(actor_id=actor_id) | Q(member_id=actor_id))
    if object_id:
        found = found.filter(Q(object_id=object_id) | Q(document_ids__contains=[object_id]))
    if since:
        found = found.filter(at__gte=since)
    return list(found[:limit])
