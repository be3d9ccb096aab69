"""Write tenants, members, groups and keys."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from tenants.audit import record
from tenants.ids import uuid7
from tenants.models import (
    ApiKey,
    Group,
    GroupChild,
    GroupMember,
    Member,
    OperatorKey,
    Role,
    Tenant,
)
from tenants.queries import GroupNotFound, KeyNotFound, MemberNotFound
from tenants.scope import current_tenant_id
from tenants.secrets import KeyKind, new_key

OPERATOR = "operator"
SCOPES = (
    "directory",
    "collections",
    "documents:read",
    "documents:write",
    "search",
    "answers",
    "erasures",
    "audit",
    "exports",
    "webhooks",
    "adapters",
    "usage",
)
MEMBER_SCOPES = SCOPES


class SlugTaken(ValueError):
    """Another tenant has this slug."""


class MemberTaken(ValueError):
    """The tenant has a member of this external_id or e-mail address."""


class GroupTaken(ValueError):
    """The tenant has a group of this external_id."""


class GroupCycle(ValueError):
    """The group would contain itself."""


class UnknownScope(ValueError):
    """A key was asked for with a scope that does not exist."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made: the only time its text is known."""

    id: UUID
    text: str = field(repr=False)
    scopes: tuple[str, ...]
    expires_at: datetime | None


def create_operator_key(*, name: str) -> str:
    """Make an operator's key and return its text, which is not kept."""
    text, secret_hash = new_key("op", tenant_id=None)
    OperatorKey(name=name, secret_hash=secret_hash).save(using=OPERATOR, force_insert=True)
    return text


def create_tenant(
    *, name: str, slug: str, make_keys: Callable[[UUID], None]
) -> tuple[Tenant, NewKey]:
    """Create a tenant and its first service key, as the operator; raise SlugTaken.

    make_keys makes the tenant's wrapping keys and must be durable before the tenant exists.
    """
    tenant = Tenant(id=uuid7(), name=name, slug=slug)
    make_keys(tenant.pk)
    try:
        with transaction.atomic(using=OPERATOR):
            tenant.save(using=OPERATOR, force_insert=True)
            key = _make_key(
                "svc", tenant.pk, name="first service key", scopes=SCOPES, using=OPERATOR
            )
            record("tenant.created", object_id=tenant.pk, using=OPERATOR, tenant_id=tenant.pk)
    except IntegrityError as error:
        raise SlugTaken(slug) from error
    return tenant, key


def create_member(*, external_id: str, email: str, name: str, role: str) -> Member:
    """Add a member to the tenant in scope; raise MemberTaken.

    Names are kept in Unicode form NFC: an erasure looks for that form alone.
    """
    external_id, email = (unicodedata.normalize("NFC", text) for text in (external_id, email))
    try:
        with transaction.atomic():
            member = Member.objects.create(
                external_id=external_id, email=email.lower(), name=name, role=Role(role)
            )
    except IntegrityError as error:
        raise MemberTaken(external_id) from error
    record("member.created", object_id=member.pk)
    return member


def set_member_suspended(*, member_id: UUID, suspended: bool) -> None:
    """Suspend a member, who then sees nothing and whose keys are refused, or let it back."""
    changed = Member.objects.filter(pk=member_id).update(
        suspended_at=timezone.now() if suspended else None
    )
    if not changed:
        raise MemberNotFound(member_id)
    record("member.suspended" if suspended else "member.resumed", object_id=member_id)


def set_member_role(*, member_id: UUID, role: str) -> None:
    """Change what a member may do; raise MemberNotFound."""
    if not Member.objects.filter(pk=member_id).update(role=Role(role)):
        raise MemberNotFound(member_id)
    record("member.role_changed", object_id=member_id)


def create_service_key(
    *, name: str, scopes: Sequence[str], expires_at: datetime | None = None
) -> NewKey:
    """Make a service key for the tenant in scope; raise UnknownScope."""
    key = _make_key("svc", current_tenant_id(), name=name, scopes=scopes, expires_at=expires_at)
    record("key.created", object_id=key.id)
    return key


def create_member_key(
    *, member_id: UUID, name: str, scopes: Sequence[str], expires_at: datetime | None = None
) -> NewKey:
    """Make a member's own key; raise MemberNotFound, UnknownScope."""
    if not Member.objects.filter(pk=member_id).exists():
        raise MemberNotFound(member_id)
    key = _make_key(
        "mbr",
        current_tenant_id(),
        name=name,
        scopes=scopes,
        expires_at=expires_at,
        member_id=member_id,
    )
    record("key.created", object_id=key.id)
    return key


