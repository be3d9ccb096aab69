"""The words and colors in which states, roles and events are shown."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class State:
    """How a state is shown: words, unfold's label variant, icon."""

    words: str
    variant: str
    icon: str


STATES: dict[str, State] = {
    # a document's version
    "received": State("received", "info", "schedule"),
    "parsed": State("parsed", "info", "sync"),
    "chunked": State("chunked", "info", "sync"),
    "embedded": State("embedded", "info", "sync"),
    "ready": State("ready", "success", "check_circle"),
    "failed": State("failed", "danger", "error"),
    "deleted": State("being deleted", "warning", "delete"),
    "erased": State("erased", "", "delete_forever"),
    # an erasure's case
    "hidden": State("hidden", "info", "visibility_off"),
    "destroyed": State("destroyed", "info", "delete"),
    "verified": State("verified", "info", "fact_check"),
    "closed": State("closed", "success", "task_alt"),
    "incomplete": State("incomplete", "danger", "warning"),
    # members, tenants, keys, sign-ins
    "active": State("active", "success", "check_circle"),
    "suspended": State("suspended", "warning", "pause_circle"),
    "expired": State("expired", "", "timer_off"),
    "revoked": State("revoked", "", "block"),
    "member": State("Member", "", "person"),
    "admin": State("Administrator", "primary", "shield_person"),
    "privacy_officer": State("Privacy officer", "info", "policy"),
    "auditor": State("Auditor", "info", "manage_search"),
    # grants
    "reader": State("Reader", "", "visibility"),
    "editor": State("Editor", "info", "edit"),
    "owner": State("Owner", "primary", "key"),
}
UNFINISHED = frozenset({"received", "parsed", "chunked", "embedded"})
OPEN_STATES = frozenset({"received", "hidden", "destroyed", "verified", "incomplete"})
DOCUMENT_STATES = ("received", "parsed", "chunked", "embedded", "ready", "failed")

# What the object of an audit event is, by the first word of its action.
OBJECT_KINDS: dict[str, str] = {
    "tenant": "tenant",
    "member": "member",
    "group": "group",
    "key": "key",
    "collection": "collection",
    "document": "document",
    "version": "version",
    "answer": "answer",
    "erasure": "erasure",
    "admin": "member",
}


def object_kind(action: str) -> str | None:
    """Return which kind of id an event's object has; None where it is not shown with a prefix."""
    return OBJECT_KINDS.get(action.partition(".")[0])
