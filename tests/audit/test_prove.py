"""The attacks of `make prove-audit`, a few of each; and that the verifier can miss one."""

from __future__ import annotations

import random
from typing import Any

import pytest

from ambit.audit import verify
from tests.audit.prove import outside, proof_bytes, prove
from tests.database.private import PrivateDatabase


def test_every_attack_is_found(private: PrivateDatabase) -> None:
    with outside():
        counts = prove(private, tries=15, chance=random.Random(1795319000))

    assert len(counts) == 24
    assert {count.kind: count.missed for count in counts if count.missed} == {}


def test_a_verifier_that_trusts_the_server_misses_them(
    private: PrivateDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted: it reads the checkpoints that came with the export, and not those that were kept."""
    read = verify._checkpoints

    def trusting(kept: Any, key: verify.Key, report: verify.Report) -> list[verify.Checkpoint]:
        return read([one for one in kept if one[0] == "the export"] or kept, key, report)

    monkeypatch.setattr(verify, "_checkpoints", trusting)
    with outside():
        counts = prove(private, tries=3, chance=random.Random(7))

    missed = {count.kind.partition(",")[0] for count in counts if count.missed}
    assert {"edit", "delete", "insert", "reorder", "fork"} <= missed


def test_a_proof_stays_small_in_a_large_log() -> None:
    # Without its base64 and the JSON around it 24 hashes of 32 bytes; promised is a kilobyte.
    assert proof_bytes(10_000_000) // 44 * 32 <= 1000
