"""What of a tenant that ends lies elsewhere than in rows of its own: found, destroyed and looked for again."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, connections
from django.db.models import Q, QuerySet

from ambit.corpus import graphs
from ambit.erasure.cases import lock_case, next_moment
from ambit.erasure.models import Erasure, ErasureHolding, ErasureItem, ErasureState
from ambit.files.holdings import bury_tenant, count_tenants_files, count_tenants_files_left
from ambit.jobs.broker import ARRANGE_GRAPHS, ask_for
from ambit.jobs.holdings import count_entries, count_messages_left
from ambit.jobs.holdings import destroy_entries as remove_entries
from ambit.keys.keyring import (
    KeyUnavailable,
    destroy_tenant_keys,
    tenant_key_files,
    tenant_keys,
)
from tenants.audit import record
from tenants.holding import HoldingFailed, Scope
from tenants.holdings import SESSIONS
from tenants.models import Account, Tenant
from tenants.queries import OPERATOR, get_tenant
from tenants.services import bump_salt_epoch

CASES_AT_ONCE = 200
# What a slug becomes: no slug that is given may begin so, for hyphens stand alone in those.
CLOSED = "closed--"
_GRAPH = "SELECT count(*) FROM pg_class WHERE relkind = 'i' AND relname = %s"
_GRAPHS_LEFT = """
SELECT count(*) FROM pg_index
WHERE indrelid = 'corpus_chunkvector'::regclass AND pg_get_expr(indpred, indrelid) LIKE %s
"""
# Ids that messages and keys of Redis may spell.
_IDS = """
SELECT id FROM tenants_member WHERE tenant_id = %(tenant)s
UNION ALL SELECT id FROM tenants_apikey WHERE tenant_id = %(tenant)s
UNION ALL SELECT id FROM tenants_account WHERE tenant_id = %(tenant)s
UNION ALL SELECT id FROM corpus_document WHERE tenant_id = %(tenant)s
"""
_NOTED = """
SELECT object_id FROM erasure_erasureitem
WHERE tenant_id = %(tenant)s AND erasure_id = %(case)s AND kind = 'account'
"""
_CASES_LEFT = """
SELECT count(*) FROM erasure_erasure WHERE tenant_id::text = %(tenant)s AND id <> %(case)s
  AND (num_nonnulls(subject_mac, reason_sealed, extension_sealed, refusal_sealed, requested_by_id) > 0
       OR num_nonnulls(closed_at, refused_at) = 0)
"""
_RECORDS_LEFT = """
SELECT count(*) FROM tenants_tenant WHERE id::text = %s AND (name <> '' OR slug !~ '^closed--[0-9a-f]{48}$')
"""
_GENERATIONS_LEFT = (
    "SELECT count(*) FROM tenants_tenant WHERE id::text = %(tenant)s AND salt_epoch <= %(epoch)s"
)


@dataclass(frozen=True, slots=True)
class Ending:
    """A tenant that ends: by which case, by which job, and its cache generation when that began."""

    tenant_id: UUID
    case_id: UUID
    job_id: UUID
    salt_epoch: int


def find_entries(over: Ending) -> int:
    """Count entries of Redis that spell the tenant's id, or that of something of it that acts or is kept."""
    return count_entries(_ids(over), but=over.job_id)


def destroy_entries(over: Ending) -> dict[str, int]:
    """Remove them; raise HoldingFailed."""
    return {"queue": remove_entries(_ids(over), but=over.job_id)}


def entries_left(over: Ending) -> int:
    """Count messages and keys of the tenant; raise HoldingFailed."""
    return count_messages_left(over.tenant_id, but=over.job_id)


def _ids(over: Ending) -> list[UUID]:
    with connection.cursor() as cursor:
        cursor.execute(_IDS, {"tenant": over.tenant_id})
        return [over.tenant_id, *(one for (one,) in cursor.fetchall())]


def note_accounts(over: Ending) -> None:
    """Note the ids of the tenant's accounts with its case: sessions are told by them when they are gone."""
    ErasureItem.objects.bulk_create(
        [
            ErasureItem(erasure_id=over.case_id, kind="account", object_id=one)
            for one in _accounts(over).values_list("pk", flat=True)
        ],
        ignore_conflicts=True,
    )


def find_sessions(over: Ending) -> int:
    """Count sessions of the tenant's accounts."""
    return SESSIONS.find(_signed_in(over))


def destroy_sessions(over: Ending) -> dict[str, int]:
    """Delete them."""
    n = SESSIONS.find(_signed_in(over))
    SESSIONS.destroy(_signed_in(over))
    return {"sessions": n}


def sessions_left(over: Ending) -> int:
    """Count sessions in whose payload an id stands that was noted of the tenant's accounts."""
    with connection.cursor() as cursor:
        cursor.execute(_NOTED, {"tenant": over.tenant_id, "case": over.case_id})
        noted = tuple(one for (one,) in cursor.fetchall())
    return SESSIONS.remains(Scope(tenant_id=over.tenant_id, account_ids=noted))


def _signed_in(over: Ending) -> Scope:
    ids = _accounts(over).values_list("pk", flat=True)
    return Scope(tenant_id=over.tenant_id, account_ids=tuple(ids))


def _accounts(over: Ending) -> QuerySet[Account]:
    return Account.objects.using("default").filter(tenant_id=over.tenant_id)


def find_files(over: Ending) -> int:
    """Count the tenant's files."""
    return count_tenants_files(over.tenant_id)


