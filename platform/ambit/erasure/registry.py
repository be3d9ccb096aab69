"""Every place personal data is kept, in the order it is destroyed; and what every table is to that.

tests/architecture/test_holdings.py fails when a table or a column that can hold content is missing.
"""

from __future__ import annotations

from dataclasses import dataclass

from ambit.access.holdings import AUDIENCE_PLACES, GRANTS
from ambit.answers.holdings import ANSWERS
from ambit.corpus.holdings import (
    CHUNKS,
    DOCUMENT_KEYS,
    DOCUMENTS,
    LEXEMES,
    SUBJECTS,
    UPLOADS,
    VECTORS,
    VERSIONS,
)
from ambit.files.holdings import ORIGINALS
from ambit.jobs.holdings import JOBS, REDIS
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
    DOCUMENT_KEYS,
    ORIGINALS,
    VECTORS,
    LEXEMES,
    CHUNKS,
    ANSWERS,
    SUBJECTS,
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


CONFIGURATION = "the tenant's own configuration, about no person"
FRAMEWORK = "written by the framework about the code, never by a user"
EVIDENCE = "kept as evidence: ids, counts and keyed hashes, no content"

TABLES: dict[str, Table] = {
    "tenants_tenant": Table(("name", "slug"), kept_because="the customer, not a person in it"),
    "tenants_member": Table(("external_id", "email", "name", "role"), (MEMBERS,)),
    "tenants_group": Table(("external_id", "name"), kept_because=CONFIGURATION),
    "tenants_groupmember": Table((), (MEMBERSHIPS,)),
    "tenants_groupchild": Table((), kept_because=CONFIGURATION),
    "tenants_apikey": Table(("name", "secret_hash", "scopes"), (KEYS,)),
    "tenants_operatorkey": Table(
        ("name", "secret_hash"), kept_because="the operator's own, outside every tenant"
    ),
    "tenants_account": Table(("password", "sign_in"), (ACCOUNTS,)),
    "tenants_auditevent": Table(
        ("actor_kind", "action", "document_ids", "chunk_ids", "counts"), kept_because=EVIDENCE
    ),
    "tenants_idempotencykey": Table(
        ("key_hash", "request_hash", "object_kind", "object_ids"), (REQUESTS,)
    ),
    "access_audience": Table(
        ("digest",), kept_because="a hash of ids, which lead nowhere once the member is gone"
    ),
    "access_audienceprincipal": Table((), (AUDIENCE_PLACES,)),
    "access_collection": Table(("name",), kept_because=CONFIGURATION),
    "access_grant": Table(("role",), (GRANTS,)),
    "corpus_document": Table(("external_id", "title_sealed", "metadata"), (DOCUMENTS, UPLOADS)),
    "corpus_documentkey": Table(("wrapped",), (DOCUMENT_KEYS,)),
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
    ),
    "corpus_subject": Table(("type", "value_mac"), (SUBJECTS,)),
    "corpus_chunk": Table(("body_sealed", "embedded_mac"), (CHUNKS,)),
    "corpus_chunkvector": Table(("embedding",), (VECTORS,)),
    "corpus_chunklexemes": Table(("words",), (LEXEMES,)),
    "answers_exchange": Table(("wrapped_key", "body_sealed", "generator"), (ANSWERS,)),
    "answers_exchangepassage": Table((), (ANSWERS,)),
    "erasure_erasure": Table(
        (
            "state",
            "subject_type",
            "subject_mac",
            "reason_sealed",
            "requested_by_kind",
            "receipt",
        ),
        kept_because=f"{EVIDENCE}; the reason is sealed, with the subject's identifiers taken out",
    ),
    "erasure_erasureitem": Table(("kind",), kept_because=EVIDENCE),
    "erasure_erasureholding": Table(("name",), kept_because=EVIDENCE),
    "jobs_job": Table(("name",), (JOBS,)),
    "django_session": Table(("session_key", "session_data"), (SESSIONS,)),
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
