"""A rotation that is killed: `python -m tests.database.dying_rotation TENANT N` dies after so many batches."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any
from uuid import UUID


def main(tenant_id: str, n_batches: str) -> None:
    """Rotate a tenant's keys, a row at a time, and die inside the transaction after so many batches."""
    import django

    django.setup()
    from ambit.rotation import flow, rewrap
    from tenants.audit import Actor, acting_as

    rewrap.BATCH_ROWS = 1
    left, own = int(n_batches), rewrap.rewrap_batch

    def die(*args: Any, **named: Any) -> rewrap.Batch:
        nonlocal left
        done = own(*args, **named)
        left -= done.n_done
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return done

    flow.rewrap_batch = die  # type: ignore[attr-defined]  # imported there, and put in its place
    with acting_as(Actor("operator", None)):
        flow.rotate(UUID(tenant_id))


if __name__ == "__main__":
    main(*sys.argv[1:])
