"""What access holds: grants on a document, and places in grants and audiences that name a member."""

from __future__ import annotations

from django.db import connection
from django.db.models import Q, QuerySet

from ambit.access.audiences import retire_documents
from ambit.access.clearance import custodian_clearance
from ambit.access.models import Audience, AudiencePrincipal, Grant
from ambit.corpus.queries import visible_documents
from tenants.holding import Holding, Scope
from tenants.scope import current_tenant_id


def count_retrievable(scope: Scope) -> int:
    """Return how many of the documents all readers of the tenant together still get; no custody."""
    clearance = custodian_clearance(audience_ids=Audience.objects.values_list("pk", flat=True))
    return len(visible_documents(document_ids=scope.document_ids, clearance=clearance))


def _grants(scope: Scope) -> QuerySet[Grant]:
    return Grant.objects.filter(
        Q(document_id__in=scope.document_ids) | Q(member_id__in=scope.member_ids)
    )


def _destroy_grants(scope: Scope) -> None:
    # Documents are locked before their grants, as by who shares them. The chunks are gone by now: few rows move.
    retire_documents(document_ids=scope.document_ids)
    _grants(scope).delete()


def _places(scope: Scope) -> QuerySet[AudiencePrincipal]:
    return AudiencePrincipal.objects.filter(member_id__in=scope.member_ids)


def _left(statement: str, scope: Scope) -> int:
    wanted = {*scope.document_ids, *scope.member_ids}
    with connection.cursor() as cursor:
        cursor.execute(statement, [current_tenant_id()])
        return sum(not wanted.isdisjoint(row) for row in cursor.fetchall())


GRANTS = Holding(
    name="grants",
    title="Grants on the documents, and grants to the member",
    found_by="the ids of documents and member",
    destroyed_by="deletion of the rows",
    verified_by="a reading of every grant of the tenant",
    find=lambda scope: _grants(scope).count(),
    destroy=_destroy_grants,
    remains=lambda scope: _left(
        "SELECT document_id, member_id FROM access_grant WHERE tenant_id = %s", scope
    ),
)
AUDIENCE_PLACES = Holding(
    name="audience_places",
    title="The member's places in the lists of readers",
    found_by="the member's id",
    destroyed_by="deletion of the rows",
    verified_by="a reading of every list of readers of the tenant",
    find=lambda scope: _places(scope).count(),
    destroy=lambda scope: _places(scope).delete(),
    remains=lambda scope: _left(
        "SELECT member_id FROM access_audienceprincipal WHERE tenant_id = %s", scope
    ),
)
