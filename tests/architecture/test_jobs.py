"""Every kind of work has somebody who does it, and messages carry ids alone."""

from __future__ import annotations

import ast
import subprocess
import sys

from ambit.jobs.kinds import KINDS, QUEUES
from tests.architecture.sources import ROOT, sources


def test_every_kind_of_work_has_its_handler_and_no_handler_is_idle() -> None:
    # In a process of its own: the web process, and this one, never load the workers.
    listed = subprocess.run(
        [
            sys.executable,
            "-c",
            "import workers.app, workers.tasks as t; print(*sorted(t.HANDLERS))",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert listed.stdout.split() == sorted(KINDS)


def test_every_kind_goes_to_a_queue_that_workers_take_from() -> None:
    assert {kind.queue for kind in KINDS.values()} <= set(QUEUES)


def test_messages_are_sent_in_one_place_and_carry_ids_alone() -> None:
    sent = [(s, call) for s in sources() for call in s.calls("send_task")]
    others = [
        s.place(call)
        for s in sources()
        for name in ("delay", "apply_async", "si")
        for call in s.calls(name)
    ]

    assert {s.module for s, _ in sent} == {"ambit.jobs.broker"}
    assert others == []
    # Named work, and upkeep of the installation as a whole, which carries nothing.
    assert all(len(call.args) == 1 for _, call in sent)
    carried = [k.value for _, call in sent for k in call.keywords if k.arg in {"args", "kwargs"}]
    (values,) = carried
    assert isinstance(values, ast.Dict)
    assert {ast.literal_eval(k) for k in values.keys if k} == {"tenant_id", "job_id"}
