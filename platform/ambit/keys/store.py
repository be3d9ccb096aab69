"""What protects the files of the keyring: one small interface, and what goes wrong with it.

A store keeps a key that never leaves it, and wraps 32 bytes at a time: the key of one file of the keyring.
"""

from __future__ import annotations

from typing import Protocol


class KeyUnavailable(RuntimeError):
    """A tenant's key is not in the keyring or does not open; nothing of that tenant can be opened."""


class KeyStoreDown(KeyUnavailable):
    """The key store cannot be asked now. What it protects is not lost: it opens when it is back."""


class KeyStore(Protocol):
    """Wraps and unwraps small secrets, each bound to a context: ids of ours, never content."""

    @property
    def name(self) -> str:
        """What files that it protects call it."""
        ...

    def wrap(self, secret: bytes, *, context: str) -> str:
        """Return the secret wrapped; raise KeyStoreDown, or KeyUnavailable where the store refuses."""
        ...

    def unwrap(self, wrapped: str, *, context: str) -> bytes:
        """Return the secret; raise KeyStoreDown, or KeyUnavailable where the store refuses.

        What was wrapped in another context does not open.
        """
        ...
