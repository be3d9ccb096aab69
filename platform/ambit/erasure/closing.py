"""Of a hold and an off-boarding at the same moment the first one stands: who comes second waits, and sees it."""

from __future__ import annotations

from django.db import connection

from tenants.scope import current_tenant_id


def stand_beside() -> None:
    """Keep an off-boarding of the tenant in scope from beginning until this transaction ends, or wait for one."""
    _lock("SELECT pg_advisory_xact_lock_shared(hashtextextended(%s, 0))")


def stand_alone() -> None:
    """Wait for whoever stands beside, and keep others from it until this transaction ends."""
    _lock("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))")


def _lock(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, [f"ambit.offboard.{current_tenant_id()}"])
