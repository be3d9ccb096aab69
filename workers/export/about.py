"""What an archive says about itself: purposes, sources, how long, and the person's rights. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from django.conf import settings

from ambit.erasure.retention import DataClass
from ambit.export.types import Order
from tenants.ids import public_id
from workers.export.types import Found

FILES = {
    "about.json": "this file",
    "person.json": "your record as a member, groups, keys, sign-in, holds, erasures, how often you asked"
    " for an answer, and what the audit trail has of you",
    "documents.json": "the documents that are declared to be about you, and who got them",
    "answers.json": "your questions and their answers",
    "originals/": "the files of these documents, as they were uploaded",
}
PURPOSES = [
    "Members search the documents that they may read and get answers from them, with sources.",
    "The audit trail proves who read and did what (Art. 5(2), 30, 32 GDPR).",
]
SOURCES = [
    "Documents: uploaded by members or by your organisation's own programs.",
    "Your record: entered by your organisation, or sent by its directory.",
    "Vectors and keyed words: made by this system from the documents.",
]
RETENTION = [
    "Documents, and all that is made from them: until they are deleted or erased{documents}.",
    "Questions and answers: until you delete their conversation, or until you, or a document they"
    " were made from, are erased{answers}.",
    "That you asked a model, when and how many tokens it took: {uses_days} days; the sums of each day, by whom,"
    " until you are erased.",
    "Who acted on what, in the audit trail: {audit_days} days; that it happened stays as a proof.",
    "This archive on our side: {export_days} days, or until an erasure of anything in it.",
]
BY_AGE: dict[DataClass, str] = {
    "documents": ", at most {days} days after their newest version came, unless they are held or restricted",
    "answers": ", at most {days} days after they were asked for, unless something of them is held or restricted",
}
RIGHTS = [
    "Rectification (Art. 16), erasure (Art. 17), restriction (Art. 18), portability (Art. 20) and"
    " objection (Art. 21 GDPR): ask your organisation's privacy officer.",
    "You may complain to a supervisory authority (Art. 77) and go to court (Art. 79 GDPR).",
    "No decision about you is made by this system alone (Art. 22 GDPR): it finds and quotes.",
]
LIMITS = [
    "Found are documents that declare you by an identifier that we know. Mentions of you in the free"
    " text of other documents were not searched.",
    "Whom else a document declares is known to us as keyed hashes alone: one that also declares an"
    " identifier we do not know to be yours counts as being about others too.",
    "Names, ids and addresses of other members and declared people were taken out of what we wrote."
    " The files are as they were uploaded; somebody may be described in them without being declared.",
    "Reasons that officers wrote down for holds, restrictions and erasures are not part of this.",
]
MARKED = "[another person]"


def about(order: Order, found: Found, *, n_answers: int) -> dict[str, Any]:
    """Return what the archive says about itself."""
    person = found.person
    nothing = not (person.member or found.documents or n_answers or person.member_is_being_erased)
    return {
        "export": public_id("export", order.id),
        "tenant": public_id("tenant", order.tenant_id),
        "made_by": f"ambit {metadata.version('ambit')}",
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "asked_at": order.received_at.isoformat(),
        "law": "Art. 15 and 20 GDPR",
        "about": {
            "type": order.subject_type,
            "value": order.subject_value,
            "keyed_hash": order.subject_hash,
        },
        "nothing_held": nothing,
        "being_destroyed": {
            "documents": person.n_being_destroyed,
            "member": person.member_is_being_erased,
        },
        "documents_about_others_included": order.include_shared,
        "files": FILES,
        "purposes": PURPOSES,
        "sources": SOURCES,
        "retention": _retention(found),
        "rights": RIGHTS,
        "limits": LIMITS,
        "marks": {MARKED: "somebody else was named here"},
    }


def _retention(found: Found) -> list[str]:
    by_age = {
        name: words.format(days=found.kept_days[name]) if name in found.kept_days else ""
        for name, words in BY_AGE.items()
    }
    days = {
        "audit_days": settings.AMBIT_AUDIT_VALUES_DAYS,
        "export_days": settings.AMBIT_EXPORT_DAYS,
        "uses_days": settings.AMBIT_USES_DAYS,
    }
    return [line.format(**days, **by_age) for line in RETENTION]
