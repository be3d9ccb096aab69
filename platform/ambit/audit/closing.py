"""Let go of what the events of a tenant that is off-boarded say of people; what was signed of them stays proved.

Kept are what the operator and the workers did, and which cases and receipts the events of erasures name: without these
no receipt could be held against the log any more. They name nothing that is still there.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import connection, connections, transaction

from ambit.audit.sequence import SEQUENCER
from tenants.scope import current_tenant_id

TAKEN_AT_ONCE = 1000
_DUE = """
SELECT l.tenant_id, l.let_go_size, l.size
FROM tenants_tenant t JOIN audit_log l ON l.tenant_id = t.id
WHERE t.closing_at IS NOT NULL AND l.let_go_size < l.size
"""
_WHO = """
UPDATE tenants_auditevent e SET actor_id = NULL, member_id = NULL, request_id = NULL, who_salt = NULL
FROM audit_leaf l
WHERE l.tenant_id = %(tenant)s AND l.number >= %(first)s AND l.number < %(end)s
  AND e.tenant_id = l.tenant_id AND e.id = l.id
  AND e.who_salt IS NOT NULL AND e.actor_kind NOT IN ('operator', 'worker')
"""
_WHAT = """
UPDATE tenants_auditevent e SET object_id = NULL, document_ids = '{}', chunk_ids = '{}', what_salt = NULL
FROM audit_leaf l
WHERE l.tenant_id = %(tenant)s AND l.number >= %(first)s AND l.number < %(end)s
  AND e.tenant_id = l.tenant_id AND e.id = l.id
  AND e.what_salt IS NOT NULL AND e.action NOT LIKE 'erasure.%%' AND e.action NOT LIKE 'receipt.%%'
"""
_LET_GO = "UPDATE audit_log SET let_go_size = %(end)s WHERE tenant_id = %(tenant)s"
# Whether they were let go of already or not: that begins with the off-boarding, beside whoever counts.
_FOUND = """
SELECT count(*) FROM tenants_auditevent
WHERE tenant_id = %s AND (actor_kind NOT IN ('operator', 'worker')
    OR (action NOT LIKE 'erasure.%%' AND action NOT LIKE 'receipt.%%'))
"""
# By what they show, and not by the salts that went with it.
_LEFT = """
SELECT count(*) FROM tenants_auditevent
WHERE tenant_id::text = %s AND (
    (split_part(action, '.', 1) <> ALL ('{erasure,receipt}')
     AND num_nonnulls(what_salt, object_id, NULLIF(document_ids, '{}'), NULLIF(chunk_ids, '{}')) > 0)
    OR (actor_kind = ANY ('{member,service}')
        AND num_nonnulls(who_salt, actor_id, member_id, request_id) > 0))
"""


def let_go_of_closing() -> int:
    """Take the values from the events of tenants that are off-boarded, a thousand at a time; return from how many."""
    n_erased = 0
    with connections[SEQUENCER].cursor() as cursor:
        cursor.execute(_DUE)
        due = cursor.fetchall()
    for tenant_id, first, size in due:
        for start in range(first, size, TAKEN_AT_ONCE):
            end = min(start + TAKEN_AT_ONCE, size)
            n_erased += _let_go({"tenant": tenant_id, "first": start, "end": end})
    return n_erased


def count_values() -> int:
    """Return how many events of the tenant in scope say, or have said, what is let go of when it is off-boarded."""
    return _count(_FOUND, current_tenant_id())


def count_values_left() -> int:
    """Return how many of them still say it, by what they show: every event of the tenant in scope is read."""
    return _count(_LEFT, str(current_tenant_id()))


def _count(statement: str, tenant: UUID | str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement, [tenant])
        (n,) = cursor.fetchone()
    return int(n)


def _let_go(batch: dict[str, Any]) -> int:
    with transaction.atomic(using=SEQUENCER), connections[SEQUENCER].cursor() as cursor:
        cursor.execute(_WHO, batch)
        n_who = cursor.rowcount
        cursor.execute(_WHAT, batch)
        n_what = cursor.rowcount
        cursor.execute(_LET_GO, batch)
    return int(max(n_who, n_what))
