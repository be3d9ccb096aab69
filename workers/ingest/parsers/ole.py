"""Tell which program wrote a legacy (OLE) file from its directory, without opening the rest."""

from __future__ import annotations

import struct

from workers.ingest.parsers.failures import CorruptFile, EncryptedFile, UnsupportedType

MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_END = 0xFFFFFFFA
_NONE = 0xFFFFFFFF
_MAX_ENTRIES = 20_000


def kind_of_ole(data: bytes) -> str:
    """Say doc, xls, ppt or msg; raise EncryptedFile or UnsupportedType for the others."""
    try:
        names = _top_names(data)
    except (struct.error, IndexError, ValueError):
        raise CorruptFile("ole") from None
    if "encryptedpackage" in names or "encryptedsummary" in names:
        raise EncryptedFile("file")
    if "worddocument" in names:
        return _kind_of_word(data, *names["worddocument"])
    for stream, kind in (
        ("workbook", "xls"),
        ("book", "xls"),
        ("powerpoint document", "ppt"),
        ("__properties_version1.0", "msg"),
    ):
        if stream in names:
            return kind
    if "visiodocument" in names:
        raise UnsupportedType("visio")
    raise UnsupportedType("ole")


def _kind_of_word(data: bytes, first_sector: int, size: int) -> str:
    """Read the file information block: its first two bytes name the version, a bit says encrypted."""
    if size >= 4096:
        at = (first_sector + 1) * (1 << struct.unpack_from("<H", data, 30)[0])
        magic, flags = data[at : at + 2], data[at + 11 : at + 12]
        if magic == b"\xdc\xa5":
            raise UnsupportedType("word6")
        if flags and flags[0] & 0x01:
            raise EncryptedFile("doc")
    return "doc"


def _top_names(data: bytes) -> dict[str, tuple[int, int]]:
    """Map the names directly under the root to (first sector, size).

    Deeper ones belong to embedded documents, which do not decide.
    """
    size = 1 << struct.unpack_from("<H", data, 30)[0]
    if size not in (512, 4096):
        raise ValueError
    per_sector = size // 4
    fat_sectors = list(struct.unpack_from("<109I", data, 76))
    directory = b""
    sector: int = struct.unpack_from("<I", data, 48)[0]
    for _ in range(_MAX_ENTRIES * 128 // size):
        if sector >= _END:
            break
        directory += data[(sector + 1) * size : (sector + 2) * size]
        which = sector // per_sector
        if which >= len(fat_sectors) or fat_sectors[which] >= _END:
            break
        at = (fat_sectors[which] + 1) * size + (sector % per_sector) * 4
        sector = struct.unpack_from("<I", data, at)[0]
    entries = [directory[at : at + 128] for at in range(0, len(directory) - 127, 128)]
    names: dict[str, tuple[int, int]] = {}
    seen: set[int] = set()
    todo = [struct.unpack_from("<I", entries[0], 76)[0]]
    while todo:
        index = todo.pop()
        if index == _NONE or index in seen or index >= len(entries):
            continue
        seen.add(index)
        entry = entries[index]
        n_bytes = max(0, min(struct.unpack_from("<H", entry, 64)[0] - 2, 64))
        name = entry[:n_bytes].decode("utf-16-le", errors="replace").lower()
        names[name] = struct.unpack_from("<II", entry, 116)
        todo += struct.unpack_from("<II", entry, 68)
    return names
