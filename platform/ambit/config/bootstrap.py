"""What a fresh installation needs once: somebody who may sign in."""

from __future__ import annotations

from ambit.admin.accounts import create_first_operator


def ensure_first_operator() -> str | None:
    """Make the first operator's account and return its one-time password; None where accounts exist."""
    made = create_first_operator()
    return made.password if made else None
