"""Sign what a log holds, and receipts: notes of C2SP signed-note, with Ed25519 (RFC 8032)."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ambit.audit.receipts import FORMAT
from ambit.audit.verify import ED25519, KEY_ID_BYTES, SIGNED_BY, canonical


@dataclass(frozen=True, slots=True)
class Signer:
    """A log's key under its name, which has neither a space nor a plus."""

    name: str
    private: Ed25519PrivateKey

    def __post_init__(self) -> None:
        if not self.name or any(c.isspace() or c == "+" for c in self.name):
            raise ValueError("a signer's name has neither a space nor a plus")

    def __repr__(self) -> str:
        return f"Signer({self.name!r})"

    @property
    def key(self) -> str:
        """The public key as others are told it: name+id+key."""
        return f"{self.name}+{self._key_id().hex()}+{base64.b64encode(self._public()).decode()}"

    def _public(self) -> bytes:
        return ED25519 + self.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def _key_id(self) -> bytes:
        return hashlib.sha256(self.name.encode() + b"\n" + self._public()).digest()[:KEY_ID_BYTES]

    def sign(
        self, *, origin: str, size: int, root: bytes, at: datetime, newest: datetime | None = None
    ) -> str:
        """Return a checkpoint: so many events of a log, the newest of that time, have this root."""
        body = f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n"
        body += f"time {_stamp(at)}\nnewest {_stamp(newest or at)}\n"
        return self._note(body)

    def sign_receipt(self, receipt: dict[str, Any]) -> str:
        """Return a receipt as a note, which begins otherwise than any checkpoint and has two lines."""
        return self._note(f"{FORMAT}\n{canonical(receipt).decode()}\n")

    def _note(self, body: str) -> str:
        signed = self._key_id() + self.private.sign(body.encode())
        return f"{body}\n{SIGNED_BY}{self.name} {base64.b64encode(signed).decode()}\n"


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
