"""Where the embedded parts of one machine live, and the secrets made for them on first use.

Imports neither Django nor settings: settings read this module, and so does the supervisor.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

from ambit.keys.durable import write_once

DATABASE = "ambit"
# One login per duty: the table of what each may do is tenants/rls.py.
ROLES = (
    "ambit_owner",
    "ambit_app",
    "ambit_operator",
    "ambit_dispatch",
    "ambit_sequencer",
    "ambit_scrubber",
)
UNIX_SOCKET_PATH_LIMIT = 90


@dataclass(frozen=True)
class Embedded:
    """The places and secrets of one data directory."""

    data_dir: Path

    @property
    def postgres_dir(self) -> Path:
        """Postgres' own data directory."""
        return self.data_dir / "postgres"

    @property
    def originals_dir(self) -> Path:
        """Encrypted originals and extracted texts."""
        return self.data_dir / "originals"

    @property
    def adapters_dir(self) -> Path:
        """Weights of adapters, open; in no backup."""
        return self.data_dir / "adapters"

    @property
    def keyring_dir(self) -> Path:
        """One file of wrapping keys per tenant."""
        return self.data_dir / "keyring"

    @property
    def tombstones_dir(self) -> Path:
        """The ledger of what was destroyed; in no backup, and better set elsewhere."""
        return self.data_dir / "tombstones"

    @property
    def backups_dir(self) -> Path:
        """Where backups go that are told no other place; better given one elsewhere."""
        return self.data_dir / "backups"

    @property
    def audit_dir(self) -> Path:
        """Copies of what the audit log signed; on the same machine, so better set elsewhere."""
        return self.data_dir / "audit"

    @property
    def log_dir(self) -> Path:
        """Logs of the parts; never content."""
        return self.data_dir / "log"

    @property
    def redis_dir(self) -> Path:
        """Redis' working directory."""
        return self.data_dir / "redis"

    @cached_property
    def socket_dir(self) -> Path:
        """Directory of all Unix sockets: inside the data directory where the path is short enough."""
        inside = self.data_dir / "run"
        if len(os.fsencode(inside)) <= UNIX_SOCKET_PATH_LIMIT - len("/.s.PGSQL.5432"):
            return inside
        digest = hashlib.sha256(os.fsencode(self.data_dir)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"ambit-{digest}"

    @property
    def redis_socket(self) -> Path:
        """Unix socket of the embedded Redis."""
        return self.socket_dir / "redis.sock"

    @property
    def embed_socket(self) -> Path:
        """Unix socket of the embedding service."""
        return self.socket_dir / "embed.sock"

    @property
    def redis_url(self) -> str:
        """URL of the embedded Redis."""
        return f"unix://{quote(str(self.redis_socket))}?db=0"

    @property
    def embed_url(self) -> str:
        """URL of the embedding service."""
        return f"unix://{quote(str(self.embed_socket))}"

    def database_url(self, role: str) -> str:
        """Return the URL under which a role reaches the embedded Postgres."""
        password = self.secrets[f"password_{role}"]
        return f"postgresql://{role}:{password}@/{DATABASE}?host={quote(str(self.socket_dir))}"

    @cached_property
    def secrets(self) -> dict[str, str]:
        """Secrets of this data directory, made once and kept in a file of mode 0600."""
        path = self.data_dir / "secrets.json"
        roles = [f"password_{role}" for role in ROLES]
        names = ["secret_key", "pepper", "password_postgres", *roles]
        if not path.exists():
            write_once(path, json.dumps({name: secrets.token_urlsafe(48) for name in names}))
        found: dict[str, str] = json.loads(path.read_text())
        # Of a directory made before this role was: every start gives the roles their passwords again.
        for name in roles:
            if name not in found and "secret_key" in found:
                found[name] = _derived(found["secret_key"], name)
        missing = [name for name in names if name not in found]
        if missing:
            raise RuntimeError(f"{path} lacks {', '.join(missing)}; restore it from a backup")
        return found


def _derived(secret: str, name: str) -> str:
    return hmac.new(secret.encode(), name.encode(), "sha256").hexdigest()
