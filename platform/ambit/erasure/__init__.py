"""Erasure: requests to forget, what they cover, and the receipts that say what became of it."""
