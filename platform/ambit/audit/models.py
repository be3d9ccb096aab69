"""What proves a tenant's audit events: their places in its tree, and what was signed of it."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models

from tenants.base import TenantModel


class Log(TenantModel):
    """A tenant's tree as it stands; its id is the tenant's."""

    size = models.BigIntegerField(default=0)
    # Hashes of the complete subtrees that the tree is made of, largest first.
    frontier = ArrayField(models.BinaryField(), default=list)
    # Of the checkpoints, which stand outside too; and since when.
    copied_size = models.BigIntegerField(default=0)
    copied_at = models.DateTimeField(null=True)
    # Of the events of a tenant that is off-boarded, those whose values were let go of.
    let_go_size = models.BigIntegerField(default=0)
    # The same of the bucket, where there is one.
    stored_size = models.BigIntegerField(default=0)
    stored_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["tenant_id"],
                name="log_not_copied",
                condition=models.Q(copied_size__lt=models.F("size")),
            )
        ]


class Copying(models.Model):
    """How copying to a place goes, for all tenants together; written by what copies."""

    place = models.CharField(max_length=10, primary_key=True)
    # Tenants of whom not all is there.
    n_behind = models.IntegerField(default=0)
    n_tries = models.IntegerField(default=0)
    # One word for what was in the way last; empty where nothing is.
    fault = models.CharField(max_length=40, blank=True)
    failing_since = models.DateTimeField(null=True)
    at = models.DateTimeField()

    def __str__(self) -> str:
        return self.place


class Leaf(TenantModel):
    """An event's place in the tree; its id is the event's. Insert-only."""

    number = models.BigIntegerField()
    hash = models.BinaryField()
    # What the leaf says of the event's values without showing them.
    who = models.BinaryField()
    what = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant_id", "number"], name="leaf_once")]


class Subtree(TenantModel):
    """A complete subtree of 256, 65,536 or 16,777,216 leaves; smaller ones follow from these. Insert-only."""

    level = models.SmallIntegerField()
    index = models.BigIntegerField()
    hash = models.BinaryField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant_id", "level", "index"], name="subtree_once")
        ]


class Checkpoint(TenantModel):
    """What was signed: the first so many events have this root. Insert-only."""

    size = models.BigIntegerField()
    root = models.BinaryField()
    at = models.DateTimeField()
    # When the newest of the events happened; what waited long is signed later than that.
    newest = models.DateTimeField()
    note = models.TextField()

    class Meta:
        indexes = [models.Index(fields=["tenant_id", "-size"], name="checkpoint_by_size")]
