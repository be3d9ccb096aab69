"""Workers that are killed, or see others killed: run as `python -m tests.flows.crashes`, one death a line.

A line names tenant, case, point, and the process to kill with the signal for it; 0 means the worker.
The process forks a worker that does the case's job and sends that signal at that point; the answer is
the number of the signal that ended the worker itself, or 0, and whether it came to the point.
"""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn
from uuid import UUID

WHEN = ("before", "after")
# Begun when the job is done: what it does not get to do is nothing to anybody.
LAST = "_come_back"


def steps() -> list[str]:
    """Return what the flow calls of its steps, in order, read from its source."""
    from workers.erase import flow

    module = ast.parse(Path(str(flow.__file__)).read_text())
    erase = next(f for f in module.body if isinstance(f, ast.FunctionDef) and f.name == "erase")
    calls = [
        node.func.id
        for node in ast.walk(erase)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]
    found = {name for name in calls if _is_step(getattr(flow, name, None))}
    return sorted(found, key=lambda name: _line_of(erase, name))


def points() -> list[str]:
    """Return every point at which a worker may die, in the order it comes to them."""
    from ambit.erasure.registry import HOLDINGS, REWRITTEN

    inside = {
        # Between the ledger's line, which is outside the database, and the database's note of it.
        "lay_tombstone": ["before number"],
        "destroy": [f"{when} {h.name}" for h in HOLDINGS for when in WHEN],
        "scrub": [
            *(f"{when} rewriting {table}" for table in REWRITTEN for when in WHEN),
            "before log",
            "after log",
        ],
        "write_receipt": ["closing"],
    }
    found = []
    for step in [*steps(), LAST]:
        found += [f"step {step}", *inside.pop(step, [])]
    assert not inside, "a step went"
    return found


def _is_step(function: object) -> bool:
    module = getattr(function, "__module__", "")
    return module.startswith("workers.erase.") and not module.endswith((".flow", ".types"))


def _line_of(erase: ast.FunctionDef, name: str) -> int:
    return min(
        node.lineno for node in ast.walk(erase) if isinstance(node, ast.Name) and node.id == name
    )


def main() -> None:
    """Fork a worker for each line read."""
    import django

    django.setup()
    import tests.database.erasures  # noqa: F401 - loaded once, not in every worker

    for line in sys.stdin:
        tenant_id, case_id, point, pid, number = line.rstrip("\n").split("\t")
        seen, tell = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(seen)
            strike = _strike(int(pid), int(number), tell)
            _work(UUID(tenant_id), UUID(case_id), point, strike)
        os.close(tell)
        _, status = os.waitpid(child, 0)
        came = int(os.read(seen, 1) == b"!")
        os.close(seen)
        sys.stdout.write(f"{os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0} {came}\n")
        sys.stdout.flush()


def _strike(pid: int, number: int, tell: int) -> Callable[[], None]:
    """Return what kills a process when it is first called."""
    struck: list[bool] = []

    def strike() -> None:
        if not struck:
            struck.append(True)
            os.write(tell, b"!")
            os.kill(pid or os.getpid(), number)

    return strike


def _work(tenant_id: UUID, case_id: UUID, point: str, strike: Callable[[], None]) -> NoReturn:
    from tests.database.erasures import take
    from workers.erase import flow

    try:
        _arm(point, strike)
        held = take(tenant_id, case_id)
        if held is not None:
            flow.erase(held)
    finally:
        sys.stdout.flush()
        os._exit(0)


def _arm(point: str, strike: Callable[[], None]) -> None:
    from ambit.erasure import tombstones
    from ambit.erasure.registry import HOLDINGS
    from ambit.scrub import flow as rewriting
    from workers.erase import destroy, flow, receipt

    scrub = vars(rewriting)
    # Tables in the order of the points, not by their size.
    old_pages = scrub["old_pages"]
    scrub["old_pages"] = lambda *mark: sorted(old_pages(*mark))
    when, _, name = point.partition(" ")
    if when == "step":
        setattr(flow, name, _struck(getattr(flow, name), strike, first=True))
    elif when == "closing":
        vars(receipt)["finish"] = _struck(vars(receipt)["finish"], strike, first=True)
    elif name == "number":
        vars(tombstones)["note"] = _struck(vars(tombstones)["note"], strike, first=True)
    elif name == "log":
        scrub["pass_log"] = _struck(scrub["pass_log"], strike, first=when == "before")
    elif name.startswith("rewriting "):
        table = name.removeprefix("rewriting ")
        scrub["rewrite"] = _struck(
            scrub["rewrite"],
            strike,
            first=when == "before",
            only=lambda _mark, one, _cursor: one == table,
        )
    else:
        vars(destroy)["HOLDINGS"] = tuple(
            replace(h, destroy=_struck(h.destroy, strike, first=when == "before"))
            if h.name == name
            else h
            for h in HOLDINGS
        )


def _struck(
    function: Callable[..., Any],
    strike: Callable[[], None],
    *,
    first: bool,
    only: Callable[..., bool] = lambda *_: True,
) -> Callable[..., Any]:
    def struck(*args: object, **named: object) -> Any:
        if first and only(*args):
            strike()
        result = function(*args, **named)
        if not first and only(*args):
            strike()
        return result

    return struck


if __name__ == "__main__":
    main()
