"""What of an event goes into its leaf: everything but the values about people, for which commitments stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from ambit.audit.verify import commitment, leaf_hash
from tenants.ids import public_id

# Values that an erasure may take away, together with the salt that tells of them.
PARTS = {
    "who": ("actor_id", "member_id", "request_id"),
    "what": ("object_id", "document_ids", "chunk_ids"),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """What an event's leaf is made of: its hash, and the two commitments in it."""

    hash: bytes
    who: bytes
    what: bytes


def origin_of(tenant_id: UUID) -> str:
    """Return the name of a tenant's log."""
    return f"ambit/{public_id('tenant', tenant_id)}"


def entry_of(event: Mapping[str, Any], *, number: int) -> Entry:
    """Return the entry of an event that has all its values, at its number in the log."""
    told = {part: commitment(event[f"{part}_salt"], values_of(event, part)) for part in PARTS}
    return Entry(
        hash=leaf_hash(written(event, number=number, who=told["who"], what=told["what"])),
        who=bytes.fromhex(told["who"]),
        what=bytes.fromhex(told["what"]),
    )


def written(event: Mapping[str, Any], *, number: int, who: str, what: str) -> dict[str, Any]:
    """Return an entry as an object; who and what are its commitments."""
    return {
        "log": origin_of(event["tenant_id"]),
        "number": number,
        "id": str(event["id"]),
        "at": moment(event["at"]),
        "action": event["action"],
        "actor_kind": event["actor_kind"],
        "counts": event["counts"],
        "who": who,
        "what": what,
    }


def values_of(event: Mapping[str, Any], part: str) -> dict[str, Any]:
    """Return the values behind a commitment."""
    return {name: _plain(event[name]) for name in PARTS[part]}


def moment(at: datetime) -> str:
    """Return a time as entries have it: UTC, to the microsecond."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, UUID) else value
