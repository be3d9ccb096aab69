"""Workers that are killed: run as `python -m tests.flows.crashes`, one death a line.

A line names tenant, case and point. The process forks a worker that does the case's job and sends
itself SIGKILL at that point; the answer is the number of the signal that ended it, or 0.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NoReturn
from uuid import UUID

STEPS = ("find", "destroy", "verify", "write_receipt", "_come_back")


def points() -> list[str]:
    """Return every point at which a worker may die, in the order it comes to them."""
    from ambit.erasure.registry import HOLDINGS

    before_and_after = [f"{when} {h.name}" for h in HOLDINGS for when in ("before", "after")]
    return [
        "step find",
        "step destroy",
        *before_and_after,
        "step verify",
        "step write_receipt",
        "closing",
        "step _come_back",
    ]


def main() -> None:
    """Fork a worker for each line read."""
    import django

    django.setup()
    import tests.database.erasures  # noqa: F401 - loaded once, not in every worker

    for line in sys.stdin:
        tenant_id, case_id, point = line.rstrip("\n").split("\t")
        child = os.fork()
        if child == 0:
            _work(UUID(tenant_id), UUID(case_id), point)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0}\n")
        sys.stdout.flush()


def _work(tenant_id: UUID, case_id: UUID, point: str) -> NoReturn:
    from tests.database.erasures import take
    from workers.erase import flow

    try:
        _arm(point)
        held = take(tenant_id, case_id)
        if held is not None:
            flow.erase(held)
    finally:
        sys.stdout.flush()
        os._exit(0)


def _arm(point: str) -> None:
    from ambit.erasure.registry import HOLDINGS
    from workers.erase import destroy, flow, receipt

    when, _, name = point.partition(" ")
    if when == "step":
        setattr(flow, name, _dying(getattr(flow, name), first=True))
    elif when == "closing":
        vars(receipt)["finish"] = _dying(vars(receipt)["finish"], first=True)
    else:
        vars(destroy)["HOLDINGS"] = tuple(
            replace(h, destroy=_dying(h.destroy, first=when == "before")) if h.name == name else h
            for h in HOLDINGS
        )


def _dying(function: Callable[..., Any], *, first: bool) -> Callable[..., Any]:
    def die(*args: object, **named: object) -> None:
        if not first:
            function(*args, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    return die


if __name__ == "__main__":
    main()
