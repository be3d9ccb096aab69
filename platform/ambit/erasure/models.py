"""Tables of erasure cases and what they cover."""

from __future__ import annotations

from django.db import models

from tenants.base import TenantModel


class ErasureState(models.TextChoices):
    """Where a case stands; each state's time is kept."""

    RECEIVED = "received", "Received"
    HIDDEN = "hidden", "Hidden"
    SCOPED = "scoped", "Scoped"
    SHREDDED = "shredded", "Shredded"
    SCRUBBED = "scrubbed", "Scrubbed"
    VERIFIED = "verified", "Verified"
    CLOSED = "closed", "Closed"
    INCOMPLETE = "incomplete", "Incomplete"
    HELD = "held", "Held in part"
    REFUSED = "refused", "Refused"


class Erasure(TenantModel):
    """A request to destroy a person's data or named documents, and its case."""

    state = models.CharField(max_length=12, choices=ErasureState, default=ErasureState.RECEIVED)
    dry_run = models.BooleanField(default=False)
    # email, external_id, member, documents; retention where it went by age, tenant where all of it ends.
    subject_type = models.CharField(max_length=20)
    # Keyed hash of the subject's identifier: the case never repeats whom it forgot.
    subject_mac = models.BinaryField(null=True)
    reason_sealed = models.BinaryField(null=True)
    requested_by_kind = models.CharField(max_length=16)
    requested_by_id = models.UUIDField(null=True)
    received_at = models.DateTimeField()
    # None while the identity check runs: the clock stands, and its end moves by the time it takes. None too
    # where nobody asked who could wait for an answer.
    due_at = models.DateTimeField(null=True)
    # When the identity check ended well; None also where the tenant vouched from the start.
    identified_at = models.DateTimeField(null=True)
    # When two further months were taken, and why.
    extended_at = models.DateTimeField(null=True)
    extension_sealed = models.BinaryField(null=True)
    refused_at = models.DateTimeField(null=True)
    refusal_sealed = models.BinaryField(null=True)
    # The highest share of its time, in percent, that the case was brought to mind at.
    alarmed_percent = models.PositiveSmallIntegerField(default=0)
    hidden_at = models.DateTimeField(null=True)
    # When what it covers had been counted in every place, before anything of it was destroyed.
    scoped_at = models.DateTimeField(null=True)
    # When rows, files and keys were destroyed: what is left of them on disk opens no more.
    shredded_at = models.DateTimeField(null=True)
    # The transaction that had destroyed all by then, 0: none yet; and the files its tables were in.
    shredded_xid = models.BigIntegerField(default=0)
    shredded_files = models.JSONField(default=dict)
    # When those files and the log were rewritten, and what shows it.
    scrubbed_at = models.DateTimeField(null=True)
    log_position = models.CharField(max_length=20, blank=True)
    # The last segment of the log in which it can be, while somebody keeps that.
    log_segment = models.CharField(max_length=24, blank=True)
    # Why it has to wait: a reason of ambit.scrub.blocked or ambit.erasure.tombstones, or empty.
    waits_for = models.CharField(max_length=10, blank=True)
    verified_at = models.DateTimeField(null=True)
    # When all but what is under a hold was destroyed.
    held_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)
    # The last time something was found to be left.
    incomplete_at = models.DateTimeField(null=True)
    # Of a case that repeats another after a backup was restored: that one, which this database may not have;
    # of a tenant that ends again, the tenant.
    repeats_id = models.UUIDField(null=True)
    # Whose numbers those of transactions, files and the log are: Postgres' system identifier.
    database_system = models.BigIntegerField(default=0)
    # The tenant's cache generation when the case was first counted, until then when it was received.
    salt_epoch = models.PositiveIntegerField(default=0)
    # The request's transaction: the case is settled once every older one has ended.
    request_xid = models.BigIntegerField(default=0)
    # Of the documents, those that declare other identifiers too, of this or of other people.
    n_shared_documents = models.PositiveIntegerField(default=0)
    # Of the documents, those that do not declare the person and that somebody named as about the person.
    n_confirmed_documents = models.PositiveIntegerField(default=0)
    attempts = models.PositiveIntegerField(default=0)

    class Meta:
        indexes = [models.Index(fields=["tenant_id", "-id"], name="erasure_by_time")]


