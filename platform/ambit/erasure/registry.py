"""Every place personal data is kept, in the order it is destroyed; and what every table is to that.

tests/architecture/test_holdings.py fails when a table or a column that can hold content is missing.
"""

from __future__ import annotations

from dataclasses import dataclass

from ambit.access.holdings import AUDIENCE_PLACES, GRANTS
from ambit.adapters.holdings import ADAPTERS
from ambit.answers.holdings import ANSWERS
from ambit.corpus.holdings import (
    CHUNKS,
    DOCUMENT_KEYS,
    DOCUMENTS,
    LEXEMES,
    MENTIONS,
    SUBJECTS,
    UPLOADS,
    VECTORS,
    VERSIONS,
)
from ambit.export.holdings import EXPORTS
from ambit.files.holdings import ORIGINALS
from ambit.jobs.holdings import JOBS, REDIS
from ambit.metering.holdings import USES
from tenants.holding import Holding
from tenants.holdings import (
    ACCOUNTS,
    KEYS,
    MEMBERS,
    MEMBERSHIPS,
    MODEL_CACHE,
    REQUESTS,
    SESSIONS,
)

# Work in progress loses its claim first, then what opens ciphertext goes, then the ciphertext; a
# row goes before the row it points at.
HOLDINGS: tuple[Holding, ...] = (
    JOBS,
    EXPORTS,
    DOCUMENT_KEYS,
    ORIGINALS,
    VECTORS,
    LEXEMES,
    CHUNKS,
    ANSWERS,
    ADAPTERS,
    USES,
    SUBJECTS,
    MENTIONS,
    GRANTS,
    VERSIONS,
    DOCUMENTS,
    UPLOADS,
    AUDIENCE_PLACES,
    SESSIONS,
    REQUESTS,
    MEMBERSHIPS,
    KEYS,
    ACCOUNTS,
    MEMBERS,
    REDIS,
    MODEL_CACHE,
)


@dataclass(frozen=True, slots=True)
class Table:
    """What a table is to an erasure: held by holdings, or kept for a reason; with every content column."""

    content: tuple[str, ...] = ()
    held_by: tuple[Holding, ...] = ()
    kept_because: str = ""
    # Whether a scrub rewrites it, so that no page keeps what was destroyed; or else why it need not.
    rewritten: bool = False
    harmless_on_disk: str = ""


CONFIGURATION = "the tenant's own configuration, about no person"
FRAMEWORK = "written by the framework about the code, never by a user"
EVIDENCE = "kept as evidence: ids, counts and keyed hashes, no content"
IDS = "ids and words of ours, which lead nowhere once what they name is gone"
SEALED = "sealed under the document's key, which is destroyed and scrubbed, and keyed hashes"
PROOF = "hashes and salted commitments that prove the audit events: they tell nothing by themselves"

