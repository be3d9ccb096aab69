"""OpenBao's transit engine: https://openbao.org/api-docs/secret/transit/. HashiCorp Vault speaks the same."""

from __future__ import annotations

import base64
import ssl
from dataclasses import dataclass
from pathlib import Path

import httpx2

from ambit.keys.store import KeyStoreDown, KeyUnavailable

TIMEOUT = httpx2.Timeout(2.0, connect=1.0)
# Its state, not the request's: rate limits, a sealed server, one that is starting, a proxy without a server.
BUSY = {412, 429, 472, 473}


@dataclass(frozen=True, slots=True)
class OpenBao:
    """A transit key of an OpenBao server, which needs `update` on its `encrypt` and `decrypt`."""

    url: str
    # Where the engine is mounted, and the key's name: transit/ambit.
    key: str
    # Read for each call, so that an agent may put a new token there.
    token_file: str
    ca_file: str = ""
    name: str = "openbao"

    def wrap(self, secret: bytes, *, context: str) -> str:
        """Encrypt; raise KeyStoreDown, KeyUnavailable."""
        return self._ask("encrypt", "plaintext", _text(secret), wanted="ciphertext", bound=context)

    def unwrap(self, wrapped: str, *, context: str) -> bytes:
        """Decrypt; raise KeyStoreDown, and KeyUnavailable where the server refuses."""
        opened = self._ask("decrypt", "ciphertext", wrapped, wanted="plaintext", bound=context)
        return base64.b64decode(opened)

    def _ask(self, action: str, field: str, value: str, *, wanted: str, bound: str) -> str:
        mount, _, key = self.key.rpartition("/")
        place = _text(bound.encode())
        # associated_data binds under every AEAD key; context is what a derived key is derived from.
        body = {field: value, "associated_data": place, "context": place}
        answer = self._post(f"/v1/{mount}/{action}/{key}", body)
        if answer.status_code >= 500 or answer.status_code in BUSY:
            raise KeyStoreDown(f"OpenBao answers {answer.status_code} to {action}")
        if answer.status_code != 200:
            # Its words may quote what was sent.
            raise KeyUnavailable(f"OpenBao refuses to {action}: {answer.status_code}")
        try:
            return str(answer.json()["data"][wanted])
        except (ValueError, KeyError, TypeError):
            raise KeyStoreDown("what answers at OpenBao's address is not OpenBao") from None

    def _post(self, path: str, body: dict[str, str]) -> httpx2.Response:
        try:
            token = Path(self.token_file).read_text().strip()
            trusted = ssl.create_default_context(cafile=self.ca_file or None)
            # A client for each call: there is one for a tenant in minutes, and processes fork.
            with httpx2.Client(
                base_url=self.url.rstrip("/"), timeout=TIMEOUT, trust_env=False, verify=trusted
            ) as client:
                return client.post(path, json=body, headers={"X-Vault-Token": token})
        except httpx2.HTTPError as error:
            raise KeyStoreDown(f"OpenBao does not answer: {type(error).__name__}") from None
        except OSError as error:
            raise KeyStoreDown(f"OpenBao cannot be asked: {type(error).__name__}") from None


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
