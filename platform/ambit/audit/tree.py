"""A Merkle tree over a growing log (RFC 9162, section 2.1; as in RFC 6962), hashed with SHA-256.

A tree of any size is made of complete subtrees, one for each bit of the size. Their hashes never change, so
they are kept once, and every root and every proof is put together from O(log size) of them. A subtree is named
by its level (0: a leaf) and its index among the subtrees of that level. Proofs are checked by verify.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence

from ambit.audit.verify import node_hash

# The root of nothing.
EMPTY_ROOT = hashlib.sha256(b"").digest()

# Returns the hash of a complete subtree, given its level and index.
Subtree = Callable[[int, int], bytes]


def grown(frontier: Sequence[bytes], size: int, leaf: bytes) -> tuple[list[bytes], list[bytes]]:
    """Return the frontier with one more leaf, and the subtrees that it completed, level 0 first.

    frontier: hashes of the complete subtrees that a tree of that size is made of, largest first.
    """
    left, completed = list(frontier), [leaf]
    while size & 1:
        completed.append(node_hash(left.pop(), completed[-1]))
        size >>= 1
    return [*left, completed[-1]], completed


def root_of(frontier: Sequence[bytes]) -> bytes:
    """Return the root of the tree with such a frontier."""
    if not frontier:
        return EMPTY_ROOT
    *others, root = frontier
    for left in reversed(others):
        root = node_hash(left, root)
    return root


def frontier_of(size: int, subtree: Subtree) -> list[bytes]:
    """Return the hashes of the complete subtrees that a tree of that size is made of, largest first."""
    return [subtree(level, index) for level, index in _complete(0, size)]


def inclusion_proof(number: int, size: int, subtree: Subtree) -> list[bytes]:
    """Return the hashes that lead from the leaf of that number, from 0, to the root of that size.

    Raises IndexError for a leaf that such a tree does not have.
    """
    if not 0 <= number < size:
        raise IndexError(f"a tree of {size} has no leaf {number}")
    return [_range_hash(start, end, subtree) for start, end in _siblings(number, 0, size)]


def consistency_proof(older: int, newer: int, subtree: Subtree) -> list[bytes]:
    """Return the hashes that show the tree of the newer size to begin with the older one.

    Raises IndexError for sizes out of order; the older is at least 1.
    """
    if not 1 <= older <= newer:
        raise IndexError(f"a tree of {newer} does not extend one of {older}")
    if older == newer:
        return []
    ranges = list(_seams(older, 0, newer, known=True))
    return [_range_hash(start, end, subtree) for start, end in ranges]


def _split(n: int) -> int:
    """Return the largest power of two below n, where a tree of n parts."""
    return 1 << (n - 1).bit_length() - 1


def _complete(start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield level and index of the complete subtrees of a range that starts where one of its size may."""
    while start < end:
        level = (end - start).bit_length() - 1
        yield level, start >> level
        start += 1 << level


def _range_hash(start: int, end: int, subtree: Subtree) -> bytes:
    return root_of([subtree(level, index) for level, index in _complete(start, end)])


def _siblings(number: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the ranges beside the path from a leaf to the root of a range, the lowest first."""
    if end - start == 1:
        return
    middle = start + _split(end - start)
    if number < middle:
        yield from _siblings(number, start, middle)
        yield middle, end
    else:
        yield from _siblings(number, middle, end)
        yield start, middle


def _seams(older: int, start: int, end: int, *, known: bool) -> Iterator[tuple[int, int]]:
    """Yield the ranges of a consistency proof (RFC 9162, 2.1.4.1), the lowest first.

    known: whether whoever checks knows the hash of the range up to the older size, as its root.
    """
    if older == end:
        if not known:
            yield start, end
        return
    middle = start + _split(end - start)
    if older <= middle:
        yield from _seams(older, start, middle, known=known)
        yield middle, end
    else:
        yield from _seams(older, middle, end, known=False)
        yield start, middle
