"""The key store that the settings choose, and a circuit that keeps requests from waiting for one that is down."""

from __future__ import annotations

import time
from dataclasses import dataclass

from django.conf import settings

from ambit.keys.openbao import OpenBao
from ambit.keys.program import Program
from ambit.keys.store import KeyStore, KeyStoreDown, KeyUnavailable

# So long nobody asks again a store that did not answer; what it said is believed so long by probes.
REST_S = 5.0
BELIEVED_S = 30.0
PROBE = "ambit/probe"


@dataclass(slots=True)
class _Said:
    """When a store last answered and last did not, on this process's clock."""

    answered_at: float = float("-inf")
    failed_at: float = float("-inf")


_said: dict[str, _Said] = {}


@dataclass(frozen=True, slots=True)
class Guarded:
    """A store that is not asked for some seconds after it did not answer."""

    store: KeyStore

    @property
    def name(self) -> str:
        """The store's own."""
        return self.store.name

    def wrap(self, secret: bytes, *, context: str) -> str:
        """Wrap, or raise KeyStoreDown at once while the store rests; also KeyUnavailable."""
        said = self._begin()
        try:
            wrapped = self.store.wrap(secret, context=context)
        except KeyStoreDown:
            said.failed_at = time.monotonic()
            raise
        said.answered_at = time.monotonic()
        return wrapped

    def unwrap(self, wrapped: str, *, context: str) -> bytes:
        """Unwrap, or raise KeyStoreDown at once while the store rests; also KeyUnavailable."""
        said = self._begin()
        try:
            secret = self.store.unwrap(wrapped, context=context)
        except KeyStoreDown:
            said.failed_at = time.monotonic()
            raise
        said.answered_at = time.monotonic()
        return secret

    def answers(self) -> bool:
        """Say whether the store answers, from what it did lately or else by asking."""
        said = _said.setdefault(self.name, _Said())
        now = time.monotonic()
        if max(said.failed_at + REST_S, said.answered_at + BELIEVED_S) > now:
            return said.answered_at > said.failed_at
        try:
            self.wrap(bytes(32), context=PROBE)
        except KeyUnavailable:
            return False
        return True

    def _begin(self) -> _Said:
        said = _said.setdefault(self.name, _Said())
        if time.monotonic() < said.failed_at + REST_S:
            raise KeyStoreDown(f"{self.name} did not answer; it is asked again in a few seconds")
        return said


def chosen_store() -> Guarded | None:
    """Return the store that new files go to; None: they are plain files."""
    name = settings.AMBIT_KEY_STORE
    return None if name == "file" else store_named(name)


def store_named(name: str) -> Guarded:
    """Return a store by the name that its files carry; raise KeyUnavailable where it is not set up."""
    if name == "openbao" and settings.AMBIT_OPENBAO_URL:
        return Guarded(
            OpenBao(
                url=settings.AMBIT_OPENBAO_URL,
                key=settings.AMBIT_OPENBAO_KEY,
                token_file=settings.AMBIT_OPENBAO_TOKEN_FILE,
                ca_file=settings.AMBIT_OPENBAO_CA_FILE,
            )
        )
    if name == "kms" and settings.AMBIT_KMS_COMMAND:
        return Guarded(Program(settings.AMBIT_KMS_COMMAND, settings.AMBIT_KMS_ENVIRONMENT))
    raise KeyUnavailable(
        f"a file of the keyring is protected by {name!r}, which is not set up here"
    )
