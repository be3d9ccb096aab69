"""Which connection does what: migrations run as the owner, everything else names its role."""

from __future__ import annotations

from typing import Any


class RoleRouter:
    """Allow migrations through the owner's connection alone."""

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        """Say whether a migration may run on a connection."""
        return db == "owner"
