"""Base of every model that belongs to a tenant."""

from __future__ import annotations

from typing import ClassVar, Self, TypeVar

from django.db import models

from tenants.ids import uuid7
from tenants.scope import current_tenant_id

M = TypeVar("M", bound="TenantModel")


class TenantManager(models.Manager[M]):
    """Rows of the tenant in scope; raises NoTenantScope outside one, and never returns everything."""

    def get_queryset(self) -> models.QuerySet[M]:
        """Return the rows of the tenant in scope."""
        return super().get_queryset().filter(tenant_id=current_tenant_id())


class TenantModel(models.Model):
    """A row owned by one tenant; the database's primary key is (tenant_id, id)."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    # Outside a scope and with none given, making a row raises NoTenantScope.
    tenant_id = models.UUIDField(default=current_tenant_id, editable=False)

    objects: ClassVar[TenantManager[Self]] = TenantManager()

    class Meta:
        abstract = True

    def __str__(self) -> str:
        """Name the row by its id: logs print it, so it holds no content."""
        return f"{self._meta.model_name} {self.pk}"
