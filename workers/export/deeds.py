"""What the audit trail has of a person, in words; and who got their documents, without naming people."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from tenants.ids import public_id
from tenants.models import AuditEvent
from workers.export.screen import Screen
from workers.export.types import Found

WORDS = {
    "search": "searched",
    "answer.retrieved": "asked a question; passages were looked up for it",
    "answer.given": "was given an answer",
    "answer.read": "read a saved answer",
    "conversation.read": "read a conversation",
    "conversation.recalled": "asked on in a conversation; what was said before was read again",
    "content.read": "fetched the file of a document",
    "document.read": "looked at a document",
    "document.listed": "listed documents",
    "document.received": "uploaded a document",
    "document.version_received": "uploaded a new version of a document",
    "document.ready": "made a document searchable",
    "document.deleted": "deleted a document",
    "document.destroyed": "destroyed a deleted document",
    "account.signed_in": "signed in to the administration pages",
    "hold.placed": "placed a hold",
    "hold.released": "released a hold",
    "restriction.placed": "restricted documents",
    "restriction.lifted": "lifted a restriction",
    "export.requested": "asked for an archive of personal data",
}
# Events with which something of a document leaves.
DISCLOSING = (
    "content.read", "document.read", "search", "answer.retrieved", "answer.read", "conversation.read",
    "conversation.recalled",
)  # fmt: skip


class Deeds:
    """Tells events, and counts on the way who got which document."""

    def __init__(self, found: Found, *, screen: Screen, service_keys: Mapping[UUID, str]) -> None:
        member = found.person.member
        self._own = {member.id, *member.key_ids, *member.account_ids} if member else set()
        self._documents = set(found.document_ids)
        self._screen = screen
        self._services = service_keys
        self._got: defaultdict[UUID, dict[UUID | str, list[Any]]] = defaultdict(dict)

    def tell(self, event: AuditEvent) -> dict[str, Any]:
        """Return an event in words, with the ids of the person's own documents alone."""
        touched = {*event.document_ids, *([event.object_id] if event.object_id else [])}
        mine = touched & self._documents
        by = self._by(event)
        if event.action in DISCLOSING:
            for document_id in mine:
                self._note(document_id, event, by)
        return {
            "at": event.at.isoformat(),
            "by": self._shown(by),
            "did": WORDS.get(event.action, event.action.replace(".", " ").replace("_", " ")),
            "action": event.action,
            "to_you": event.object_id in self._own,
            "your_documents": [public_id("document", one) for one in sorted(mine)],
            "n_other_documents": len(set(event.document_ids) - mine),
        }

    def recipients(self, document_id: UUID) -> list[dict[str, Any]]:
        """Return who got a document, from the events told before."""
        return [
            {
                "recipient": self._shown(by),
                "key": public_id("key", by) if isinstance(by, UUID) else None,
                "times": n,
                "first_at": first.isoformat(),
                "last_at": last.isoformat(),
            }
            for by, (n, first, last) in self._got[document_id].items()
        ]

    def _note(self, document_id: UUID, event: AuditEvent, by: UUID | str) -> None:
        n, first, _ = self._got[document_id].get(by, (0, event.at, event.at))
        self._got[document_id][by] = [n + 1, first, event.at]

    def _by(self, event: AuditEvent) -> UUID | str:
        """Return a service's key, or in words who it was."""
        if event.member_id in self._own or event.actor_id in self._own:
            return "you"
        if event.actor_id is not None and event.actor_id in self._services:
            return event.actor_id
        return {"worker": "this system", "operator": "the operator"}.get(
            event.actor_kind, "another member or service"
        )

    def _shown(self, by: UUID | str) -> str:
        if isinstance(by, str):
            return by
        return f"the service “{self._screen.text(self._services[by])}”"