class ErasureItem(TenantModel):
    """One thing a case covers, found when it was received."""

    erasure_id = models.UUIDField()
    kind = models.CharField(max_length=16)  # document, member, key, account, answer
    object_id = models.UUIDField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id", "erasure_id", "kind", "object_id"], name="erasure_item_once"
            )
        ]
        indexes = [models.Index(fields=["tenant_id", "object_id"], name="erasure_item_object")]


class ErasureHolding(TenantModel):
    """What one holding held of a case and what became of it; counts outlive a killed worker."""

    erasure_id = models.UUIDField()
    name = models.CharField(max_length=40)
    found = models.PositiveIntegerField(default=0)
    destroyed = models.PositiveIntegerField(default=0)
    # None: not looked at yet, or it could not be reached.
    remaining = models.PositiveIntegerField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id", "erasure_id", "name"], name="erasure_holding_once"
            )
        ]


class Receipt(TenantModel):
    """What was signed of a case, byte for byte; its id is made of its hash. Insert-only."""

    erasure_id = models.UUIDField()
    # From 1; a later one names the one before by its hash.
    serial = models.PositiveIntegerField()
    written_at = models.DateTimeField()
    # A signed note; without a signature where it was written before receipts were signed.
    note = models.TextField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id", "erasure_id", "serial"], name="receipt_once"
            )
        ]


class PendingRequest(TenantModel):
    """Whom or what a request names, sealed under a key of its own, while the identity check runs.

    The row goes, key and all, in the transaction in which its case leaves `received`.
    """

    erasure_id = models.UUIDField()
    wrapped_key = models.BinaryField()
    named_sealed = models.BinaryField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant_id", "erasure_id"], name="pending_request_once")
        ]


class Restriction(TenantModel):
    """What may be stored and not used (Art. 18 GDPR); with a legal basis a hold, which nothing destroys."""

    # The letter of Art. 17(3) GDPR under which it is kept against an erasure; empty: none, no hold.
    basis = models.CharField(max_length=1, blank=True)
    # email, external_id, member, or documents.
    subject_type = models.CharField(max_length=20)
    reason_sealed = models.BinaryField()
    placed_by_kind = models.CharField(max_length=16)
    placed_by_id = models.UUIDField(null=True)
    placed_at = models.DateTimeField()
    # When a person looks again whether the hold is still needed.
    review_at = models.DateTimeField(null=True)
    lifted_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["tenant_id", "-id"], name="restriction_by_time")]


class RestrictionItem(TenantModel):
    """One thing a restriction is on.

    The held columns are set while a hold lasts: foreign keys, by which Postgres refuses to destroy
    a held document's key or a held member, whoever tries.
    """

    restriction_id = models.UUIDField()
    kind = models.CharField(max_length=16)  # document, member
    object_id = models.UUIDField()
    held_document_id = models.UUIDField(null=True)
    held_member_id = models.UUIDField(null=True)
    lifted_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id", "restriction_id", "kind", "object_id"],
                name="restriction_item_once",
            )
        ]
        indexes = [
            models.Index(fields=["tenant_id", "object_id"], name="restriction_item_object"),
        ]


class RetentionPolicy(TenantModel):
    """For how long a tenant keeps one class of its data; no row and no number alike: until it is erased."""

    data_class = models.CharField(max_length=20)  # answers, documents
    # What is in force; None: kept until erased.
    days = models.PositiveIntegerField(null=True)
    # A change that destroys more, and from when it counts: until then it can be taken back.
    next_days = models.PositiveIntegerField(null=True)
    effective_at = models.DateTimeField(null=True)
    # When the last round looked, by the database's clock: rounds come daily, so what is far off is no time.
    looked_at = models.DateTimeField(null=True)
    # Until when nothing goes by age, because the clock jumped.
    paused_until = models.DateTimeField(null=True)
    # The last case that was made of it.
    last_case_id = models.UUIDField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id", "data_class"], name="retention_class_once"
            ),
            models.CheckConstraint(
                # Nothing is ever older than no days at all.
                condition=(models.Q(days__isnull=True) | models.Q(days__gte=1))
                & (models.Q(next_days__isnull=True) | models.Q(next_days__gte=1)),
                name="retention_days",
            ),
        ]