def revoke_key(*, key_id: UUID) -> None:
    """Refuse a key from now on; raise KeyNotFound."""
    revoked = ApiKey.objects.filter(pk=key_id, revoked_at__isnull=True).update(
        revoked_at=timezone.now()
    )
    if not revoked and not ApiKey.objects.filter(pk=key_id).exists():
        raise KeyNotFound(key_id)
    if revoked:
        record("key.revoked", object_id=key_id)


def create_group(*, external_id: str, name: str) -> Group:
    """Add a group to the tenant in scope; raise GroupTaken."""
    try:
        with transaction.atomic():
            group = Group.objects.create(external_id=external_id, name=name)
    except IntegrityError as error:
        raise GroupTaken(external_id) from error
    record("group.created", object_id=group.pk)
    return group


def add_to_group(*, group_id: UUID, member_id: UUID) -> None:
    """Put a member into a group; once is as good as twice. Raises GroupNotFound, MemberNotFound."""
    _require_group(group_id)
    if not Member.objects.filter(pk=member_id).exists():
        raise MemberNotFound(member_id)
    _, made = GroupMember.objects.get_or_create(group_id=group_id, member_id=member_id)
    if made:
        record("group.member_added", object_id=group_id)


def remove_from_group(*, group_id: UUID, member_id: UUID) -> None:
    """Take a member out of a group: one row, in force with the next statement."""
    _require_group(group_id)
    removed, _ = GroupMember.objects.filter(group_id=group_id, member_id=member_id).delete()
    if removed:
        record("group.member_removed", object_id=group_id)


def nest_group(*, parent_id: UUID, child_id: UUID) -> None:
    """Put a group into a group; raise GroupCycle when the child already contains the parent."""
    with connection.cursor() as cursor:
        # Two nestings at once could each look fine and make a cycle together.
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))",
            [f"ambit.groups.{current_tenant_id()}"],
        )
    _require_group(parent_id)
    _require_group(child_id)
    if parent_id in groups_within(group_id=child_id):
        raise GroupCycle(parent_id)
    _, made = GroupChild.objects.get_or_create(parent_id=parent_id, child_id=child_id)
    if made:
        record("group.group_added", object_id=parent_id)


def unnest_group(*, parent_id: UUID, child_id: UUID) -> None:
    """Take a group out of a group."""
    _require_group(parent_id)
    removed, _ = GroupChild.objects.filter(parent_id=parent_id, child_id=child_id).delete()
    if removed:
        record("group.group_removed", object_id=parent_id)


def groups_within(*, group_id: UUID) -> set[UUID]:
    """Return a group and every group inside it, at any depth."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH RECURSIVE inside (id) AS (
                SELECT %(group)s::uuid
              UNION
                SELECT gc.child_id FROM tenants_groupchild gc JOIN inside ON gc.parent_id = inside.id
                WHERE gc.tenant_id = %(tenant)s
            ) SELECT id FROM inside
            """,
            {"group": group_id, "tenant": current_tenant_id()},
        )
        return {row[0] for row in cursor.fetchall()}


def bump_salt_epoch() -> None:
    """Make whatever a model server cached for this tenant unreachable; a transaction does so once.

    What takes something from a reader has Postgres do it (tenants/migrations/0006_revocations.py).
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT ambit_raise_epoch(%s)", [current_tenant_id()])


def _require_group(group_id: UUID) -> None:
    if not Group.objects.filter(pk=group_id).exists():
        raise GroupNotFound(group_id)


def _make_key(
    kind: KeyKind,
    tenant_id: UUID,
    *,
    name: str,
    scopes: Sequence[str],
    expires_at: datetime | None = None,
    member_id: UUID | None = None,
    using: str = "default",
) -> NewKey:
    if not scopes or set(scopes) - set(SCOPES):
        raise UnknownScope(", ".join(sorted(set(scopes) - set(SCOPES))) or "none given")
    text, secret_hash = new_key(kind, tenant_id=tenant_id)
    key = ApiKey(
        tenant_id=tenant_id,
        name=name,
        member_id=member_id,
        secret_hash=secret_hash,
        scopes=list(dict.fromkeys(scopes)),
        expires_at=expires_at,
    )
    key.save(using=using, force_insert=True)
    return NewKey(key.pk, text, tuple(key.scopes), expires_at)