def destroy_files(over: Ending) -> dict[str, int]:
    """Destroy them and bar the place; raise HoldingFailed."""
    n = count_tenants_files(over.tenant_id)
    had = ErasureHolding.objects.filter(
        erasure_id=over.case_id, name="corpus_document", found__gt=0
    )
    bury_tenant(over.tenant_id, had_files=had.exists())
    return {"originals": n}


def files_left(over: Ending) -> int:
    """Count files below any name that holds the tenant's id; raise HoldingFailed."""
    return count_tenants_files_left(over.tenant_id)


def find_cases(over: Ending) -> int:
    """Count the tenant's other cases that say anything of people, or are open."""
    return _speaking(over).count()


def end_cases(over: Ending) -> dict[str, int]:
    """Empty up to two hundred of them, and close those that are open."""
    ids = list(_speaking(over).order_by("pk").values_list("pk", flat=True)[:CASES_AT_ONCE])
    for case_id in ids:
        case = lock_case(case_id)
        case.subject_mac = case.reason_sealed = case.extension_sealed = None
        case.refusal_sealed = case.requested_by_id = None
        if case.closed_at is None and case.refused_at is None:
            case.state, case.closed_at = ErasureState.CLOSED, next_moment(case)
            record("erasure.ended_with_tenant", object_id=case_id)
        case.save()
    return {"cases": len(ids)}


def cases_left(over: Ending) -> int:
    """Count cases that still say something, or are open."""
    return _number(_CASES_LEFT, {"tenant": str(over.tenant_id), "case": over.case_id})


def _speaking(over: Ending) -> QuerySet[Erasure]:
    says = Q(closed_at=None, refused_at=None)
    for column in (
        "subject_mac",
        "reason_sealed",
        "extension_sealed",
        "refusal_sealed",
        "requested_by_id",
    ):
        says |= Q(**{f"{column}__isnull": False})
    return Erasure.objects.exclude(pk=over.case_id).filter(says)


def find_graph(over: Ending) -> int:
    """Count the tenant's graph."""
    return _number(_GRAPH, [graphs.graph_name(over.tenant_id)])


def destroy_graph(over: Ending) -> dict[str, int]:
    """Drop it; where this worker may not, ask who may. Raises HoldingFailed while graphs are being arranged."""
    if not find_graph(over):
        return {}
    if not {graphs.OWNER, OPERATOR} <= connections.settings.keys():
        ask_for(ARRANGE_GRAPHS)
        raise HoldingFailed("vector_graph")
    try:
        graphs.drop_graph(over.tenant_id)
    except graphs.AlreadyArranging as error:
        raise HoldingFailed("vector_graph") from error
    return {"vector_graph": 1}


def graphs_left(over: Ending) -> int:
    """Count indexes of vectors whose condition names the tenant."""
    return _number(_GRAPHS_LEFT, [f"%{over.tenant_id}%"])


def find_generation(over: Ending) -> int:
    """Count the cache generation that can hold content: 1, until a new one has begun."""
    return int(get_tenant().salt_epoch <= over.salt_epoch)


def end_generation(over: Ending) -> dict[str, int]:
    """Begin a new one."""
    n = find_generation(over)
    if n:
        bump_salt_epoch()
    return {"model_cache": n}


def generations_left(over: Ending) -> int:
    """Count it again."""
    return _number(_GENERATIONS_LEFT, {"tenant": str(over.tenant_id), "epoch": over.salt_epoch})


def closed_slug(tenant_id: UUID, slug: str) -> str:
    """Return what is left of a slug: a keyed hash of 192 bits, by which who knows both can recognise it."""
    text = f"closed|{tenant_id}|{slug}".encode()
    digest = hmac.new(settings.AMBIT_PEPPER.encode(), text, hashlib.sha256).hexdigest()
    return CLOSED + digest[:48]


def find_record(over: Ending) -> int:
    """Count the tenant's row while it says who the tenant is."""
    return int(not get_tenant().slug.startswith(CLOSED))


def reduce_record(over: Ending) -> dict[str, int]:
    """Leave of the row the id, times and a hash of the slug."""
    tenant = get_tenant()
    if tenant.slug.startswith(CLOSED):
        return {}
    slug = closed_slug(over.tenant_id, tenant.slug)
    Tenant.objects.filter(pk=over.tenant_id).update(name="", slug=slug)
    return {"tenant_record": 1}


def records_left(over: Ending) -> int:
    """Count the row where it still says more."""
    return _number(_RECORDS_LEFT, [str(over.tenant_id)])


def find_keys(over: Ending) -> int:
    """Count the tenant's file of keys, by whether it gives keys."""
    try:
        tenant_keys(over.tenant_id)
    except KeyUnavailable:
        return 0
    return 1


def destroy_keys(over: Ending) -> dict[str, int]:
    """Destroy it, so that nothing that was sealed opens any more; raise HoldingFailed."""
    try:
        return {"wrapping_key": int(destroy_tenant_keys(over.tenant_id))}
    except OSError as error:
        raise HoldingFailed("wrapping_key") from error


def keys_left(over: Ending) -> int:
    """Count files in the keyring that name the tenant; raise HoldingFailed."""
    try:
        return len(tenant_key_files(over.tenant_id))
    except OSError as error:
        raise HoldingFailed("wrapping_key") from error


def _number(statement: str, values: Any) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        (n,) = cursor.fetchone()
    return int(n)
