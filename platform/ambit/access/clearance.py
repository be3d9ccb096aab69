"""The only maker of a Clearance: who may see what, right now.

NEVER builds one from what a caller claims: audiences are looked up from the member's own groups when
a request asks, so removing someone from a group takes effect with the next request.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from ambit.corpus.types import Clearance
from tenants.scope import current_tenant_id
from tenants.statements import run_prepared

# Groups are followed level by level, a level being an array: the planner cannot guess how many groups a
# member has, and this way need not. UNION ends a cycle. Each arm is a range of an index.
_AUDIENCES = """
WITH RECURSIVE level (groups) AS (
    SELECT ARRAY(SELECT gm.group_id FROM tenants_groupmember gm
                 WHERE gm.tenant_id = %(tenant)s AND gm.member_id = %(member)s ORDER BY 1)
  UNION
    SELECT ARRAY(SELECT DISTINCT gc.parent_id FROM tenants_groupchild gc
                 WHERE gc.tenant_id = %(tenant)s AND gc.child_id = ANY (level.groups) ORDER BY 1)
    FROM level WHERE level.groups <> '{}'
), reads (audience_id) AS (
    SELECT ap.audience_id FROM access_audienceprincipal ap
    WHERE ap.tenant_id = %(tenant)s AND ap.member_id IS NULL
      AND ap.group_id = ANY (ARRAY(SELECT unnest(groups) FROM level))
  UNION ALL
    SELECT ap.audience_id FROM access_audienceprincipal ap
    WHERE ap.tenant_id = %(tenant)s AND ap.member_id = %(member)s AND ap.group_id IS NULL
  UNION ALL
    SELECT ap.audience_id FROM access_audienceprincipal ap
    WHERE ap.tenant_id = %(tenant)s AND ap.member_id IS NULL AND ap.group_id IS NULL
)
SELECT coalesce(array_agg(DISTINCT audience_id), '{}') FROM reads
WHERE EXISTS (SELECT FROM tenants_member m WHERE m.tenant_id = %(tenant)s
              AND m.id = %(member)s AND m.suspended_at IS NULL)
"""
# The same question from the other end.
_READERS = """
WITH RECURSIVE level (groups) AS (
    SELECT ARRAY(SELECT ap.group_id FROM access_audienceprincipal ap
                 WHERE ap.tenant_id = %(tenant)s AND ap.audience_id = %(audience)s
                   AND ap.group_id IS NOT NULL ORDER BY 1)
  UNION
    SELECT ARRAY(SELECT DISTINCT gc.child_id FROM tenants_groupchild gc
                 WHERE gc.tenant_id = %(tenant)s AND gc.parent_id = ANY (level.groups) ORDER BY 1)
    FROM level WHERE level.groups <> '{}'
), readers (member_id) AS (
    SELECT gm.member_id FROM tenants_groupmember gm
    WHERE gm.tenant_id = %(tenant)s AND gm.group_id = ANY (ARRAY(SELECT unnest(groups) FROM level))
  UNION
    SELECT ap.member_id FROM access_audienceprincipal ap
    WHERE ap.tenant_id = %(tenant)s AND ap.audience_id = %(audience)s AND ap.member_id IS NOT NULL
  UNION
    SELECT m.id FROM tenants_member m WHERE m.tenant_id = %(tenant)s AND EXISTS (
        SELECT FROM access_audienceprincipal ap
        WHERE ap.tenant_id = %(tenant)s AND ap.audience_id = %(audience)s
          AND ap.member_id IS NULL AND ap.group_id IS NULL)
)
SELECT m.id FROM tenants_member m
WHERE m.tenant_id = %(tenant)s AND m.id = ANY (ARRAY(SELECT member_id FROM readers))
  AND m.suspended_at IS NULL
"""


def clearance_for(*, member_id: UUID) -> Clearance:
    """Return what a member may see; an unknown or suspended member may see nothing."""
    return Clearance(
        tenant_id=current_tenant_id(),
        member_id=member_id,
        audience_ids=tuple(_rows(_AUDIENCES, member=member_id)[0][0]),
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
    return {member_id for (member_id,) in _rows(_READERS, audience=audience_id)}


def _rows(statement: str, **values: UUID) -> list[tuple[Any, ...]]:
    return run_prepared(statement, {"tenant": current_tenant_id(), **values})
