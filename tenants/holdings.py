"""What tenancy holds about a person: the member, its keys, account, sessions and memberships.

A member is matched by identifiers alone, NEVER by name: namesakes are other people.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.core import signing
from django.db import connection
from django.db.models import Q, QuerySet
from django.utils import timezone

from tenants.holding import Holding, Scope
from tenants.ids import NO_ID, parse_id
from tenants.models import Account, ApiKey, GroupMember, IdempotencyKey, Member
from tenants.queries import get_tenant
from tenants.scope import current_tenant_id
from tenants.services import bump_salt_epoch

# Kept on purpose: who did what, by id, is the evidence of the erasure itself.
EVIDENCE_TABLES = ("tenants_auditevent",)


class SubjectAmbiguous(LookupError):
    """A text names several members; nobody is guessed and nothing is erased."""


@dataclass(frozen=True, slots=True)
class MemberTrace:
    """A member with everything that leads to it; identifiers are for looking, never for keeping."""

    id: UUID
    email: str = field(repr=False)
    external_id: str = field(repr=False)
    name: str = field(repr=False)
    key_ids: tuple[UUID, ...]
    account_ids: tuple[UUID, ...]


def trace_member(*, kind: str, value: str) -> MemberTrace | None:
    """Return the member, suspended ones too, with this e-mail, external_id or id; None where none is.

    Of kind "member" the value may be a UUID, a public id, an external_id or an e-mail address.
    Raises SubjectAmbiguous when that names several.
    """
    exact = {value, unicodedata.normalize("NFC", value)}
    email = Q(email__in={text.lower() for text in exact})
    if kind == "email":
        matches = email
    elif kind == "external_id":
        matches = Q(external_id__in=exact)
    else:
        member_id = _member_id(value)
        matches = Q(pk=member_id) if member_id else Q(external_id__in=exact) | email
    found = list(Member.objects.filter(matches)[:2])
    if len(found) > 1:
        raise SubjectAmbiguous("several members")
    return _trace(found[0]) if found else None


def members_here(member_ids: Iterable[UUID]) -> set[UUID]:
    """Return those of the members that this tenant has, suspended ones too."""
    return set(Member.objects.filter(pk__in=list(member_ids)).values_list("pk", flat=True))


def hide_member(*, member_id: UUID) -> None:
    """Shut a member out in the caller's transaction: no key, account or clearance of it works on."""
    now = timezone.now()
    Member.objects.filter(pk=member_id, suspended_at__isnull=True).update(suspended_at=now)
    ApiKey.objects.filter(member_id=member_id, revoked_at__isnull=True).update(revoked_at=now)
    _accounts((member_id,)).update(is_active=False)


def _member_id(value: str) -> UUID | None:
    public = parse_id("member", value)
    if public is not None:
        return public
    try:
        return UUID(value)
    except ValueError:
        return None


def _trace(member: Member) -> MemberTrace:
    keys = ApiKey.objects.filter(member_id=member.pk).order_by("pk")
    return MemberTrace(
        id=member.pk,
        email=member.email,
        external_id=member.external_id,
        name=member.name,
        key_ids=tuple(keys.values_list("pk", flat=True)),
        account_ids=tuple(_accounts((member.pk,)).values_list("pk", flat=True)),
    )


def _accounts(member_ids: tuple[UUID, ...]) -> QuerySet[Account]:
    return Account.objects.using("default").filter(
        tenant_id=current_tenant_id(), member_id__in=member_ids
    )


def _memberships(scope: Scope) -> QuerySet[GroupMember]:
    return GroupMember.objects.filter(member_id__in=scope.member_ids)


def _keys(scope: Scope) -> QuerySet[ApiKey]:
    return ApiKey.objects.filter(Q(member_id__in=scope.member_ids) | Q(pk__in=scope.key_ids))


def _members(scope: Scope) -> QuerySet[Member]:
    return Member.objects.filter(pk__in=scope.member_ids)


def _requests(scope: Scope) -> QuerySet[IdempotencyKey]:
    return IdempotencyKey.objects.filter(
        Q(actor_id__in=scope.actor_ids) | Q(object_ids__overlap=list(scope.object_ids))
    )


def _destroy_requests(scope: Scope) -> None:
    """Delete what the members asked for, and forget what made the covered objects.

    The second kind keeps its place: a key whose row is gone would make the document again.
    """
    _requests(scope).filter(actor_id__in=scope.actor_ids).delete()
    covered = set(scope.object_ids)
    for row in _requests(scope).select_for_update().order_by("pk"):
        row.object_ids = [NO_ID if one in covered else one for one in row.object_ids]
        row.request_hash = ""
        row.save(update_fields=["object_ids", "request_hash"])


def _requests_left(scope: Scope) -> int:
    wanted = set(scope.object_ids)
    rows = _rows(
        "SELECT actor_id, object_ids FROM tenants_idempotencykey WHERE tenant_id = %s",
        current_tenant_id(),
    )
    return sum(actor in wanted or bool(wanted.intersection(objects)) for actor, objects in rows)


def _sessions(scope: Scope) -> list[str]:
    """Return the keys of the sessions that the accounts are signed in with."""
    if not scope.account_ids:
        return []
    store = SessionStore()
    wanted = {str(account_id) for account_id in scope.account_ids}
    return [
        session.session_key
        for session in Session.objects.iterator()
        if store.decode(session.session_data).get("_auth_user_id") in wanted
    ]


