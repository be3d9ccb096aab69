"""Proofs from what is stored, checked as those check them who have a checkpoint and nothing else."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ambit.audit.checkpoints import Signer
from ambit.audit.models import Leaf
from ambit.audit.proofs import CheckpointNotFound, EventNotProved, prove_event, prove_extension
from ambit.audit.sequence import sequence_events
from ambit.audit.verify import Checkpoint, Key, check_consistency, check_inclusion, read_note
from tenants.scope import tenant_scope
from tests.audit.trails import add_events
from tests.database.worlds import make_tenant

pytestmark = pytest.mark.usefixtures("database")
SIGNER = Signer("ambit.test", Ed25519PrivateKey.generate())


@pytest.fixture(scope="module")
def tenant_id(session_stack: object) -> UUID:
    """Return a tenant of some hundred events and several checkpoints."""
    tenant_id = make_tenant()
    for n in (1, 2, 250, 400, 611):
        add_events(tenant_id, n)
        sequence_events(SIGNER)
    return tenant_id


def notes(tenant_id: UUID) -> list[Checkpoint]:
    """Return what was signed, as it is read outside."""
    from ambit.audit.models import Checkpoint as Signed

    with tenant_scope(tenant_id):
        texts = list(Signed.objects.order_by("size").values_list("note", flat=True))
    return [read_note(text, Key.read(SIGNER.key)) for text in texts]


def test_each_event_is_in_each_checkpoint_since(tenant_id: UUID) -> None:
    signed = notes(tenant_id)
    with tenant_scope(tenant_id):
        leaves = list(Leaf.objects.order_by("number"))
        for leaf in leaves[::17]:
            for one in signed:
                if leaf.number >= one.size:
                    with pytest.raises(EventNotProved):
                        prove_event(leaf.pk, size=one.size)
                    continue
                found = prove_event(leaf.pk, size=one.size)
                check_inclusion(
                    bytes(found.leaf.hash), number=leaf.number, size=one.size, root=one.root, proof=found.proof
                )  # fmt: skip


def test_each_checkpoint_begins_with_each_older_one(tenant_id: UUID) -> None:
    signed = notes(tenant_id)
    assert len(signed) >= 3
    with tenant_scope(tenant_id):
        for n, newer in enumerate(signed):
            for older in signed[: n + 1]:
                check_consistency(
                    older=older.size, older_root=older.root, newer=newer.size, newer_root=newer.root,
                    proof=prove_extension(older=older.size, newer=newer.size),
                )  # fmt: skip


def test_what_was_not_signed_is_not_proved(tenant_id: UUID) -> None:
    other = make_tenant()
    with tenant_scope(tenant_id):
        event = Leaf.objects.order_by("number").first()
        assert event is not None
        with pytest.raises(EventNotProved):
            prove_event(uuid4())
        with pytest.raises(CheckpointNotFound):
            prove_event(event.pk, size=7)
        with pytest.raises(CheckpointNotFound):
            prove_extension(older=7, newer=8)
    with tenant_scope(other), pytest.raises(EventNotProved):
        prove_event(event.pk)
