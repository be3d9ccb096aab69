"""Row-level security: the SQL that migrations run, and the predicates the start-up check looks for.

role             reaches
ambit_owner      the schema; no row of any tenant (row-level security is forced on it too)
ambit_app        rows of the tenant in context; passages of the audiences in context
ambit_operator   tenants, accounts, operator keys; may add a tenant's first key and audit events
ambit_dispatch   the job table, to find work that nobody does; adds numbers of tombstones
ambit_sequencer  audit events, and the trees that prove them, to which it alone may add; which tenants are closing
ambit_scrubber   no row at all: it may rewrite the tables in which erasures destroy rows
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.migrations.operations import RunSQL

TENANT = "tenant_id = NULLIF(current_setting('ambit.tenant_id', true), '')::uuid"
TENANT_ITSELF = "id = NULLIF(current_setting('ambit.tenant_id', true), '')::uuid"
# The list is read by a subquery, once a statement: where it is no index's condition but a filter, it would
# be parsed again for each row, .2 to 1.2 ms with 400 audiences.
AUDIENCE = "audience_id = ANY ((SELECT NULLIF(current_setting('ambit.audience_ids', true), '')::uuid[] AS ids)::uuid[])"
CUSTODY = "current_setting('ambit.custody', true) = 'on'"
MEMBER = "member_id = NULLIF(current_setting('ambit.member_id', true), '')::uuid"

# What Postgres calls its refusal of a new row of a tenant that is off-boarded.
ENDING = "tenant_is_off_boarded"

# Passages, vectors and words: no setting but a list of audiences opens them.
PASSAGE = f"{TENANT} AND {AUDIENCE}"
# A document's record: readers while it is not hidden, custodians always.
DOCUMENT = f"{TENANT} AND ({CUSTODY} OR ({AUDIENCE} AND hidden_at IS NULL))"
DOCUMENT_KEY = f"{TENANT} AND ({CUSTODY} OR ({AUDIENCE} AND disabled_at IS NULL))"
DOCUMENT_PART = f"{TENANT} AND ({CUSTODY} OR {AUDIENCE})"
# A saved answer: its asker, and custodians who destroy it.
OWN = f"{TENANT} AND ({CUSTODY} OR {MEMBER})"

ALL = "SELECT, INSERT, UPDATE, DELETE"


@dataclass(frozen=True, slots=True)
class Reference:
    """A foreign key; tenant_id is added in front of both column lists."""

    columns: str
    table: str
    target: str = "id"
    action: str = ""


def isolate(
    table: str,
    *,
    reads: str = TENANT,
    privileges: str = ALL,
    references: tuple[Reference, ...] = (),
    grants: dict[str, str] | None = None,
) -> RunSQL:
    """Lead a tenant table's key by tenant_id, point its references inside the tenant, force its policy.

    grants: further roles with their privileges; each gets a policy that shows it every tenant's rows.
    """
    statements: list[Any] = [
        f"ALTER TABLE {table} DROP CONSTRAINT {table}_pkey, ADD PRIMARY KEY (tenant_id, id)",
        f"ALTER TABLE {table} ADD FOREIGN KEY (tenant_id) REFERENCES tenants_tenant (id)",
        *(
            f"ALTER TABLE {table} ADD FOREIGN KEY (tenant_id, {r.columns})"
            f" REFERENCES {r.table} (tenant_id, {r.target}) {r.action}"
            for r in references
        ),
        *_policies(table, reads=reads, privileges=privileges, grants=grants or {}),
    ]
    return RunSQL(statements, RunSQL.noop)


def scrubbed(table: str, *content: str) -> RunSQL:
    """Let the scrubber rewrite a table, and keep samples of its content columns out of pg_statistic.

    Postgres keeps values it saw in a column until the column is analysed again, in files that no
    rewriting of the table reaches.
    """
    statements: list[Any] = [f"GRANT MAINTAIN ON {table} TO ambit_scrubber"]
    for column in content:
        statements += [
            f"ALTER TABLE {table} ALTER COLUMN {column} SET STATISTICS 0",
            f"SELECT pg_clear_attribute_stats('public', '{table}', '{column}', false)",
        ]
    return RunSQL(statements, RunSQL.noop)


def is_of_ending_tenant(error: BaseException) -> bool:
    """Say whether a database error is Postgres' refusal of a new row of a tenant that is off-boarded."""
    diagnosis = getattr(error.__cause__, "diag", None)
    return diagnosis is not None and diagnosis.constraint_name == ENDING


def refused_once_closing(table: str) -> RunSQL:
    """Have Postgres refuse a new row of a tenant that is off-boarded, whoever writes it and however late."""
    return RunSQL(
        f"CREATE OR REPLACE TRIGGER refuse_closing BEFORE INSERT ON {table}"
        " FOR EACH ROW EXECUTE FUNCTION ambit_refuse_closing()",
        RunSQL.noop,
    )


def deleted_once_closing(table: str) -> RunSQL:
    """Let the application delete a table's rows of a tenant that is off-boarded, and of no other."""
    return RunSQL(
        [
            f"GRANT DELETE ON {table} TO ambit_app",
            f"CREATE OR REPLACE TRIGGER keep_until_closing BEFORE DELETE ON {table}"
            " FOR EACH ROW EXECUTE FUNCTION ambit_keep_until_closing()",
        ],
        RunSQL.noop,
    )


def revokes(
    table: str, event: str, *, name: str = "revokes", when: str = "", by: str = "ambit_revoked"
) -> RunSQL:
    """Have the tenant's epoch raised at the commit of what takes a row's content from anybody's reach.

    by: the function that raises it. Rows that Postgres deletes along with another are passed over: it does
    so as the owner, who sees no tenant, and the row they hang on is watched itself.
    """
    condition = f"pg_trigger_depth() = 0 AND ({when})" if when else "pg_trigger_depth() = 0"
    return RunSQL(
        f"CREATE CONSTRAINT TRIGGER {name} AFTER {event} ON {table} DEFERRABLE INITIALLY DEFERRED"
        f" FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION {by}()",
        RunSQL.noop,
    )


def rewrite_policy(table: str, *, reads: str) -> RunSQL:
    """Give an isolated table's policy for the application another spelling of its predicate."""
    return RunSQL(f"ALTER POLICY app ON {table} USING ({reads}) WITH CHECK ({reads})", RunSQL.noop)


def _policies(table: str, *, reads: str, privileges: str, grants: dict[str, str]) -> list[str]:
    statements = [
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
        f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
        f"REVOKE ALL ON {table} FROM PUBLIC",
        f"GRANT {privileges} ON {table} TO ambit_app",
        f"CREATE POLICY app ON {table} FOR ALL TO ambit_app USING ({reads}) WITH CHECK ({reads})",
    ]
    for role, role_privileges in grants.items():
        statements += [
            f"GRANT {role_privileges} ON {table} TO {role}",
            f"CREATE POLICY {role} ON {table} FOR ALL TO {role} USING (true) WITH CHECK (true)",
        ]
    return statements