def _sessions_left(scope: Scope) -> int:
    """Count sessions in whose signed payload an account's or member's id stands anywhere."""
    ids = (*scope.account_ids, *scope.member_ids)
    if not ids:
        return 0
    wanted = [text for one in ids for text in (str(one), one.hex)]
    payloads = (_payload(data) for (data,) in _rows("SELECT session_data FROM django_session"))
    return sum(any(text in payload for text in wanted) for payload in payloads)


def _payload(session_data: str) -> str:
    salt = f"django.contrib.sessions.{SessionStore.__qualname__}"
    try:
        return json.dumps(
            signing.loads(session_data, salt=salt, serializer=SessionBase().serializer)
        )
    except signing.BadSignature:
        # Nothing signs in with it, and nothing tells what is in it but the text itself.
        return session_data


def _destroy_sessions(scope: Scope) -> None:
    Session.objects.filter(session_key__in=_sessions(scope)).delete()


def _destroy_accounts(scope: Scope) -> None:
    # By SQL: the admin's own log points at accounts, and the application may not touch it.
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM tenants_account WHERE tenant_id = %s"
            " AND (member_id = ANY (%s) OR id = ANY (%s))",
            [current_tenant_id(), list(scope.member_ids), list(scope.account_ids)],
        )


def _rows_named_left(scope: Scope) -> int:
    """Count rows of any table, found through the catalogue, that still name a member."""
    tables = _rows(
        "SELECT table_name FROM information_schema.columns WHERE table_schema = 'public'"
        " AND column_name = 'member_id'"
    )
    total = _count("SELECT count(*) FROM tenants_member WHERE id = ANY (%s)", scope.member_ids)
    for (table,) in tables:
        if table not in EVIDENCE_TABLES:
            total += _count(
                f"SELECT count(*) FROM {connection.ops.quote_name(table)}"  # noqa: S608 - a name from the catalogue
                " WHERE member_id = ANY (%s)",
                scope.member_ids,
            )
    return total


def _cache_generations(scope: Scope) -> int:
    return int(scope.salt_epoch is not None and get_tenant().salt_epoch <= scope.salt_epoch)


def _end_cache_generation(scope: Scope) -> None:
    if _cache_generations(scope):
        bump_salt_epoch()


def _cache_generations_left(scope: Scope) -> int:
    if scope.salt_epoch is None:
        return 0
    return _count(
        "SELECT count(*) FROM tenants_tenant WHERE id = %s AND salt_epoch <= %s",
        current_tenant_id(),
        scope.salt_epoch,
    )


def _count(statement: str, *values: Any) -> int:
    return int(_rows(statement, *values)[0][0])


def _rows(statement: str, *values: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, [list(v) if isinstance(v, tuple) else v for v in values])
        return list(cursor.fetchall())


SESSIONS = Holding(
    name="sessions",
    title="Signed-in sessions of the member's account",
    found_by="the account each session is signed in as",
    destroyed_by="deletion of the rows",
    verified_by="every session's signed payload, searched for the ids of account and member",
    find=lambda scope: len(_sessions(scope)),
    destroy=_destroy_sessions,
    remains=_sessions_left,
)
REQUESTS = Holding(
    name="idempotency_records",
    title="Records of repeatable requests: the member's own, and what others say of the erased",
    found_by="the acting and the made ids",
    destroyed_by="deletion of the member's own; emptying what others say of the erased",
    verified_by="a reading of every such record of the tenant",
    find=lambda scope: _requests(scope).count(),
    destroy=_destroy_requests,
    remains=_requests_left,
)
MEMBERSHIPS = Holding(
    name="group_memberships",
    title="The member's places in groups",
    found_by="the member's id",
    destroyed_by="deletion of the rows",
    verified_by="a reading of every membership of the tenant",
    find=lambda scope: _memberships(scope).count(),
    destroy=lambda scope: _memberships(scope).delete(),
    remains=lambda scope: sum(
        member in scope.member_ids
        for member, _ in _rows(
            "SELECT member_id, group_id FROM tenants_groupmember WHERE tenant_id = %s",
            current_tenant_id(),
        )
    ),
)
KEYS = Holding(
    name="api_keys",
    title="The member's API keys",
    found_by="the member's id",
    destroyed_by="deletion of the rows",
    verified_by="the keys' own ids, noted when the request was received",
    find=lambda scope: _keys(scope).count(),
    destroy=lambda scope: _keys(scope).delete(),
    remains=lambda scope: _count(
        "SELECT count(*) FROM tenants_apikey WHERE id = ANY (%s)", scope.key_ids
    ),
)
ACCOUNTS = Holding(
    name="accounts",
    title="The member's sign-in to the admin site",
    found_by="the member's id",
    destroyed_by="deletion of the rows",
    verified_by="the account's own id, noted when the request was received",
    find=lambda scope: _accounts(scope.member_ids).count(),
    destroy=_destroy_accounts,
    remains=lambda scope: _count(
        "SELECT count(*) FROM tenants_account WHERE id = ANY (%s)", scope.account_ids
    ),
)
MEMBERS = Holding(
    name="members",
    title="The member's record: name, e-mail address, external id",
    found_by="e-mail address, external id or member id, never by name",
    destroyed_by="deletion of the row",
    verified_by="every table that has a column for members, listed from the database's catalogue",
    find=lambda scope: _members(scope).count(),
    destroy=lambda scope: _members(scope).delete(),
    remains=_rows_named_left,
)
MODEL_CACHE = Holding(
    name="model_cache",
    title="Generations of the model server's cache that can hold the content",
    found_by="the tenant's cache generation when the request was received",
    destroyed_by="beginning a new generation: no request reaches what the old one holds",
    verified_by="the generation that the next call to the model server will use",
    find=_cache_generations,
    destroy=_end_cache_generation,
    remains=_cache_generations_left,
)
