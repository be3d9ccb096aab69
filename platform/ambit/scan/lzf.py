"""Unpack what Redis packed with LZF in its snapshots. Pure."""

from __future__ import annotations


def unpack(packed: bytes, size: int) -> bytes:
    """Return up to size bytes; where the packed bytes end or make no sense, what came before."""
    out = bytearray()
    at, end = 0, len(packed)
    while at < end and len(out) < size:
        control = packed[at]
        at += 1
        if control < 32:
            out += packed[at : at + control + 1]
            at += control + 1
            continue
        length = control >> 5
        if length == 7 and at < end:
            length += packed[at]
            at += 1
        if at >= end:
            break
        start = len(out) - ((control & 0x1F) << 8 | packed[at]) - 1
        at += 1
        if start < 0:
            break
        for place in range(start, start + length + 2):
            out.append(out[place])
    return bytes(out[:size])
