"""A worker that is killed at its work: `python -m tests.database.dying export TENANT EXPORT POINT`.

`notice` instead of `export` sends a notice. A point is "before" or "after" and a step of the flow.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any
from uuid import UUID


def main(kind: str, tenant_id: str, object_id: str, point: str) -> None:
    """Do the job and die at the point; end well where the worker never comes to it."""
    import django

    django.setup()
    from ambit.jobs.kinds import EXPORT, NOTICE
    from tests.database.exporting import take
    from workers.export import flow as exporting
    from workers.notify import flow as notifying

    flow: Any = exporting if kind == "export" else notifying
    when, _, step = point.partition(" ")
    own = getattr(flow, step)

    def die(*args: Any, **named: Any) -> None:
        if when == "after":
            own(*args, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(flow, step, die)
    job = EXPORT if kind == "export" else NOTICE
    held = take(UUID(tenant_id), UUID(object_id), kind=job)
    if held is not None:
        (exporting.export if kind == "export" else notifying.notify)(held)


if __name__ == "__main__":
    main(*sys.argv[1:])
