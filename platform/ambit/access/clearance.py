"""The only maker of a Clearance: who may see what, right now.

NEVER builds one from what a caller claims: audiences are looked up from the member's own groups in
the statement that asks, so removing someone from a group takes effect in the next statement.
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.db import connection

from ambit.corpus.types import Clearance
from tenants.scope import current_tenant_id

# Pairs of member and audience they read, through nested groups; both directions of the question
# "who may see what" are this one statement with another last line.
_REACH = """
WITH RECURSIVE belongs (member_id, group_id) AS (
    SELECT gm.member_id, gm.group_id FROM tenants_groupmember gm
    WHERE gm.tenant_id = %(tenant)s AND (%(member)s::uuid IS NULL OR gm.member_id = %(member)s)
  UNION
    SELECT b.member_id, gc.parent_id FROM tenants_groupchild gc
    JOIN belongs b ON gc.child_id = b.group_id
    WHERE gc.tenant_id = %(tenant)s
), reads (member_id, audience_id) AS (
    SELECT b.member_id, ap.audience_id FROM belongs b
    JOIN access_audienceprincipal ap ON ap.tenant_id = %(tenant)s AND ap.group_id = b.group_id
  UNION
    SELECT m.id, ap.audience_id FROM tenants_member m
    JOIN access_audienceprincipal ap ON ap.tenant_id = %(tenant)s
        AND (ap.member_id = m.id OR (ap.member_id IS NULL AND ap.group_id IS NULL))
    WHERE m.tenant_id = %(tenant)s AND (%(member)s::uuid IS NULL OR m.id = %(member)s)
)
SELECT r.member_id, r.audience_id FROM reads r
JOIN tenants_member m ON m.tenant_id = %(tenant)s AND m.id = r.member_id
WHERE m.suspended_at IS NULL
"""


def clearance_for(*, member_id: UUID) -> Clearance:
    """Return what a member may see; an unknown or suspended member may see nothing."""
    return Clearance(
        tenant_id=current_tenant_id(),
        member_id=member_id,
        audience_ids=tuple(sorted(a for _, a in _reach(member_id=member_id))),
    )


def custodian_clearance(*, audience_ids: Iterable[UUID]) -> Clearance:
    """Return a worker's clearance for audiences it stores or destroys chunks of; nobody asks with it."""
    return Clearance(
        tenant_id=current_tenant_id(),
        member_id=None,
        audience_ids=tuple(sorted(set(audience_ids))),
    )


def readers_of(*, audience_id: UUID) -> set[UUID]:
    """Return the members who may read an audience."""
    return {member for member, audience in _reach(member_id=None) if audience == audience_id}


def _reach(*, member_id: UUID | None) -> list[tuple[UUID, UUID]]:
    with connection.cursor() as cursor:
        cursor.execute(_REACH, {"tenant": current_tenant_id(), "member": member_id})
        return list(cursor.fetchall())