TABLES: dict[str, Table] = {
    "tenants_tenant": Table(
        ("name", "slug"), kept_because="the customer, not a person in it", rewritten=True
    ),
    "tenants_member": Table(("external_id", "email", "name", "role"), (MEMBERS,), rewritten=True),
    "tenants_group": Table(("external_id", "name"), kept_because=CONFIGURATION, rewritten=True),
    "tenants_groupmember": Table((), (MEMBERSHIPS,), harmless_on_disk=IDS),
    "tenants_groupchild": Table((), kept_because=CONFIGURATION),
    "tenants_apikey": Table(("name", "secret_hash", "scopes"), (KEYS,), rewritten=True),
    "tenants_operatorkey": Table(
        ("name", "secret_hash"), kept_because="the operator's own, outside every tenant"
    ),
    "tenants_account": Table(("password", "sign_in"), (ACCOUNTS,), rewritten=True),
    "tenants_auditevent": Table(
        ("actor_kind", "action", "document_ids", "chunk_ids", "counts"), kept_because=EVIDENCE
    ),
    "audit_log": Table(("frontier",), kept_because=PROOF),
    "audit_copying": Table(("place", "fault"), kept_because="how copying goes, about no tenant"),
    "audit_leaf": Table(("hash", "who", "what"), kept_because=PROOF),
    "audit_subtree": Table(("hash",), kept_because=PROOF),
    "audit_checkpoint": Table(("root", "note"), kept_because=PROOF),
    "tenants_idempotencykey": Table(
        ("key_hash", "request_hash", "object_kind", "object_ids"), (REQUESTS,), rewritten=True
    ),
    "access_audience": Table(
        ("digest",), kept_because="a hash of ids, which lead nowhere once the member is gone"
    ),
    "access_audienceprincipal": Table((), (AUDIENCE_PLACES,), harmless_on_disk=IDS),
    "access_collection": Table(("name",), kept_because=CONFIGURATION, rewritten=True),
    "access_grant": Table(("role",), (GRANTS,), harmless_on_disk=IDS),
    "corpus_document": Table(
        ("external_id", "title_sealed", "metadata"), (DOCUMENTS, UPLOADS), rewritten=True
    ),
    "corpus_documentkey": Table(("wrapped",), (DOCUMENT_KEYS,), rewritten=True),
    "corpus_version": Table(
        (
            "state",
            "reason_code",
            "reason",
            "file_name_sealed",
            "declared_media_type",
            "media_type",
            "language",
            "content_mac",
        ),
        (VERSIONS,),
        rewritten=True,
    ),
    "corpus_subject": Table(("type", "value_mac"), (SUBJECTS,), rewritten=True),
    "corpus_mention": Table(("kind", "value_mac"), (MENTIONS,), rewritten=True),
    "corpus_chunk": Table(("body_sealed", "embedded_mac"), (CHUNKS,), harmless_on_disk=SEALED),
    "corpus_chunkvector": Table(("embedding",), (VECTORS,), rewritten=True),
    "corpus_chunklexemes": Table(("words",), (LEXEMES,), rewritten=True),
    "answers_conversation": Table((), (ANSWERS,), harmless_on_disk=IDS),
    "answers_exchange": Table(
        ("adapter_ids", "wrapped_key", "body_sealed", "generator"), (ANSWERS,), rewritten=True
    ),
    "answers_exchangepassage": Table((), (ANSWERS,), harmless_on_disk=IDS),
    "adapters_adapter": Table(
        (
            "name",
            "served_name",
            "base",
            "sha256",
            "audience_ids",
            "state",
            "retired_because",
            "load_fault",
        ),
        (ADAPTERS,),
        rewritten=True,
    ),
    "adapters_trainingdocument": Table((), kept_because=EVIDENCE),
    "metering_use": Table(("kind", "model", "outcome"), (USES,), harmless_on_disk=IDS),
    "metering_useday": Table(("kind", "model"), (USES,), harmless_on_disk=IDS),
    "metering_usemonth": Table((), kept_because="the tenant's sums, about no person"),
    "metering_limit": Table((), kept_because=CONFIGURATION),
    "answers_answeringpolicy": Table(
        ("rules", "tone", "language", "updated_by_kind"),
        kept_because=CONFIGURATION,
        rewritten=True,
    ),
    "erasure_erasure": Table(
        (
            "state",
            "subject_type",
            "subject_mac",
            "reason_sealed",
            "extension_sealed",
            "refusal_sealed",
            "requested_by_kind",
            "shredded_files",
            "log_position",
            "log_segment",
            "waits_for",
        ),
        kept_because=f"{EVIDENCE}; reasons are sealed, with the subject's identifiers taken out",
        # A reason is sealed anew where the person became known only after it was written.
        rewritten=True,
    ),
    "erasure_receipt": Table(
        ("note",), kept_because=f"{EVIDENCE}; never changed, so that its signature holds"
    ),
    "erasure_pendingrequest": Table(
        ("wrapped_key", "named_sealed"),
        kept_because="sealed under a key of its own until the identity check ends, when both go",
        rewritten=True,
    ),
    "erasure_restriction": Table(
        ("basis", "subject_type", "reason_sealed", "placed_by_kind"),
        kept_because=f"{EVIDENCE}; reasons are sealed, with the subject's identifiers taken out",
    ),
    "erasure_restrictionitem": Table(("kind",), kept_because=EVIDENCE),
    "erasure_retentionpolicy": Table(("data_class",), kept_because=CONFIGURATION),
    "erasure_erasureitem": Table(("kind",), kept_because=EVIDENCE),
    "erasure_erasureholding": Table(("name",), kept_because=EVIDENCE),
    "export_export": Table(
        (
            "state",
            "subject_type",
            "subject_mac",
            "wrapped_key",
            "named_sealed",
            "reason_sealed",
            "requested_by_kind",
            "ended_because",
        ),
        (EXPORTS,),
        rewritten=True,
    ),
    "export_exportitem": Table((), kept_because=EVIDENCE),
    "notices_webhook": Table(
        ("name", "events", "wrapped_key", "sealed"),
        kept_because=f"{CONFIGURATION}: a recipient; its address and secret are sealed",
        rewritten=True,
    ),
    "notices_notice": Table(
        ("event", "document_ids", "subject_mac", "state", "last_fault"), kept_because=EVIDENCE
    ),
    "jobs_job": Table(("name",), (JOBS,), harmless_on_disk=IDS),
    "django_session": Table(("session_key", "session_data"), (SESSIONS,), rewritten=True),
    "django_admin_log": Table(
        ("object_id", "object_repr", "change_message"),
        kept_because="the application's role may not write it; pages record audit events instead",
    ),
    "ambit_admin_signinguess": Table(
        ("place_hash",),
        kept_because="keyed hashes of wrong sign-ins, which only the operator's role reaches",
    ),
    "django_content_type": Table(("app_label", "model"), kept_because=FRAMEWORK),
    "django_migrations": Table(("app", "name"), kept_because=FRAMEWORK),
    "auth_permission": Table(("name", "codename"), kept_because=FRAMEWORK),
    "auth_group": Table(("name",), kept_because="not used: groups are tenants_group"),
    "auth_group_permissions": Table((), kept_because="not used: groups are tenants_group"),
}
# What a scrub writes anew.
REWRITTEN = tuple(sorted(name for name, table in TABLES.items() if table.rewritten))
