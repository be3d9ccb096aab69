"""A tenant with a data key in every place there is, and what its keys open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql

from ambit.access.clearance import clearance_for
from ambit.answers.queries import answers_asked_by
from ambit.corpus.queries import read_content
from ambit.erasure.clock import extend_erasure
from ambit.erasure.exports import reason_of
from ambit.erasure.identity import identifiers_of
from ambit.erasure.models import Erasure, PendingRequest
from ambit.erasure.queries import list_erasures
from ambit.erasure.restrictions import list_restrictions
from ambit.erasure.services import refuse_erasure
from ambit.export.queries import list_exports
from ambit.notices.queries import list_webhooks
from ambit.notices.services import create_webhook
from ambit.rotation.flow import Rotated, retire, rotate
from tenants.audit import Actor, acting_as
from tenants.models import AuditEvent
from tests.database.erasures import Town, file_pending, inhabit, keep_from_workers, seen_by
from tests.database.holding import hold
from tests.database.worlds import working

OPERATOR = Actor("operator", None)


def inhabit_with_every_key() -> Town:
    """Make a tenant with something sealed in every place where data keys lie."""
    town = inhabit(n_chunks=1)
    hold(town, documents=[town.about_bob])
    file_pending(town)
    extended, refused = file_pending(town), file_pending(town)
    with working(town.tenant_id):
        extend_erasure(erasure_id=extended, reason="three archives")
        refuse_erasure(erasure_id=refused, reason="nobody asked")
        create_webhook(name="Archive", url="https://hooks.example.org/a", events=["erasure.closed"])
        keep_from_workers()
    return town


def opened(town: Town) -> dict[str, Any]:
    """Return everything that is sealed in a tenant, opened through the product's own doors."""
    found: dict[str, Any] = {}
    with working(town.tenant_id, custody=True):
        for member in (town.alice, town.bob, town.namesake):
            clearance = clearance_for(member_id=member)
            passages = {p.chunk_id: (p.title, p.text) for p in seen_by(member)}
            found[f"passages {member}"] = passages
            for document_id in {p.document_id for p in seen_by(member)}:
                _, content = read_content(document_id=document_id, clearance=clearance)
                found[f"original {document_id}"] = b"".join(content)
            found[f"answers {member}"] = [one for one, _ in answers_asked_by(member)]
        found["webhooks"] = [w.url for w in list_webhooks(after=None, limit=50)]
        found["cases"] = {
            case.id: (case.reason, case.extension_reason, case.refusal_reason)
            for case in list_erasures(after=None, limit=50)
        }
        found["holds"] = [r.reason for r in list_restrictions(kind="hold", after=None, limit=50)]
        found["exports"] = [reason_of(e) for e in list_exports(after=None, limit=50)]
        pending = PendingRequest.objects.values_list("erasure_id", flat=True)
        found["pending"] = {one: identifiers_of(Erasure.objects.get(pk=one)) for one in pending}
    return found


def like_wrapped_by(superuser: psycopg.Connection, tenant_id: UUID, version: int) -> dict[str, int]:
    """Count values anywhere in a tenant's rows that look as if a key lay in them, wrapped by a version.

    Looks at every binary column of the catalogue; knows nothing of the registry.
    """
    columns = superuser.execute(
        "SELECT table_name, column_name FROM information_schema.columns c"
        " WHERE table_schema = 'public' AND data_type = 'bytea' AND EXISTS (SELECT FROM"
        " information_schema.columns t WHERE t.table_name = c.table_name"
        " AND t.column_name = 'tenant_id')"
    ).fetchall()
    # A key is 2 bytes of version, 12 of nonce, 32 of key and 16 of tag; or stands first, after its length.
    alone, first = version.to_bytes(2, "big"), (62).to_bytes(2, "big") + version.to_bytes(2, "big")
    found = {}
    for table, column in columns:
        statement = sql.SQL(
            "SELECT count(*) FROM {table} WHERE tenant_id = %s AND ((length({column}) = 62"
            " AND substring({column} FROM 1 FOR 2) = %s) OR substring({column} FROM 1 FOR 4) = %s)"
        ).format(table=sql.Identifier(table), column=sql.Identifier(column))
        row = superuser.execute(statement, [tenant_id, alone, first]).fetchone()
        if row and row[0]:
            found[f"{table}.{column}"] = int(row[0])
    return found


@dataclass(frozen=True)
class Told:
    """Counts of an event."""

    action: str
    counts: dict[str, int]


def told_of_keys(tenant_id: UUID) -> list[Told]:
    """Return a tenant's events about its keys, oldest first."""
    with working(tenant_id):
        events = AuditEvent.objects.filter(action__startswith="keys.").order_by("at", "id")
        return [Told(event.action, event.counts) for event in events]


def turn(tenant_id: UUID) -> Rotated:
    """Rotate as the command does."""
    with acting_as(OPERATOR):
        return rotate(tenant_id)


def retire_old(tenant_id: UUID, *, patience_s: float = 20) -> tuple[int, ...]:
    """Destroy the old keys, on the one machine there is."""
    with acting_as(OPERATOR):
        return retire(tenant_id, seen_by_all_s=0, patience_s=patience_s)
