"""The start-up check: policies must bite on rows that are really there, or nothing is served.

Two routes that do not trust each other: the catalogue (what Postgres says is in force) and a
canary (a tenant of our own, whose rows must be found with its clearance and never without).
"""

from __future__ import annotations

import re
from uuid import UUID, uuid4

from django.db import connection, transaction

from ambit.access.clearance import custodian_clearance
from ambit.corpus.canary import CANARY_AUDIENCE, CANARY_TENANT, canary_rows
from ambit.corpus.types import Clearance
from tenants import rls
from tenants.scope import tenant_scope

# What must bind a table's rows, where tenant alone must not open them.
PREDICATES = {
    "tenants_tenant": rls.TENANT_ITSELF,
    "corpus_document": rls.DOCUMENT,
    "corpus_documentkey": rls.DOCUMENT_KEY,
    "corpus_version": rls.DOCUMENT_PART,
    "corpus_subject": rls.DOCUMENT_PART,
    "corpus_mention": rls.DOCUMENT_PART,
    "corpus_chunk": rls.PASSAGE,
    "corpus_chunkvector": rls.PASSAGE,
    "corpus_chunklexemes": rls.PASSAGE,
    "answers_conversation": rls.OWN,
    "answers_exchange": rls.OWN,
    "answers_exchangepassage": rls.OWN,
    "metering_use": rls.OWN,
    "metering_useday": rls.OWN,
}
# Tables in which the canary has a row.
AUDIENCE_TABLES = tuple(name for name in PREDICATES if name.startswith("corpus_"))
_TABLES = """
SELECT c.relname, c.relrowsecurity, c.relforcerowsecurity,
       pg_get_userbyid(c.relowner) = current_user,
       array(SELECT pg_get_expr(p.polqual, p.polrelid) FROM pg_policy p
             WHERE p.polrelid = c.oid AND p.polpermissive
             AND (p.polroles = '{0}' OR to_regrole(current_user)::oid = ANY (p.polroles))),
       array(SELECT pg_get_expr(p.polwithcheck, p.polrelid) FROM pg_policy p
             WHERE p.polrelid = c.oid AND p.polpermissive
             AND (p.polroles = '{0}' OR to_regrole(current_user)::oid = ANY (p.polroles)))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname = 'public'
  AND (c.relname = 'tenants_tenant' OR EXISTS (
        SELECT 1 FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped))
ORDER BY c.relname
"""
_ROLE = """
SELECT rolsuper, rolbypassrls,
       EXISTS (SELECT 1 FROM pg_auth_members m WHERE m.member = r.oid)
FROM pg_roles r WHERE rolname = current_user
"""


class IsolationBroken(RuntimeError):
    """Tenants are not kept apart by the database; nothing may be served."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("Refusing to start, tenants are not isolated: " + "; ".join(faults))
        self.faults = faults


def require_isolation() -> None:
    """Raise IsolationBroken with every fault found."""
    faults = [*role_faults(), *catalogue_faults(), *canary_faults()]
    if faults:
        raise IsolationBroken(faults)


def role_faults() -> list[str]:
    """Say in which way the application's role could bypass the policies."""
    with connection.cursor() as cursor:
        cursor.execute(_ROLE)
        superuser, bypasses, belongs = cursor.fetchone()
    faults = []
    if superuser:
        faults.append("the application's database role is a superuser")
    if bypasses:
        faults.append("the application's database role has BYPASSRLS")
    if belongs:
        faults.append("the application's database role is a member of another role")
    return faults


def catalogue_faults() -> list[str]:
    """Say which tables' policies are missing, not forced, or not bound to tenant and audience."""
    with connection.cursor() as cursor:
        cursor.execute(_TABLES)
        rows = cursor.fetchall()
    if not rows:
        return ["the database has no tenant tables; run `manage.py migrate --database owner`"]
    faults = [f"{name} is missing" for name in PREDICATES if name not in {r[0] for r in rows}]
    for name, enabled, forced, owned, quals, checks in rows:
        if not (enabled and forced):
            faults.append(f"row-level security is not forced on {name}")
        if owned:
            faults.append(f"the application's database role owns {name}")
        if not quals:
            faults.append(f"{name} has no policy for the application's role")
        if not all(_is_right(name, expression) for expression in [*quals, *checks]):
            faults.append(f"a policy on {name} does not bind rows to their tenant and audience")
    return faults


def canary_faults() -> list[str]:
    """Say where the canary's rows are seen without its context, or not seen with it."""
    expected = dict.fromkeys(AUDIENCE_TABLES, 1)
    hidden = dict.fromkeys(AUDIENCE_TABLES, 0)
    faults = []
    with transaction.atomic():
        if canary_rows(AUDIENCE_TABLES) != hidden:
            faults.append("rows are seen without any tenant in context")
    with tenant_scope(uuid4()):
        if canary_rows(AUDIENCE_TABLES) != hidden:
            faults.append("rows are seen in another tenant's context")
    with tenant_scope(CANARY_TENANT):
        if canary_rows(AUDIENCE_TABLES) != hidden:
            faults.append("rows are seen without a clearance")
        if canary_rows(AUDIENCE_TABLES, clearance=_clearance(uuid4())) != hidden:
            faults.append("rows are seen with another audience's clearance")
        if canary_rows(AUDIENCE_TABLES, clearance=_clearance(CANARY_AUDIENCE)) != expected:
            faults.append(
                "the canary's rows are not seen with its own clearance; run `manage.py plant_canary`"
            )
    return faults


def _clearance(audience_id: UUID) -> Clearance:
    return custodian_clearance(audience_ids=[audience_id])


def _is_right(table: str, expression: str | None) -> bool:
    """Say whether an expression is the table's predicate of tenants.rls, as Postgres spells it."""
    spelled = expression or ""
    wanted = PREDICATES.get(table, rls.TENANT)
    return _plain(spelled) == _plain(wanted) and _and_binds_last(spelled)


def _plain(sql: str) -> str:
    return re.sub(r"::\w+(\[\])?|[\s()]", "", sql.lower())


def _and_binds_last(sql: str) -> bool:
    """Say whether every OR stands deeper in parentheses than the outermost AND: none can widen a policy."""
    depths: dict[str, list[int]] = {"and": [], "or": []}
    depth = 0
    for mark in re.findall(r"[()]|\b(?:and|or)\b", sql.lower()):
        if mark in depths:
            depths[mark].append(depth)
        else:
            depth += 1 if mark == "(" else -1
    return not depths["or"] or (bool(depths["and"]) and min(depths["or"]) > min(depths["and"]))
