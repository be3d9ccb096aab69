"""Tables of tenants, the people and keys that act for them, and what they did."""

from __future__ import annotations

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.postgres.fields import ArrayField
from django.db import models

from tenants.base import TenantModel
from tenants.ids import uuid7


class Role(models.TextChoices):
    """What a member may do beside reading what was granted."""

    MEMBER = "member", "Member"
    ADMIN = "admin", "Administrator"
    PRIVACY_OFFICER = "privacy_officer", "Privacy officer"
    AUDITOR = "auditor", "Auditor"


class Tenant(models.Model):
    """A customer."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=200)
    slug = models.SlugField(max_length=63, unique=True)
    # Raised by erasure and revocation: whatever a model server cached under the old salt is unreachable.
    salt_epoch = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    suspended_at = models.DateTimeField(null=True, blank=True)
    # From when on it is off-boarded: nobody is let in, and Postgres takes no new row of it.
    closing_at = models.DateTimeField(null=True, blank=True, editable=False)
    # When the last of it was verified to be gone; of the row are left the id and a hash of the slug.
    closed_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        indexes = [
            models.Index(
                fields=["id"], name="tenant_closing", condition=models.Q(closing_at__isnull=False)
            )
        ]

    def __str__(self) -> str:
        return self.name


class Member(TenantModel):
    """A person in a tenant."""

    external_id = models.CharField(max_length=200)
    email = models.EmailField(max_length=254)
    name = models.CharField(max_length=200, blank=True)
    role = models.CharField(max_length=20, choices=Role, default=Role.MEMBER)
    created_at = models.DateTimeField(auto_now_add=True)
    suspended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant_id", "external_id"], name="member_external_id"),
            models.UniqueConstraint(fields=["tenant_id", "email"], name="member_email"),
        ]


class Group(TenantModel):
    """A set of members and of other groups."""

    external_id = models.CharField(max_length=200)
    name = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant_id", "external_id"], name="group_external_id")
        ]


class GroupMember(TenantModel):
    """A member's place in a group."""

    group_id = models.UUIDField()
    member_id = models.UUIDField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id", "member_id", "group_id"], name="group_member_once"
            )
        ]
        indexes = [models.Index(fields=["tenant_id", "group_id"], name="group_member_by_group")]


class GroupChild(TenantModel):
    """A group inside a group: members of the child count as members of the parent."""

    parent_id = models.UUIDField()
    child_id = models.UUIDField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id", "child_id", "parent_id"], name="group_child_once"
            ),
            models.CheckConstraint(
                condition=~models.Q(parent_id=models.F("child_id")), name="group_not_its_own_child"
            ),
        ]
        indexes = [models.Index(fields=["tenant_id", "parent_id"], name="group_child_by_parent")]


class ApiKey(TenantModel):
    """A service's or member's key; only a keyed hash of the secret is kept."""

    name = models.CharField(max_length=200)
    # None: a service's key, which names the member it acts for with each call.
    member_id = models.UUIDField(null=True, blank=True)
    secret_hash = models.CharField(max_length=64, editable=False)
    scopes = ArrayField(models.CharField(max_length=32))
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant_id", "secret_hash"], name="api_key_secret")
        ]


class OperatorKey(models.Model):
    """An operator's key: tenants, never content. Readable by the operator's role alone."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=200)
    secret_hash = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"operator key {self.pk}"


class AccountManager(BaseUserManager["Account"]):
    """Accounts by their sign-in name; ask through the operator's connection."""


class Account(AbstractBaseUser):
    """A sign-in to the admin web UI: an operator's (no tenant) or a member's."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant_id = models.UUIDField(null=True, blank=True, editable=False)
    member_id = models.UUIDField(null=True, blank=True, editable=False)
    sign_in = models.CharField("sign-in name", max_length=320, unique=True)
    must_change_password = models.BooleanField(default=True)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = AccountManager()

    USERNAME_FIELD = "sign_in"

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant_id", "member_id"], name="account_of_member"),
            models.CheckConstraint(
                condition=models.Q(tenant_id__isnull=True, member_id__isnull=True)
                | models.Q(tenant_id__isnull=False, member_id__isnull=False),
                name="account_of_operator_or_member",
            ),
        ]

    def __str__(self) -> str:
        return f"account {self.pk}"

    @property
    def is_operator(self) -> bool:
        """Say whether this account belongs to the operator, who sees tenants and never content."""
        return self.tenant_id is None

    @property
    def is_staff(self) -> bool:
        """Let every active account into the admin site; what it sees there depends on its role."""
        return self.is_active

    def has_perm(self, perm: str, obj: models.Model | None = None) -> bool:
        """Refuse: each admin page declares who may use it, by role."""
        return False

    def has_module_perms(self, app_label: str) -> bool:
        """Let the admin site ask each page itself."""
        return True


class AuditEvent(TenantModel):
    """Who did what, to which objects, when; ids and counts, never content. Insert-only."""

    at = models.DateTimeField(auto_now_add=True)
    actor_kind = models.CharField(max_length=16)  # operator, service, member, worker
    actor_id = models.UUIDField(null=True)
    # The member a service's key acted for.
    member_id = models.UUIDField(null=True)
    action = models.CharField(max_length=64)
    object_id = models.UUIDField(null=True)
    document_ids = ArrayField(models.UUIDField(), default=list)
    chunk_ids = ArrayField(models.UUIDField(), default=list)
    counts = models.JSONField(default=dict)
    request_id = models.UUIDField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["tenant_id", "-at", "-id"], name="audit_by_time"),
            models.Index(fields=["tenant_id", "object_id"], name="audit_by_object"),
        ]


class IdempotencyKey(TenantModel):
    """What an Idempotency-Key has already made; the object's id, never its content."""

    actor_id = models.UUIDField()
    key_hash = models.CharField(max_length=64)
    request_hash = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField()
    object_kind = models.CharField(max_length=16)
    object_ids = ArrayField(models.UUIDField(), default=list)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id", "actor_id", "key_hash"], name="idempotency_key_once"
            )
        ]
        indexes = [models.Index(fields=["tenant_id", "created_at"], name="idempotency_key_by_age")]
