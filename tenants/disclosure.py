"""What tenancy has of a member, to be told to that member (Art. 15 GDPR); never a secret."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q

from tenants.holding import Scope
from tenants.holdings import SESSIONS
from tenants.ids import public_id
from tenants.models import Account, ApiKey, AuditEvent, Group, GroupMember, Member
from tenants.scope import current_tenant_id

EVENTS_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Naming:
    """What a member is called and known by, to be recognised in a text."""

    id: UUID
    words: tuple[str, ...]


def disclose_member(member_id: UUID) -> dict[str, Any]:
    """Return a member's record, memberships, keys, sign-in and open sessions; times and names."""
    member = Member.objects.get(pk=member_id)
    accounts = Account.objects.using("default").filter(
        tenant_id=current_tenant_id(), member_id=member_id
    )
    account_ids = tuple(accounts.values_list("pk", flat=True))
    scope = Scope(tenant_id=current_tenant_id(), account_ids=account_ids)
    return {
        "record": {
            "id": public_id("member", member.pk),
            "external_id": member.external_id,
            "email": member.email,
            "name": member.name,
            "role": member.role,
            "created_at": _text(member.created_at),
            "suspended_at": _text(member.suspended_at),
        },
        "groups": list(_groups(member_id)),
        "keys": [_key(key) for key in ApiKey.objects.filter(member_id=member_id).order_by("pk")],
        "sign_in": [
            {
                "sign_in": account.sign_in,
                "active": account.is_active,
                "created_at": _text(account.created_at),
                "last_signed_in_at": _text(account.last_login),
            }
            for account in accounts
        ],
        "open_sessions": SESSIONS.find(scope),
    }


def _groups(member_id: UUID) -> Iterator[dict[str, Any]]:
    ids = GroupMember.objects.filter(member_id=member_id).values("group_id")
    for group in Group.objects.filter(pk__in=ids).order_by("pk"):
        yield {"id": public_id("group", group.pk), "name": group.name}


def _key(key: ApiKey) -> dict[str, Any]:
    return {
        "id": public_id("key", key.pk),
        "name": key.name,
        "scopes": list(key.scopes),
        "created_at": _text(key.created_at),
        "expires_at": _text(key.expires_at),
        "revoked_at": _text(key.revoked_at),
        "last_used_at": _text(key.last_used_at),
    }


def other_members(member_id: UUID | None) -> Iterator[Naming]:
    """Yield how every other member is named, so that they can be taken out of what is given away."""
    found = Member.objects.exclude(pk=member_id) if member_id else Member.objects.all()
    fields = ("pk", "email", "external_id", "name")
    for pk, *words in found.order_by("pk").values_list(*fields).iterator():
        yield Naming(pk, tuple(word for word in words if word))


def service_keys() -> dict[UUID, str]:
    """Return the names of the tenant's service keys, revoked ones too."""
    return dict(ApiKey.objects.filter(member_id=None).values_list("pk", "name"))


def events_about(
    *, actor_ids: Sequence[UUID], object_ids: Sequence[UUID], document_ids: Sequence[UUID]
) -> Iterator[AuditEvent]:
    """Yield what these did, what was done to them and to these documents, oldest first.

    For nothing given, nothing.
    """
    about = (
        Q(actor_id__in=actor_ids)
        | Q(member_id__in=actor_ids)
        | Q(object_id__in=[*object_ids, *document_ids])
    )
    if document_ids:
        about |= Q(document_ids__overlap=list(document_ids))
    found = AuditEvent.objects.filter(about).order_by("pk")
    after: UUID | None = None
    while True:
        rows = list((found.filter(pk__gt=after) if after else found)[:EVENTS_AT_ONCE])
        yield from rows
        if len(rows) < EVENTS_AT_ONCE:
            return
        after = rows[-1].pk


def _text(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
