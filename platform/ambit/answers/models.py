"""Tables of saved answers; imported only inside ambit.answers."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models

from tenants.base import TenantModel


class Conversation(TenantModel):
    """Questions that a member asked one after another; nothing of what they say."""

    member_id = models.UUIDField()
    created_at = models.DateTimeField(auto_now_add=True)
    # Set in the transaction in which its member deletes it: from its commit nobody reads it.
    hidden_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            # What a turn references, so that it can be no other member's.
            models.UniqueConstraint(
                fields=["tenant_id", "id", "member_id"], name="conversation_member"
            )
        ]
        indexes = [
            models.Index(fields=["tenant_id", "member_id", "-id"], name="conversation_by_member")
        ]


class Exchange(TenantModel):
    """A question and its answer, sealed under a key of its own; readable by its asker alone."""

    member_id = models.UUIDField()
    # The conversation it is a turn of, which is the same member's.
    conversation_id = models.UUIDField(null=True)
    # The adapters behind it: its own, and those of the turns that it was told of. None of them: null.
    adapter_ids = ArrayField(models.UUIDField(), null=True)
    asked_at = models.DateTimeField(auto_now_add=True)
    wrapped_key = models.BinaryField()
    # JSON of question, answer, quotes and titles.
    body_sealed = models.BinaryField()
    generator = models.CharField(max_length=20)
    abstained = models.BooleanField()
    prompt_tokens = models.PositiveIntegerField(default=0)
    completion_tokens = models.PositiveIntegerField(default=0)
    cached_tokens = models.PositiveIntegerField(default=0)
    # Set in the transaction that gives it up to be destroyed, by age or by its asker: from its commit nobody reads it.
    hidden_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["tenant_id", "member_id", "-id"], name="exchange_by_member"),
            models.Index(fields=["tenant_id", "asked_at"], name="exchange_by_age"),
            models.Index(
                fields=["tenant_id", "conversation_id", "-id"],
                name="exchange_by_conversation",
                condition=models.Q(conversation_id__isnull=False),
            ),
            models.Index(
                fields=["tenant_id", "-id"],
                name="exchange_by_adapters",
                condition=models.Q(adapter_ids__isnull=False),
            ),
        ]


class ExchangePassage(TenantModel):
    """A passage that was given to the generator for an answer: what an erasure finds answers by."""

    exchange_id = models.UUIDField()
    member_id = models.UUIDField()
    document_id = models.UUIDField()
    version_id = models.UUIDField()
    chunk_id = models.UUIDField()

    class Meta:
        indexes = [
            models.Index(fields=["tenant_id", "exchange_id"], name="exchange_passage_of"),
            models.Index(fields=["tenant_id", "document_id"], name="exchange_passage_document"),
        ]


class AnsweringPolicy(TenantModel):
    """What a tenant wishes of its answers, one row at most; none, and one of defaults, alike: nothing."""

    # In the tenant's own words; plain, as names of its groups and collections are.
    rules = models.TextField(blank=True, default="")
    tone = models.CharField(max_length=20, default="neutral")
    # A short tag; empty: the question's.
    language = models.CharField(max_length=8, blank=True, default="")
    # How often it was changed; 0: never.
    version = models.PositiveIntegerField(default=0)
    updated_at = models.DateTimeField(null=True)
    updated_by_kind = models.CharField(max_length=16, blank=True, default="")
    updated_by_id = models.UUIDField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant_id"], name="answering_policy_once"),
        ]
