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
    "restricted": State("restricted", "warning", "lock"),
    "erased": State("erased", "", "delete_forever"),
    # an erasure's case
    "hidden": State("hidden", "info", "visibility_off"),
    "scoped": State("scoped", "info", "checklist"),
    "shredded": State("shredded", "info", "delete"),
    "scrubbed": State("scrubbed", "info", "cleaning_services"),
    "verified": State("verified", "info", "fact_check"),
    "closed": State("closed", "success", "task_alt"),
    "incomplete": State("incomplete", "danger", "warning"),
    "refused": State("refused", "", "block"),
    # a hold or a restriction
    "in_force": State("in force", "warning", "lock"),
    "lifted": State("over", "", "lock_open"),
    "review_due": State("review due", "danger", "alarm"),
    "held": State("held in part", "warning", "lock"),
    # a notice to a recipient
    "waiting": State("waiting", "info", "schedule_send"),
    "told": State("told", "success", "mark_email_read"),
    "given_up": State("given up", "danger", "error"),
    # an adapter
    "candidate": State("candidate", "info", "pending"),
    "live": State("live", "success", "check_circle"),
    "retired": State("retired", "warning", "block"),
    # members, tenants, keys, sign-ins
    "active": State("active", "success", "check_circle"),
    "suspended": State("suspended", "warning", "pause_circle"),
    "closing": State("being off-boarded", "warning", "domain_disabled"),
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
OPEN_STATES = frozenset(
    {"received", "hidden", "scoped", "shredded", "scrubbed", "verified", "incomplete", "held"}
)
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
    "hold": "hold",
    "restriction": "restriction",
    "export": "export",
    "webhook": "webhook",
    "notice": "notice",
    "adapter": "adapter",
    "admin": "member",
}


def object_kind(action: str) -> str | None:
    """Return which kind of id an event's object has; None where it is not shown with a prefix."""
    return OBJECT_KINDS.get(action.partition(".")[0])
