"""Everything that is kept of a tenant, place by place: what ends with it, in which order, and what stays and why.

tests/architecture/test_places.py fails when a table of tenants, or a holding, is in neither list. What finds, what
destroys and what looks again go different ways, as with the holdings of a person's data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ambit.adapters.holdings import count_adapters, count_files_of_tenant, destroy_adapters
from ambit.audit.closing import count_values, count_values_left
from ambit.erasure import ending, rows
from ambit.erasure.ending import Ending

FOREIGN_KEY = "no document is left that one could belong to, and Postgres' own key between the two is in force"
CATALOGUE = "every table that has a column for tenants, listed from the database's catalogue and read row by row"
# Let go of by keep_audit, which alone may, from the moment the off-boarding began.
AUDIT_VALUES = "audit_values"
DELETED = "deletion of the rows, a thousand at a time"
WITH_DOCUMENTS = "deletion of the rows, two hundred documents at a time"


@dataclass(frozen=True, slots=True)
class Place:
    """Where something of a tenant is kept; each function is called in the tenant's scope, in custody.

    `destroy` does a bounded part and returns how much went, 0 when nothing is left to be done; None: it goes with
    another place. Each raises HoldingFailed where the place cannot be reached.
    """

    name: str
    title: str
    found_by: str
    destroyed_by: str
    verified_by: str
    find: Callable[[Ending], int]
    destroy: Callable[[Ending], dict[str, int]] | None
    remains: Callable[[Ending], int]
    table: str = ""


def _table(table: str, title: str) -> Place:
    return Place(
        name=table,
        title=title,
        found_by="the tenant's id",
        destroyed_by=DELETED,
        verified_by=CATALOGUE,
        find=lambda over: rows.count(table, over),
        destroy=lambda over: {table: rows.delete(table, over)},
        remains=lambda over: rows.count_left(table, over),
        table=table,
    )


def _part(table: str, title: str, *, of_readers: bool = False) -> Place:
    """Describe a table whose rows go with their documents; of_readers: nobody without a clearance sees them."""
    return Place(
        name=table,
        title=title,
        found_by="the tenant's id, in the reach of all its readers"
        if of_readers
        else "its documents",
        destroyed_by=WITH_DOCUMENTS,
        verified_by=FOREIGN_KEY if of_readers else CATALOGUE,
        find=lambda over: rows.count(table, over, of_readers=of_readers),
        destroy=None,
        remains=lambda over: (
            rows.count_unbound(table, over) if of_readers else rows.count_left(table, over)
        ),
        table=table,
    )


# Work loses its claim first; rows go before those that they point at; what opens ciphertext goes last of all, when
# nothing needs it any more, so that copies in backups open no more.
PLACES: tuple[Place, ...] = (
    Place(
        name="queue",
        title="Messages and other entries in Redis",
        found_by="a search of every key and value for the tenant's ids",
        destroyed_by="deletion of the entries",
        verified_by="each waiting message taken apart, and Redis' own search for keys that name the tenant",
        find=ending.find_entries,
        destroy=ending.destroy_entries,
        remains=ending.entries_left,
    ),
    Place(
        name="jobs_job",
        title="Work waiting to be done",
        found_by="the tenant's id",
        destroyed_by=DELETED,
        verified_by="every job of the tenant, read row by row: only that of this off-boarding may be there",
        find=lambda over: rows.count("jobs_job", over) - 1,
        destroy=lambda over: {"jobs_job": rows.delete("jobs_job", over, but=over.job_id)},
        remains=lambda over: rows.count_left("jobs_job", over) - 1,
        table="jobs_job",
    ),
    Place(
        name="sessions",
        title="Signed-in sessions",
        found_by="the account each session is signed in as",
        destroyed_by="deletion of the rows",
        verified_by="every session's signed payload, searched for the ids of the tenant's accounts",
        find=ending.find_sessions,
        destroy=ending.destroy_sessions,
        remains=ending.sessions_left,
    ),
    Place(
        name="originals",
        title="Files: originals, extracted texts, archives for people, half-written ones",
        found_by="the tenant's folder",
        destroyed_by="deletion of the files; an empty file stands in the folder's place",
        verified_by="a listing of the file store from its root, for names that hold the tenant's id",
        find=ending.find_files,
        destroy=ending.destroy_files,
        remains=ending.files_left,
    ),
    _table("export_exportitem", "Which documents an archive was made from"),
    _table("export_export", "Archives for people (Art. 15 GDPR), and the keys that open them"),
    Place(
        name="adapter_weights",
        title="Weights of adapters (LoRA), on disk and by name in model servers",
        found_by="the tenant's adapters that are not erased",
        destroyed_by="unloading from every model server and deletion of the files; a model server may keep weights in"
        " its memory until they are evicted or it is started anew, where no request reaches them",
        verified_by="a listing of the folder of weights, for folders that say they are the tenant's",
        find=lambda _over: count_adapters(),
        destroy=lambda _over: {"adapter_weights": destroy_adapters()},
        remains=lambda over: count_files_of_tenant(over.tenant_id),
    ),
    _table("adapters_trainingdocument", "Which documents adapters were trained on"),
    _table("adapters_adapter", "Adapters' records"),
    _table("answers_exchangepassage", "Passages that saved answers were made from"),
    _table("answers_exchange", "Saved questions and answers, each with the key that opens it"),
    _table("metering_use", "Single uses of models: when, by whom, how many tokens"),
    _table("metering_useday", "Sums of uses by day, member, key and model"),
    _table("metering_usemonth", "Sums of uses by month"),
    _table("metering_limit", "Limits that the operator set"),
    _table("answers_answeringpolicy", "What the tenant wished of its answers, in its own words"),
    _table("answers_conversation", "Which questions belong together"),
    Place(
        name="corpus_document",
        title="Document records: title, metadata, external id, uploader",
        found_by="the tenant's id",
        destroyed_by=WITH_DOCUMENTS,
        verified_by=CATALOGUE,
        find=lambda over: rows.count("corpus_document", over),
        destroy=rows.delete_documents,
        remains=lambda over: rows.count_left("corpus_document", over),
        table="corpus_document",
    ),
    _part("corpus_documentkey", "Keys that open the documents' texts, titles and files"),
    _part("corpus_chunkvector", "Vectors that search by meaning compares", of_readers=True),
    _part("corpus_chunklexemes", "Keyed words that search by text compares", of_readers=True),
    _part("corpus_chunk", "Sealed pieces of the documents' texts", of_readers=True),
    _part("corpus_mention", "Keyed hashes of identifiers that stand in the documents"),
    _part("corpus_subject", "Keyed hashes of the people the documents declare"),
    _part("corpus_version", "Versions: file names, types, fingerprints of the content"),
    _table("access_grant", "Grants"),
    _table("access_audienceprincipal", "Places in lists of readers"),
    _table("access_collection", "Collections"),
    _table("access_audience", "Lists of readers"),
    _table("notices_notice", "Notices to recipients, also those not sent yet"),
    _table("notices_webhook", "Recipients, their addresses and secrets"),
    _table("erasure_pendingrequest", "Requests whose identity check was under way"),
    _table("erasure_retentionpolicy", "For how many days what is kept"),
    _table("erasure_restrictionitem", "What restrictions and released holds were on"),
    _table("erasure_restriction", "Restrictions and released holds, with their reasons"),
    Place(
        name="cases",
        title="Of cases of erasure: written reasons, keyed hashes of whom they were about, who asked",
        found_by="the tenant's id, where anything of it is there, or the case was still open",
        destroyed_by="emptying the columns; open cases are closed by the end of the tenant",
        verified_by="every case of the tenant, read row by row",
        find=ending.find_cases,
        destroy=ending.end_cases,
        remains=ending.cases_left,
    ),
    _table("tenants_idempotencykey", "Records of repeatable requests"),
    _table("tenants_apikey", "API keys"),
    _table("tenants_account", "Sign-ins to the admin site"),
    _table("tenants_groupmember", "Members' places in groups"),
    _table("tenants_groupchild", "Groups' places in groups"),
    _table("tenants_group", "Groups"),
    _table("tenants_member", "Members: names, e-mail addresses, external ids"),
    Place(
        name="vector_graph",
        title="The tenant's own vector graph",
        found_by="its name in the database's catalogue",
        destroyed_by="dropping the index",
        verified_by="the catalogue's list of indexes whose condition names the tenant",
        find=ending.find_graph,
        destroy=ending.destroy_graph,
        remains=ending.graphs_left,
    ),
    Place(
        name="model_cache",
        title="Generations of the model server's cache that can hold content",
        found_by="the tenant's cache generation when the off-boarding began",
        destroyed_by="beginning a new generation: no request reaches what the old one holds",
        verified_by="the generation that a call to the model server would use",
        find=ending.find_generation,
        destroy=ending.end_generation,
        remains=ending.generations_left,
    ),
    Place(
        name=AUDIT_VALUES,
        title="Audit events' values about people",
        found_by="every event but what operator and workers did with cases and receipts, emptied before or not",
        destroyed_by="emptying the columns and their salts; the commitments stay, so that the log is still proved",
        verified_by="every event of the tenant, read by what it shows",
        find=lambda _over: count_values(),
        destroy=None,
        remains=lambda _over: count_values_left(),
    ),
    Place(
        name="tenant_record",
        title="The tenant's name and short name",
        found_by="the tenant's row",
        destroyed_by="emptying the name; the short name becomes a keyed hash, so that it can be recognised",
        verified_by="the row as Postgres shows it",
        find=ending.find_record,
        destroy=ending.reduce_record,
        remains=ending.records_left,
    ),
    Place(
        name="wrapping_key",
        title="The tenant's key, under which every other key was wrapped, and the key of its hashes",
        found_by="the tenant's file in the keyring",
        destroyed_by="deletion of the file: what was sealed opens no more, wherever a copy of it lies",
        verified_by="a listing of the keyring for names that hold the tenant's id",
        find=ending.find_keys,
        destroy=ending.destroy_keys,
        remains=ending.keys_left,
    ),
)
# Stands beside the places in a verdict.
UNLISTED = "other_tables"
EVIDENCE = "evidence: ids, counts, times and hashes, no content; what they name is gone"
# Tables of tenants whose rows stay, and why.
STAYS: dict[str, str] = {
    "tenants_auditevent": "audit events: kept for as long as proofs are, without the values about people",
    "audit_log": "what proves the audit events",
    "audit_leaf": "what proves the audit events",
    "audit_subtree": "what proves the audit events",
    "audit_checkpoint": "what proves the audit events",
    "erasure_erasure": f"cases of erasure; {EVIDENCE}",
    "erasure_erasureitem": f"which ids cases covered; {EVIDENCE}",
    "erasure_erasureholding": f"counts of cases; {EVIDENCE}",
    "erasure_receipt": "signed receipts, this certificate among them: their signatures cover every byte",
}


def tables() -> Iterable[str]:
    """Return the tables whose rows end with their tenant."""
    return (place.table for place in PLACES if place.table)


def unlisted(over: Ending) -> int:
    """Count rows of the tenant in tables that are in neither list: a table that was forgotten. Raises nothing."""
    return rows.count_elsewhere({*tables(), *STAYS}, over)


def kept_counts(over: Ending) -> dict[str, int]:
    """Return how many rows of the tenant stay in each table."""
    return {table: rows.count_left(table, over) for table in STAYS}
