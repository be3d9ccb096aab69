"""Step 1 of 3. Find the person and what declares them, as it is now, and note it for erasures."""

from __future__ import annotations

from ambit.corpus.disclosure import declared_others, disclose_document
from ambit.corpus.queries import DocumentNotFound
from ambit.corpus.types import SubjectRef
from ambit.erasure.exports import find_person
from ambit.erasure.retention import days_in_force
from ambit.export.types import Order
from tenants.scope import tenant_scope
from workers.export.types import Found


def find(order: Order) -> Found:
    """Return the person and their documents; raise SubjectAmbiguous where it names several by now."""
    subject = SubjectRef(order.subject_type, order.subject_value)  # type: ignore[arg-type]  # as received
    with tenant_scope(order.tenant_id, custody=True):
        person = find_person(subject)
        documents = []
        for document_id in person.document_ids:
            try:
                documents.append(disclose_document(document_id))
            except DocumentNotFound:
                # Deleted since it was found: it is not there any more.
                continue
        ids = [one.id for one in documents]
        others = declared_others(ids, own=person.declared)
        return Found(person, tuple(documents), others, days_in_force())
