"""Audit events as the Open Cybersecurity Schema Framework has them: API Activity, class 6003, OCSF 1.6.0."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from importlib import metadata
from typing import Any

OCSF_VERSION = "1.6.0"
CATEGORY, CLASS = 6, 6003
CREATE, READ, UPDATE, DELETE, OTHER = 1, 2, 3, 4, 99
INFORMATIONAL, SUCCESS = 1, 1
# By the last word of an action; whatever is not here is other.
_ACTIVITIES = {
    CREATE: {"created", "received", "added", "placed", "requested", "given"},
    READ: {"search", "answer", "read", "listed", "viewed", "exported", "proved", "previewed"},
    UPDATE: {
        "changed",
        "suspended",
        "lifted",
        "released",
        "extended",
        "identified",
        "ready",
        "rotated",
        "rewrapped",
    },
    DELETE: {
        "deleted",
        "destroyed",
        "shredded",
        "scrubbed",
        "removed",
        "revoked",
        "withdrawn",
        "closed",
        "retired",
    },
}
_PEOPLE = {"member", "operator"}


def as_ocsf(shown: Mapping[str, Any], *, tenant: str, at: datetime) -> dict[str, Any]:
    """Return an event, as the API shows it, as an OCSF event; ids and counts, never content.

    Where a call came from is not recorded, and said so: the class asks for it.
    """
    activity = _activity(shown["action"])
    return {
        "category_uid": CATEGORY,
        "class_uid": CLASS,
        "activity_id": activity,
        "type_uid": CLASS * 100 + activity,
        "severity_id": INFORMATIONAL,
        "status_id": SUCCESS,
        "time": int(at.timestamp() * 1000),
        "metadata": {
            "version": OCSF_VERSION,
            "uid": shown["id"],
            "event_code": shown["action"],
            "tenant_uid": tenant,
            "product": {
                "name": "Ambit",
                "vendor_name": "Ambit",
                "version": metadata.version("ambit"),
            },
        },
        "actor": _actor(shown["actor"]),
        "api": {"operation": shown["action"], "request": {"uid": shown["request_id"] or ""}},
        "src_endpoint": {"name": "not recorded"},
        "resources": _resources(shown),
        "unmapped": {"counts": shown["counts"]},
    }


def _activity(action: str) -> int:
    last = action.replace(".", "_").rpartition("_")[2]
    return next((activity for activity, words in _ACTIVITIES.items() if last in words), OTHER)


def _actor(actor: Mapping[str, Any]) -> dict[str, Any]:
    who = {"uid": actor["id"] or "", "type": actor["kind"]}
    if actor["kind"] in _PEOPLE:
        return {"user": who}
    acting = {"app_uid": actor["id"] or "", "app_name": actor["kind"]}
    return acting | ({"user": {"uid": actor["member"]}} if actor["member"] else {})


def _resources(shown: Mapping[str, Any]) -> list[dict[str, str]]:
    kinds = (("document", shown["documents"]), ("passage", shown["chunks"]))
    listed = [{"uid": uid, "type": kind} for kind, uids in kinds for uid in uids]
    if shown["object"] and shown["object"] not in shown["documents"]:
        listed.insert(0, {"uid": shown["object"], "type": shown["action"].partition(".")[0]})
    return listed
