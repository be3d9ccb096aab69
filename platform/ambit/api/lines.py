"""In which line a caller waits to be let in: before that, nobody knows whether its key is what it claims to be.

Whose key was let in before waits in its tenant's line. Strangers share a few, whatever tenants they claim: a thousand
invented keys are no thousand turns, and stand in no tenant's way.
"""

from __future__ import annotations

from collections.abc import Hashable

from tenants.secrets import PresentedKey

STRANGERS_LINES = 16
MAX_REMEMBERED = 10_000

# By their hashes, in memory alone. What was revoked since is refused at the front of the line.
_let_in: dict[PresentedKey, None] = {}


def line_of(presented: PresentedKey | None) -> Hashable:
    """Return the line of whoever presents this key, or none."""
    if presented is None:
        return "keyless"
    if presented in _let_in:
        return presented.tenant_id or "operator"
    claimed = presented.tenant_id.int if presented.tenant_id else 0
    return f"stranger {claimed % STRANGERS_LINES}"


def remember(presented: PresentedKey | None) -> None:
    """Note that a key was let in."""
    if presented is None:
        return
    if len(_let_in) >= MAX_REMEMBERED:
        _let_in.clear()
    _let_in[presented] = None
