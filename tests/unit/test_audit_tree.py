"""The audit's Merkle tree, against the known answers of RFC 6962's reference and against its own definition."""

from __future__ import annotations

import hashlib
import random

import pytest

from ambit.audit.tree import (
    EMPTY_ROOT,
    consistency_proof,
    frontier_of,
    grown,
    inclusion_proof,
    root_of,
)
from ambit.audit.verify import InvalidProof, check_consistency, check_inclusion, node_hash


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of an entry, as RFC 9162 has it."""
    return hashlib.sha256(b"\x00" + entry).digest()


# Inputs and roots of the reference implementation's tests (certificate-transparency-go, merkletree).
ENTRIES = [
    bytes.fromhex(text)
    for text in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


class Tree:
    """All subtrees of a tree, kept as they are completed."""

    def __init__(self, n: int) -> None:
        self.kept: dict[tuple[int, int], bytes] = {}
        self.leaves = [leaf_hash(b"%d" % i) for i in range(n)]
        frontier: list[bytes] = []
        self.roots = [EMPTY_ROOT]
        for size, leaf in enumerate(self.leaves):
            frontier, completed = grown(frontier, size, leaf)
            for level, found in enumerate(completed):
                self.kept[level, size >> level] = found
            self.roots.append(root_of(frontier))

    def subtree(self, level: int, index: int) -> bytes:
        """Return a complete subtree's hash."""
        return self.kept[level, index]


def by_definition(leaves: list[bytes]) -> bytes:
    """Return the root as RFC 9162 defines it."""
    if len(leaves) == 1:
        return leaves[0]
    middle = 1
    while middle * 2 < len(leaves):
        middle *= 2
    return node_hash(by_definition(leaves[:middle]), by_definition(leaves[middle:]))


@pytest.fixture(scope="module")
def tree() -> Tree:
    """Return a tree of no round size."""
    return Tree(133)


def test_roots_are_those_of_the_reference() -> None:
    frontier: list[bytes] = []
    for size, entry in enumerate(ENTRIES):
        frontier, _ = grown(frontier, size, leaf_hash(entry))
        assert root_of(frontier).hex() == ROOTS[size]


def test_every_size_has_the_root_of_the_definition(tree: Tree) -> None:
    for size in range(1, len(tree.roots)):
        assert tree.roots[size] == by_definition(tree.leaves[:size])
        assert root_of(frontier_of(size, tree.subtree)) == tree.roots[size]


def test_every_leaf_is_proved_in_every_tree_and_nowhere_else(tree: Tree) -> None:
    for size in range(1, 70):
        root = tree.roots[size]
        for number in range(size):
            proof = inclusion_proof(number, size, tree.subtree)
            check_inclusion(tree.leaves[number], number=number, size=size, root=root, proof=proof)
            for other in {(number + 1) % size, size - 1, 0} - {number}:
                with pytest.raises(InvalidProof):
                    check_inclusion(
                        tree.leaves[number], number=other, size=size, root=root, proof=proof
                    )


def test_every_tree_is_proved_to_extend_every_older_one(tree: Tree) -> None:
    for newer in range(1, 70):
        for older in range(1, newer + 1):
            proof = consistency_proof(older, newer, tree.subtree)
            check_consistency(
                older=older, older_root=tree.roots[older],
                newer=newer, newer_root=tree.roots[newer], proof=proof,
            )  # fmt: skip
            if older < newer:
                with pytest.raises(InvalidProof):
                    check_consistency(
                        older=older, older_root=tree.roots[older - 1],
                        newer=newer, newer_root=tree.roots[newer], proof=proof,
                    )  # fmt: skip


def test_no_altered_proof_holds(tree: Tree) -> None:
    chance = random.Random(7)
    for _ in range(1000):
        size = chance.randint(2, 133)
        number = chance.randrange(size)
        proof = altered(inclusion_proof(number, size, tree.subtree), chance)
        with pytest.raises(InvalidProof):
            check_inclusion(
                tree.leaves[number], number=number, size=size, root=tree.roots[size], proof=proof
            )
        older = chance.randrange(1, size)
        proof = altered(consistency_proof(older, size, tree.subtree), chance)
        with pytest.raises(InvalidProof):
            check_consistency(
                older=older, older_root=tree.roots[older],
                newer=size, newer_root=tree.roots[size], proof=proof,
            )  # fmt: skip


def altered(proof: list[bytes], chance: random.Random) -> list[bytes]:
    """Return a proof with one hash left out, added, or of another bit."""
    at = chance.randrange(len(proof))
    kind = chance.randrange(3)
    if kind == 0:
        return proof[:at] + proof[at + 1 :]
    if kind == 1:
        return [*proof[:at], bytes(32), *proof[at:]]
    flipped = bytes([proof[at][0] ^ 1]) + proof[at][1:]
    return [*proof[:at], flipped, *proof[at + 1 :]]


def test_a_proof_at_ten_million_events_is_under_a_kilobyte() -> None:
    size = 10_000_000

    proof = inclusion_proof(size - 2, size, lambda level, index: bytes(32))
    extends = consistency_proof(size // 3, size, lambda level, index: bytes(32))

    assert sum(map(len, proof)) < 1000
    assert sum(map(len, extends)) < 1000


@pytest.mark.parametrize(("number", "size"), [(-1, 5), (5, 5), (0, 0)])
def test_what_a_tree_does_not_have_is_not_proved(number: int, size: int) -> None:
    with pytest.raises(IndexError):
        inclusion_proof(number, size, lambda level, index: bytes(32))
    with pytest.raises(InvalidProof):
        check_inclusion(bytes(32), number=number, size=size, root=EMPTY_ROOT, proof=[])


@pytest.mark.parametrize(("older", "newer"), [(0, 5), (6, 5), (-1, 0)])
def test_sizes_out_of_order_are_not_proved(older: int, newer: int) -> None:
    with pytest.raises(IndexError):
        consistency_proof(older, newer, lambda level, index: bytes(32))
