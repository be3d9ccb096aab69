"""Tenants that end, with full neighbours, as the operator and a worker would do it."""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID, uuid4

import psycopg
from django.utils import timezone
from psycopg import sql

from ambit.answers.policies import set_policy
from ambit.audit.flow import keep_trail
from ambit.corpus.types import SubjectRef
from ambit.erasure.offboarding import (
    Offboarding,
    begin_offboarding,
    get_certificate,
    get_offboarding,
)
from ambit.erasure.restrictions import place_restriction
from ambit.erasure.retention import set_retention
from ambit.export.models import ExportItem
from ambit.jobs.kinds import OFFBOARD
from ambit.jobs.models import Job
from ambit.jobs.services import Claim, claim
from ambit.metering.models import Limit
from ambit.notices.services import announce, create_webhook
from tenants.audit import Actor, acting_as
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.cast import NOT_FOR_WORKERS
from tests.database.adapting import make_live
from tests.database.erasures import (
    Town,
    ask,
    export_of,
    file,
    file_for,
    inhabit,
    keep_from_workers,
    work_on,
)
from tests.database.worlds import make_group, working
from workers.offboard.flow import offboard

OPERATOR = Actor("operator", None)
SECONDS = 40


def full_town() -> Town:
    """Make a tenant with something in every place, open cases among it."""
    town = inhabit()
    with working(town.tenant_id):
        webhook = create_webhook(
            name="Archive Ltd", url="https://hooks.example.test/ambit", events=["document.erased"]
        )
        announce("document.erased", object_id=uuid4(), document_ids=[town.about_bob])
        make_group(groups=[make_group(members=[town.bob])])
        assert webhook.secret
        place_restriction(subject=None, document_ids=[town.about_namesake], reason="disputed")
        set_retention(days={"answers": 3650})
        set_policy(rules="Say nothing of Harbor Street.", tone="formal", language="de")
        Limit.objects.create(tokens_per_month=10**6)
        keep_from_workers()
    closed = file_for(town)
    work_on(town.tenant_id, closed)
    archive = export_of(town.tenant_id, town.bob)
    ask(town.tenant_id, town.bob, {town.about_bob}, in_conversation=True)
    make_live(town.tenant_id, town.bob, [town.about_bob])
    with working(town.tenant_id):
        ExportItem.objects.create(export_id=archive, document_id=town.about_bob)
    file(town.tenant_id, documents=[town.about_namesake])
    subject = SubjectRef("member", str(town.bob))
    file(town.tenant_id, subject=subject, identity="pending")
    return town


def slug_of(tenant_id: UUID) -> str:
    """Return a tenant's slug, as the operator."""
    return Tenant.objects.using("operator").get(pk=tenant_id).slug


def begin(tenant_id: UUID, *, slug: str | None = None) -> Offboarding:
    """End a tenant as the operator; no worker but the test's takes the job."""
    with acting_as(OPERATOR):
        begun = begin_offboarding(
            tenant_id=tenant_id, slug=slug_of(tenant_id) if slug is None else slug
        )
    with tenant_scope(tenant_id):
        keep_from_workers()
    return begun


def take_end(tenant_id: UUID) -> Claim | None:
    """Claim a tenant's end as a worker would, without waiting for a lease or a delay to run out."""
    with tenant_scope(tenant_id):
        job = Job.objects.filter(name=OFFBOARD.name)
        job.update(run_after=timezone.now(), lease=None, leased_until=None)
        found = job.first()
        return claim(tenant_id=tenant_id, job_id=found.pk) if found else None


def try_once(tenant_id: UUID) -> Offboarding:
    """Let a worker do what it can."""
    held = take_end(tenant_id)
    if held is not None:
        offboard(held)
    with tenant_scope(tenant_id):
        Job.objects.filter(lease=None).update(run_after=NOT_FOR_WORKERS)
    return state_of(tenant_id)


def work_to_the_end(tenant_id: UUID, *, state: str = "closed") -> Offboarding:
    """Let worker and keep_audit work until the tenant is closed, or in another state."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        keep_trail()
        shown = try_once(tenant_id)
        if shown.state == state:
            return shown
        assert not shown.complete
        time.sleep(0.05)
    raise TimeoutError(f"{shown.state}, waits for: {shown.waits_for}")


def state_of(tenant_id: UUID) -> Offboarding:
    """Return how far a tenant's end has come."""
    return get_offboarding(tenant_id=tenant_id)


def certificate_of(tenant_id: UUID) -> dict[str, Any]:
    """Return a tenant's certificate, as the operator."""
    with acting_as(OPERATOR):
        return get_certificate(tenant_id=tenant_id)


def rows_by_table(connection: psycopg.Connection, tenant_id: UUID) -> dict[str, int]:
    """Return how many rows of a tenant each table has, read as the superuser."""
    tables = connection.execute(
        "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
        " WHERE a.attname = 'tenant_id' AND c.relkind = 'r' AND NOT a.attisdropped"
        " AND c.relnamespace = 'public'::regnamespace"
    ).fetchall()
    found = {}
    for (table,) in tables:
        statement = sql.SQL("SELECT count(*) FROM {} WHERE tenant_id = %s")
        row = connection.execute(statement.format(sql.Identifier(table)), [tenant_id]).fetchone()
        assert row is not None
        found[table] = int(row[0])
    return {table: n for table, n in found.items() if n}
