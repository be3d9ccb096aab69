"""All of a tenant's trail in one file, written while it is sent."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from io import RawIOBase
from typing import Any
from uuid import UUID

from ambit.audit.export import read_events, read_notes, read_unnumbered
from ambit.audit.program import NAME, verifier_program
from tenants.scope import tenant_scope

README = """\
This is the audit trail of one tenant as it was on {at}, to be checked without the server it came from:

    pip install cryptography
    python ambit_verify.pyz

events.jsonl        one event a line; `entry` is what was put into the tree, `who` and `what` the values behind it
unnumbered.jsonl    events of the last seconds, which are not in the tree yet
checkpoints.notes   what was signed, and when
key.txt             the public key: compare it with the one you noted earlier
ambit_verify.pyz    checks all of it, and receipts of erasures; a ZIP of its source: read it first, or make it yourself

`python ambit_verify.pyz --checkpoints FOLDER` also compares with checkpoints that were kept elsewhere. Only these
show that nobody wrote the whole trail anew. `--receipt FILE` holds a receipt of an erasure against the trail.
"""


class _Sink(RawIOBase):
    """Take what is written and hand it on."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        """Say yes."""
        return True

    def write(self, data: object, /) -> int:
        """Keep a piece."""
        piece = bytes(data)  # type: ignore[call-overload]  # bytes or a view of them, from zipfile
        self._pieces.append(piece)
        return len(piece)

    def taken(self) -> bytes:
        """Return what was written since the last time."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


def archive(*, tenant_id: UUID, key: str) -> Iterator[bytes]:
    """Yield a ZIP with everything that the verifier needs; each part is read in a transaction of its own."""
    sink = _Sink()
    at = datetime.now(UTC).isoformat(timespec="seconds")
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("README.txt", README.format(at=at))
        file.writestr("key.txt", f"{key}\n")
        file.writestr(NAME, verifier_program())
        yield sink.taken()
        # Before the events: what is signed meanwhile may be missing, and what was signed may not.
        with file.open("checkpoints.notes", "w", force_zip64=True) as member:
            for text in _notes(tenant_id):
                member.write(text.encode())
                yield sink.taken()
        with file.open("events.jsonl", "w", force_zip64=True) as member:
            for text in _events(tenant_id):
                member.write(text.encode())
                yield sink.taken()
        with tenant_scope(tenant_id):
            others = read_unnumbered()
        file.writestr("unnumbered.jsonl", _written(others))
    yield sink.taken()


def _notes(tenant_id: UUID) -> Iterator[str]:
    size = 0
    while True:
        with tenant_scope(tenant_id):
            found = read_notes(above=size)
        if not found:
            return
        yield "".join(text for _, text in found)
        size = found[-1][0]


def _events(tenant_id: UUID) -> Iterator[str]:
    start = 0
    while True:
        with tenant_scope(tenant_id):
            lines = read_events(start=start)
        if not lines:
            return
        yield _written(lines)
        start += len(lines)


def _written(lines: list[dict[str, Any]]) -> str:
    return "".join(f"{json.dumps(line)}\n" for line in lines)
