"""Every column in which a data key lies wrapped by its tenant's key, and every binary column that holds none.

tests/architecture/test_wrapped.py fails when a binary column stands in neither, or a module makes data keys
that is not known here.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """A column of wrapped data keys."""

    table: str
    column: str
    # The column of the id that the key is bound to.
    bound_to: str = "id"
    # Whether the key stands in front of what it sealed, after two bytes that say how long it is.
    leads: bool = False


WRAPPED = (
    WrappedKey("corpus_documentkey", "wrapped", bound_to="document_id"),
    WrappedKey("answers_exchange", "wrapped_key"),
    WrappedKey("export_export", "wrapped_key"),
    WrappedKey("export_export", "reason_sealed", leads=True),
    WrappedKey("notices_webhook", "wrapped_key"),
    WrappedKey("erasure_pendingrequest", "wrapped_key", bound_to="erasure_id"),
    WrappedKey("erasure_erasure", "reason_sealed", leads=True),
    WrappedKey("erasure_erasure", "extension_sealed", leads=True),
    WrappedKey("erasure_erasure", "refusal_sealed", leads=True),
    WrappedKey("erasure_restriction", "reason_sealed", leads=True),
)

HASH = "a hash: what is hashed cannot be hashed anew, so its key is not rotated"
SEALED = "sealed under a data key that stands elsewhere"

HOLDS_NO_KEY: dict[tuple[str, str], str] = {
    ("audit_leaf", "hash"): HASH,
    ("audit_leaf", "who"): HASH,
    ("audit_leaf", "what"): HASH,
    ("audit_subtree", "hash"): HASH,
    ("audit_checkpoint", "root"): HASH,
    ("corpus_document", "title_sealed"): SEALED,
    ("corpus_version", "file_name_sealed"): SEALED,
    ("corpus_version", "content_mac"): HASH,
    ("corpus_subject", "value_mac"): HASH,
    ("corpus_mention", "value_mac"): HASH,
    ("corpus_chunk", "body_sealed"): SEALED,
    ("corpus_chunk", "embedded_mac"): HASH,
    ("answers_exchange", "body_sealed"): SEALED,
    ("export_export", "subject_mac"): HASH,
    ("export_export", "named_sealed"): SEALED,
    ("notices_webhook", "sealed"): SEALED,
    ("notices_notice", "subject_mac"): HASH,
    ("erasure_erasure", "subject_mac"): HASH,
    ("erasure_pendingrequest", "named_sealed"): SEALED,
}
