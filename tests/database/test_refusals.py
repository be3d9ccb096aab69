"""What the schema refuses, tried: rows of other tenants, other audiences, and changes to the audit trail."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import psycopg
import pytest
from django.db import DatabaseError, ProgrammingError, connection, connections
from django.db.utils import IntegrityError
from psycopg import sql

from ambit.corpus.types import SubjectRef
from tenants.audit import Actor, acting_as
from tenants.models import AuditEvent
from tenants.scope import audience_scope, current_tenant_id, tenant_scope
from tests.database.worlds import (
    Passage,
    grant,
    make_collection,
    make_member,
    make_tenant,
    publish,
    unit,
    working,
)

# What lies below a document and has its audience.
PARTS = ("documentkey", "version", "subject", "chunk", "chunkvector", "chunklexemes")


def _audit_event() -> AuditEvent:
    with working(make_tenant()):
        make_member()
        return AuditEvent.objects.latest("id")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE tenants_auditevent SET action = 'nothing.happened' WHERE id = %s",
        "DELETE FROM tenants_auditevent WHERE id = %s",
    ],
)
def test_the_application_cannot_change_or_remove_an_audit_event(statement: str) -> None:
    event = _audit_event()

    with (
        pytest.raises(ProgrammingError, match="permission denied"),
        tenant_scope(event.tenant_id),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement, [event.pk])


def test_the_owner_can_neither_reach_nor_cut_off_audit_events() -> None:
    event = _audit_event()

    with connections["owner"].cursor() as cursor:
        cursor.execute("DELETE FROM tenants_auditevent WHERE id = %s", [event.pk])
        assert cursor.rowcount == 0
        with pytest.raises(DatabaseError, match="foreign key"):
            cursor.execute("TRUNCATE tenants_auditevent")
        with pytest.raises(DatabaseError, match="insert-only"):
            cursor.execute("TRUNCATE tenants_auditevent CASCADE")


def test_not_even_a_superuser_changes_an_audit_event_by_accident(
    superuser: psycopg.Connection,
) -> None:
    event = _audit_event()

    for statement in (
        "UPDATE tenants_auditevent SET action = 'nothing.happened' WHERE id = %s",
        "DELETE FROM tenants_auditevent WHERE id = %s",
    ):
        with pytest.raises(psycopg.errors.RaiseException, match="insert-only"):
            superuser.execute(statement, [event.pk])


@pytest.mark.parametrize("part", PARTS)
def test_a_part_cannot_be_given_another_audience_than_its_documents(part: str) -> None:
    tenant_id, owner, document_id, audience_id = _document()
    with working(tenant_id):
        make_collection(grant("owner", member=owner), grant("reader"))
        (other,) = _rest_of_audiences(audience_id)

    with (
        pytest.raises(IntegrityError, match="foreign key"),
        tenant_scope(tenant_id, custody=True),
        audience_scope([audience_id, other]),
        connection.cursor() as cursor,
    ):
        cursor.execute(
            f"UPDATE corpus_{part} SET audience_id = %s WHERE document_id = %s",  # noqa: S608
            [other, document_id],
        )


def test_parts_follow_their_document_to_another_audience() -> None:
    tenant_id, owner, document_id, audience_id = _document()
    with working(tenant_id):
        make_collection(grant("owner", member=owner), grant("reader"))
        (other,) = _rest_of_audiences(audience_id)

    with (
        tenant_scope(tenant_id, custody=True),
        audience_scope([audience_id, other]),
        connection.cursor() as cursor,
    ):
        cursor.execute(
            "UPDATE corpus_document SET audience_id = %s WHERE id = %s", [other, document_id]
        )
        found = set()
        for part in PARTS:
            cursor.execute(
                f"SELECT DISTINCT audience_id FROM corpus_{part} WHERE document_id = %s",  # noqa: S608
                [document_id],
            )
            found |= {row[0] for row in cursor.fetchall()}

    assert found == {other}


def test_a_part_cannot_point_at_another_tenants_document(superuser: psycopg.Connection) -> None:
    tenant_id, _, document_id, _ = _document()
    _, _, foreign, foreign_audience = _document()

    for part in PARTS:
        # As the superuser, for whom no policy counts: the schema itself refuses.
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            superuser.execute(
                sql.SQL(
                    "UPDATE {} SET document_id = %s, audience_id = %s"
                    " WHERE tenant_id = %s AND document_id = %s"
                ).format(sql.Identifier(f"corpus_{part}")),
                [foreign, foreign_audience, tenant_id, document_id],
            )


def test_a_group_cannot_hold_another_tenants_member() -> None:
    with working(make_tenant()):
        stranger = make_member()
    with (
        pytest.raises(IntegrityError),
        working(make_tenant()),
        connection.cursor() as cursor,
    ):
        cursor.execute(
            "WITH g AS (INSERT INTO tenants_group (tenant_id, id, external_id, name, created_at)"
            " VALUES (%(tenant)s, %(group)s, 'g', 'g', now()) RETURNING id)"
            " INSERT INTO tenants_groupmember (tenant_id, id, group_id, member_id)"
            " SELECT %(tenant)s, %(group)s, id, %(member)s FROM g",
            {"tenant": current_tenant_id(), "group": uuid4(), "member": stranger},
        )


def _document() -> tuple[Any, Any, Any, Any]:
    """Return tenant, owner, document and audience of a fresh document."""
    tenant_id = make_tenant()
    with working(tenant_id):
        owner = make_member()
        collection_id = make_collection(grant("owner", member=owner))
    document_id = publish(
        tenant_id=tenant_id,
        by=owner,
        collection_id=collection_id,
        passages=[Passage("Some words.", unit(0))],
        subjects=(SubjectRef("email", "someone@example.org"),),
    )
    with acting_as(Actor("service", None)), tenant_scope(tenant_id):
        (audience_id,) = _rest_of_audiences(None)
    return tenant_id, owner, document_id, audience_id


def _rest_of_audiences(known: Any) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM access_audience WHERE %s::uuid IS DISTINCT FROM id", [known])
        return [row[0] for row in cursor.fetchall()]
