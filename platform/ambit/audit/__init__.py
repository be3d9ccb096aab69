"""Proof that the audit trail is whole: a signed Merkle tree over every tenant's events."""
