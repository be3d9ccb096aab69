"""Step 3 of 3. Write the archive piece by piece, sealed, file by file from the store of originals."""

from __future__ import annotations

import json
import time
import zipfile
from collections.abc import Callable, Iterator
from io import RawIOBase
from typing import Any

from ambit.corpus.disclosure import read_original
from tenants.scope import tenant_scope
from workers.export.types import Contents

PROGRESS_S = 1.0
# Files that are compressed in themselves gain nothing.
STORED = ("pdf", "docx", "xlsx", "pptx", "odt", "ods", "odp", "epub", "png", "jpg", "jpeg", "zip")


class Pieces(RawIOBase):
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


def pack(contents: Contents, *, tell_progress: Callable[[int], None]) -> Iterator[bytes]:
    """Yield the ZIP; raise DocumentNotFound where a document was deleted or erased meanwhile."""
    sink = Pieces()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as file:
        for name, part in contents.parts.items():
            file.writestr(name, _written(part))
            yield sink.taken()
        told_at = time.monotonic()
        for n_written, original in enumerate(contents.originals):
            if time.monotonic() - told_at > PROGRESS_S:
                tell_progress(n_written)
                told_at = time.monotonic()
            info = zipfile.ZipInfo(original.path, date_time=time.gmtime()[:6])
            info.compress_type = _compression(original.path)
            with tenant_scope(contents.order.tenant_id, custody=True):
                pieces = read_original(original.document_id, original.version_id)
            with file.open(info, "w", force_zip64=True) as member:
                for piece in pieces:
                    member.write(piece)
                    yield sink.taken()
    yield sink.taken()


def _written(part: Any) -> str:
    return json.dumps(part, ensure_ascii=False, indent=1)


def _compression(path: str) -> int:
    packed = path.rpartition(".")[2] in STORED
    return zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED
