"""Ambit: retrieval-augmented generation bounded by what the asker may see."""
