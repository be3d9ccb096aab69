"""Unpack a block of LZ4 as Postgres stores it, as far as it goes. Pure."""

from __future__ import annotations


def unpack(packed: bytes, size: int) -> bytes:
    """Return up to size bytes; where the packed bytes end or make no sense, what came before."""
    out = bytearray()
    at, end = 0, len(packed)
    while at < end and len(out) < size:
        token = packed[at]
        n_literals, at = _length(packed, at + 1, token >> 4)
        out += packed[at : at + n_literals]
        at += n_literals
        if at + 2 > end:
            break
        back = packed[at] | packed[at + 1] << 8
        length, at = _length(packed, at + 2, token & 0x0F)
        length = min(length + 4, size - len(out))
        start = len(out) - back
        if not back or start < 0:
            break
        if back >= length:
            out += out[start : start + length]
        else:
            out += (out[start:] * (length // back + 1))[:length]
    return bytes(out[:size])


def _length(packed: bytes, at: int, length: int) -> tuple[int, int]:
    if length < 15:
        return length, at
    while at < len(packed):
        more = packed[at]
        at += 1
        length += more
        if more < 255:
            break
    return length, at
