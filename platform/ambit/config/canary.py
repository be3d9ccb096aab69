"""Plant the canary: as the operator its tenant, as the application the rest."""

from __future__ import annotations

from ambit.access.services import plant_canary_collection
from ambit.corpus.canary import (
    CANARY_AUDIENCE,
    CANARY_DOCUMENT,
    CANARY_TENANT,
    plant_canary_document,
)
from tenants.models import Tenant
from tenants.scope import tenant_scope

SLUG = "ambit-canary"


def plant_canary() -> None:
    """Make the canary's tenant and rows; what exists is left as it is."""
    Tenant.objects.using("operator").get_or_create(
        id=CANARY_TENANT, defaults={"name": "Start-up check", "slug": SLUG}
    )
    with tenant_scope(CANARY_TENANT, custody=True):
        plant_canary_collection(collection_id=CANARY_DOCUMENT, audience_id=CANARY_AUDIENCE)
        plant_canary_document(collection_id=CANARY_DOCUMENT)
