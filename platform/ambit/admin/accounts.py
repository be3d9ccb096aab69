"""Write the accounts that sign in to the admin web UI."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from ambit.admin.seats import TENANT_ROLES
from ambit.corpus.queries import list_documents_as_custodian
from tenants.audit import record
from tenants.models import Account, Tenant
from tenants.queries import OPERATOR, TenantNotFound, get_member, get_tenant
from tenants.services import create_member

FIRST_OPERATOR = "operator"
# Without the characters that people take for one another.
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"


class RoleHasNoSeat(ValueError):
    """A member of this role has no use for a sign-in: it would see nothing."""


class AlreadyHoldsDocuments(ValueError):
    """The tenant holds documents, which an administrator of the operator's making could read."""


class AlreadyHasSignIns(ValueError):
    """The tenant has sign-ins: further ones are made by its own administrators."""


@dataclass(frozen=True, slots=True)
class NewSignIn:
    """A sign-in just made: the only time its password is known."""

    sign_in: str = field(repr=False)
    password: str = field(repr=False)


def one_time_password() -> str:
    """Return a password of 99 bits that can be read out loud."""
    groups = ("".join(secrets.choice(_LETTERS) for _ in range(5)) for _ in range(4))
    return "-".join(groups)


def create_first_operator() -> NewSignIn | None:
    """Make the operator's account when there is no account at all, else change nothing."""
    with transaction.atomic(using=OPERATOR):
        if Account.objects.using(OPERATOR).exists():
            return None
        account = Account(sign_in=FIRST_OPERATOR)
        password = _give_password(account)
        try:
            with transaction.atomic(using=OPERATOR):
                account.save(using=OPERATOR, force_insert=True)
        except IntegrityError:
            return None  # another process was first, and has shown its password
    return NewSignIn(FIRST_OPERATOR, password)


def give_sign_in(*, member_id: UUID) -> NewSignIn:
    """Give a member of the tenant in scope a sign-in, or a new password; raise RoleHasNoSeat."""
    member = get_member(member_id=member_id)
    if member.role not in TENANT_ROLES:
        raise RoleHasNoSeat(member.role)
    account = Account.objects.filter(
        tenant_id=member.tenant_id, member_id=member_id
    ).first() or Account(tenant_id=member.tenant_id, member_id=member_id)
    # Led by the tenant's slug: the same person in two tenants has two sign-ins, and neither
    # tenant learns of the other by a name that is taken.
    account.sign_in = f"{get_tenant().slug}/{member.email}".lower()
    account.is_active = True
    password = _give_password(account)
    account.save(using="default")
    record("account.sign_in_given", object_id=member_id)
    return NewSignIn(account.sign_in, password)


def withdraw_sign_in(*, member_id: UUID) -> None:
    """Remove a member's sign-in; its sessions end with it."""
    removed, _ = Account.objects.filter(member_id=member_id, tenant_id=get_tenant().pk).delete()
    if removed:
        record("account.sign_in_withdrawn", object_id=member_id)


def sign_in_of(*, member_id: UUID) -> Account | None:
    """Return the account of a member of the tenant in scope."""
    return Account.objects.filter(member_id=member_id, tenant_id=get_tenant().pk).first()


def has_sign_ins(*, tenant_id: UUID) -> bool:
    """Say, as the operator, whether anyone of a tenant can sign in."""
    return Account.objects.using(OPERATOR).filter(tenant_id=tenant_id).exists()


def create_first_administrator(*, tenant: Tenant, email: str, name: str) -> NewSignIn:
    """Make a new tenant's first administrator, in its scope; raise AlreadyHasSignIns, MemberTaken.

    An operator may do this once, and only while the tenant holds nothing: whoever can make
    administrators at will can read everything. Also raises AlreadyHoldsDocuments.
    """
    if has_sign_ins(tenant_id=tenant.pk):
        raise AlreadyHasSignIns(tenant.pk)
    if list_documents_as_custodian(after=None, limit=1):
        raise AlreadyHoldsDocuments(tenant.pk)
    member = create_member(external_id=email.lower(), email=email, name=name, role="admin")
    return give_sign_in(member_id=member.pk)


def get_any_tenant(*, tenant_id: UUID) -> Tenant:
    """Return a tenant as the operator; raise TenantNotFound."""
    found = Tenant.objects.using(OPERATOR).filter(pk=tenant_id).first()
    if found is None:
        raise TenantNotFound(tenant_id)
    return found


def set_tenant_suspended(*, tenant_id: UUID, suspended: bool) -> None:
    """Close a tenant's doors, or open them again, as the operator; raise TenantNotFound."""
    with transaction.atomic(using=OPERATOR):
        changed = (
            Tenant.objects.using(OPERATOR)
            .filter(pk=tenant_id)
            .update(suspended_at=timezone.now() if suspended else None)
        )
        if not changed:
            raise TenantNotFound(tenant_id)
        record(
            "tenant.suspended" if suspended else "tenant.resumed",
            object_id=tenant_id,
            using=OPERATOR,
            tenant_id=tenant_id,
        )


def password_was_changed(account: Account) -> None:
    """Let an account in without being asked again for a password of its own."""
    Account.objects.using(OPERATOR).filter(pk=account.pk).update(must_change_password=False)
    account.must_change_password = False
    if account.tenant_id is not None:
        record("account.password_changed", object_id=account.pk)


def _give_password(account: Account) -> str:
    password = one_time_password()
    account.set_password(password)
    account.must_change_password = True
    return password
