"""Unpack what Postgres packed with pglz, its own method of compression, as far as it goes. Pure."""

from __future__ import annotations


def unpack(packed: bytes, size: int) -> bytes:
    """Return up to size bytes; where the packed bytes end or make no sense, what came before."""
    out = bytearray()
    at, end = 0, len(packed)
    while at < end and len(out) < size:
        control = packed[at]
        at += 1
        if not control:
            out += packed[at : at + 8]
            at += 8
            continue
        for _ in range(8):
            if control & 1:
                if at + 1 >= end:
                    return bytes(out[:size])
                first = packed[at]
                back = (first & 0xF0) << 4 | packed[at + 1]
                length = (first & 0x0F) + 3
                at += 2
                if length == 18 and at < end:
                    length += packed[at]
                    at += 1
                start = len(out) - back
                if not back or start < 0:
                    return bytes(out[:size])
                if back >= length:
                    out += out[start : start + length]
                else:
                    out += (out[start:] * (length // back + 1))[:length]
            else:
                out += packed[at : at + 1]
                at += 1
            control >>= 1
    return bytes(out[:size])
