"""Any other KMS, through a program of the operator's: `PROGRAM wrap CONTEXT` and `PROGRAM unwrap CONTEXT`.

It reads from standard input and writes to standard output, bytes both, and ends with 0; with 65 (EX_DATAERR)
where what it was given does not open in this context; with anything else where it could not ask its KMS.
"""

from __future__ import annotations

import base64
import binascii
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ambit.keys.store import KeyStoreDown, KeyUnavailable

# A provider's command line takes a second or two to load.
TIMEOUT_S = 10
DOES_NOT_OPEN = 65


@dataclass(frozen=True, slots=True)
class Program:
    """A program that speaks to a KMS."""

    command: Sequence[str]
    # Its whole environment, without our own secrets.
    environment: Mapping[str, str] = field(repr=False)
    name: str = "kms"

    def wrap(self, secret: bytes, *, context: str) -> str:
        """Have the secret encrypted; raise KeyStoreDown, KeyUnavailable."""
        return base64.b64encode(self._run("wrap", context, secret)).decode()

    def unwrap(self, wrapped: str, *, context: str) -> bytes:
        """Have it decrypted; raise KeyStoreDown, and KeyUnavailable where it does not open."""
        try:
            data = base64.b64decode(wrapped, validate=True)
        except binascii.Error:
            raise KeyUnavailable("what the KMS wrapped is damaged") from None
        return self._run("unwrap", context, data)

    def _run(self, action: str, context: str, data: bytes) -> bytes:
        try:
            done = subprocess.run(
                [*self.command, action, context],
                input=data,
                stdout=subprocess.PIPE,
                # Kept from our logs: a tool may say more than it should.
                stderr=subprocess.DEVNULL,
                timeout=TIMEOUT_S,
                check=False,
                env=dict(self.environment),
            )
        except subprocess.TimeoutExpired:
            raise KeyStoreDown(f"AMBIT_KMS_COMMAND took longer than {TIMEOUT_S} s") from None
        except OSError as error:
            words = f"AMBIT_KMS_COMMAND cannot be started: {type(error).__name__}"
            raise KeyStoreDown(words) from None
        if done.returncode == DOES_NOT_OPEN:
            raise KeyUnavailable(f"the KMS refuses to {action}")
        if done.returncode != 0 or not done.stdout:
            raise KeyStoreDown(f"AMBIT_KMS_COMMAND {action} ended with {done.returncode}")
        return done.stdout
