"""Tables of who may see what."""

from __future__ import annotations

from django.db import models

from tenants.base import TenantModel


class GrantRole(models.TextChoices):
    """What a grant allows; each includes those before it."""

    READER = "reader", "Reader"
    EDITOR = "editor", "Editor"
    OWNER = "owner", "Owner"


class Audience(TenantModel):
    """A set of reading principals that chunks point at.

    A collection's audience is edited in place. A document with grants of its own has an interned
    one, found again by the digest of its principals: ambit.access.audiences.
    """

    digest = models.CharField(max_length=64, null=True)  # noqa: DJ001 - null: a collection's, not interned
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant_id", "digest"], name="audience_interned_once")
        ]


class Principal(TenantModel):
    """A member, a group or, with neither, the whole tenant."""

    member_id = models.UUIDField(null=True)
    group_id = models.UUIDField(null=True)

    class Meta:
        abstract = True


class AudiencePrincipal(Principal):
    """One reading principal of an audience."""

    audience_id = models.UUIDField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                # The principal first: a clearance looks for what its member or groups may read.
                fields=["tenant_id", "member_id", "group_id", "audience_id"],
                name="audience_principal_once",
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                condition=models.Q(member_id__isnull=True) | models.Q(group_id__isnull=True),
                name="audience_principal_is_one",
            ),
        ]
        indexes = [
            models.Index(
                fields=["tenant_id", "group_id", "audience_id"],
                name="audience_by_group",
                condition=models.Q(group_id__isnull=False),
            ),
            models.Index(fields=["tenant_id", "audience_id"], name="principal_by_audience"),
        ]


class Collection(TenantModel):
    """A set of documents that share grants."""

    name = models.CharField(max_length=200)
    audience_id = models.UUIDField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant_id", "name"], name="collection_name")
        ]


class Grant(Principal):
    """A principal's role on a collection or on a document."""

    collection_id = models.UUIDField(null=True)
    document_id = models.UUIDField(null=True)
    role = models.CharField(max_length=10, choices=GrantRole)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id", "collection_id", "document_id", "member_id", "group_id"],
                name="grant_once",
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                condition=models.Q(member_id__isnull=True) | models.Q(group_id__isnull=True),
                name="grant_principal_is_one",
            ),
            models.CheckConstraint(
                condition=models.Q(collection_id__isnull=True, document_id__isnull=False)
                | models.Q(collection_id__isnull=False, document_id__isnull=True),
                name="grant_object_is_one",
            ),
        ]
        indexes = [
            models.Index(fields=["tenant_id", "document_id"], name="grant_by_document"),
            models.Index(fields=["tenant_id", "member_id"], name="grant_by_member"),
            models.Index(fields=["tenant_id", "group_id"], name="grant_by_group"),
        ]
