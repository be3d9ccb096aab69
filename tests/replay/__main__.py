"""Replay the whole history on a stack of its own and print the report: `make replay`."""

from __future__ import annotations

import io
import os
import sys
import time

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
django.setup()

from django.conf import settings  # noqa: E402 - settings exist once Django is set up
from django.core.management import call_command  # noqa: E402
from django.db import connections  # noqa: E402

from ambit.config.runtime.network import free_port  # noqa: E402
from ambit.config.runtime.supervisor import Stack  # noqa: E402
from tests.replay.history import FOLDER, read_history  # noqa: E402
from tests.replay.replay import Replay  # noqa: E402


def main() -> int:
    """Replay; return 0 when every allowed set was exact. Raises Mismatch at the first that was not."""
    if not FOLDER.exists():
        _say("../shared/data/engineering is not here: nothing to replay")
        return 1
    started = time.monotonic()
    with Stack(settings.EMBEDDED, port=free_port(), parts={"postgres", "redis"}):
        call_command("migrate", database="owner", interactive=False, verbosity=0)
        call_command("plant_canary", stdout=io.StringIO())
        history = read_history()
        replay = Replay(history)
        _say(f"{len(history.start)} facts loaded after {time.monotonic() - started:.0f} s")
        report = replay.run(every=500, say=_say)
        connections.close_all()
        connections["default"].close_pool()  # type: ignore[attr-defined]  # Postgres' own
    _say("\n".join(report.lines()))
    _say(f"everything took {time.monotonic() - started:.0f} s")
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
