"""Workers that are killed at a tenant's end: `python -m tests.database.dying_tenants`, one death a line.

A line names a tenant and a point; the process forks a worker that does the tenant's end and is killed there. The answer
is the number of the signal that ended it, or 0.
"""

from __future__ import annotations

import ast
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn
from uuid import UUID

WHEN = ("before", "after")


def steps() -> list[str]:
    """Return what the flow calls of its steps, in order, read from its source."""
    from workers.offboard import flow

    module = ast.parse(Path(str(flow.__file__)).read_text())
    whole = next(f for f in module.body if isinstance(f, ast.FunctionDef) and f.name == "offboard")
    calls = [
        (node.lineno, node.func.id)
        for node in ast.walk(whole)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]
    return [name for _, name in sorted(calls) if _is_step(getattr(flow, name, None))]


def points() -> list[str]:
    """Return every point at which a worker may die, in the order it comes to them."""
    from ambit.erasure.places import PLACES

    found = []
    for step in steps():
        found.append(f"before step {step}")
        if step == "destroy":
            found += [f"{when} {p.name}" for p in PLACES if p.destroy for when in WHEN]
        if step == "certify":
            found.append("before closing")
    return found


def _is_step(function: object) -> bool:
    module = getattr(function, "__module__", "")
    return module.startswith(("workers.offboard.", "workers.erase.")) and not module.endswith(
        ".flow"
    )


def main() -> None:
    """Fork a worker for each line read."""
    import django

    django.setup()
    import tests.database.offboardings  # noqa: F401 - loaded once, not in every worker

    for line in sys.stdin:
        tenant_id, point = line.rstrip("\n").split("\t")
        child = os.fork()
        if child == 0:
            _work(UUID(tenant_id), point)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0}\n")
        sys.stdout.flush()


def _work(tenant_id: UUID, point: str) -> NoReturn:
    from tests.database.offboardings import take_end
    from workers.offboard import flow

    try:
        _arm(point)
        held = take_end(tenant_id)
        if held is not None:
            flow.offboard(held)
    finally:
        sys.stdout.flush()
        os._exit(0)


def _arm(point: str) -> None:
    from ambit.erasure.places import PLACES
    from workers.offboard import certify, destroy, flow

    when, _, name = point.partition(" ")
    if name.startswith("step "):
        step = name.removeprefix("step ")
        setattr(flow, step, _killed(getattr(flow, step), first=True))
    elif name == "closing":
        vars(certify)["finish"] = _killed(vars(certify)["finish"], first=True)
    else:
        vars(destroy)["PLACES"] = tuple(
            replace(p, destroy=_killed(p.destroy, first=when == "before"))
            if p.name == name and p.destroy
            else p
            for p in PLACES
        )


def _killed(function: Callable[..., Any], *, first: bool) -> Callable[..., Any]:
    def killed(*args: object, **named: object) -> Any:
        if not first:
            function(*args, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    return killed


if __name__ == "__main__":
    main()
