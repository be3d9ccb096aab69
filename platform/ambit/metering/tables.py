"""Usage as CSV: ids and numbers, and nothing that a spreadsheet would compute. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import date
from typing import Any

from ambit.metering.types import GROUPS, GroupName, Usage
from tenants.ids import public_id

SUMS = (
    "requests",
    "unfinished",
    "estimated",
    "passages",
    "retrieval_ms",
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def usage_csv(rows: Sequence[Usage], *, groups: Sequence[GroupName]) -> str:
    """Return rows with a heading, the groups first; empty where a member or key is none or was erased."""
    text = io.StringIO()
    writer = csv.writer(text)
    named = [name for name in GROUPS if name in groups]
    writer.writerow([*named, *SUMS])
    for row in rows:
        shown = [_cell(value) for value in _group_values(row, named)]
        writer.writerow([*shown, *(getattr(row, name) for name in SUMS)])
    return text.getvalue()


def usage_file_name(first: date, last: date) -> str:
    """Return what the file is called."""
    return f"usage-{first}-{last}.csv"


def _group_values(row: Usage, groups: Sequence[GroupName]) -> list[Any]:
    values: dict[GroupName, Any] = {
        "day": row.day,
        "member": row.member_id and public_id("member", row.member_id),
        "key": row.key_id and public_id("key", row.key_id),
        "model": row.model,
        "kind": row.kind,
    }
    return [values[name] for name in groups]


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
