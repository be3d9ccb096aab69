"""Step 1 of 6. Take up what was asked for: the ids noted in the request, and what came in late."""

from __future__ import annotations

from ambit.answers.holdings import answers_about
from ambit.corpus.holdings import versions_of
from ambit.erasure.cases import CaseNotFound, with_epoch
from ambit.erasure.services import take_up
from ambit.erasure.types import Case
from ambit.jobs.services import Claim, keep
from tenants.holding import Scope
from tenants.queries import get_tenant
from tenants.scope import tenant_scope


def find(held: Claim) -> Case | None:
    """Return what a case covers; None when it is closed or was never committed."""
    with tenant_scope(held.tenant_id, custody=True):
        keep(held)
        try:
            return take_up(held.object_id)
        except CaseNotFound:
            return None


def find_document(held: Claim) -> Scope:
    """Return what belongs to a deleted document."""
    with tenant_scope(held.tenant_id, custody=True):
        document_ids = (held.object_id,)
        scope = Scope(
            tenant_id=held.tenant_id,
            document_ids=document_ids,
            version_ids=versions_of(document_ids),
            answer_ids=tuple(answers_about(document_ids=document_ids, member_ids=())),
        )
        return with_epoch(scope, get_tenant().salt_epoch)
