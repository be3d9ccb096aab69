"""Another process that asks for what is limited: `python -m tests.database.asking hold PLACES LEASE_S TENANT N`.

`take KEY PER_MINUTE N` takes from a bucket instead. It says a line for each thing done and is told by lines when to
go on.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from uuid import UUID

from django.conf import settings

from tests.architecture.sources import ROOT


@dataclass(frozen=True, slots=True)
class Asker:
    """The process, and the lines between it and the test."""

    process: subprocess.Popen[str]

    def hear(self) -> str:
        """Return the next line it says."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def wait_for(self, word: str) -> None:
        """Wait until it says a word."""
        heard = self.hear()
        assert heard == word, heard

    def say(self, word: str) -> None:
        """Tell it to go on."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()


@contextmanager
def asking(*arguments: str) -> Iterator[Asker]:
    """Run the process; it is killed at the end."""
    environment = {
        **{n: v for n, v in os.environ.items() if not n.startswith("AMBIT_")},
        "AMBIT_DATA_DIR": str(settings.AMBIT_DATA_DIR),
        "DJANGO_SETTINGS_MODULE": "ambit.config.settings",
    }
    with subprocess.Popen(
        [sys.executable, "-m", "tests.database.asking", *arguments],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Asker(process)
        finally:
            process.kill()


def _say(word: object) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def _take(key: str, per_minute: str, n: str) -> None:
    from ambit.metering.buckets import Bucket, redis_at, take

    bucket = Bucket("tenant", key, int(per_minute))
    redis_at(settings.REDIS_URL).ping()
    _say("ready")
    sys.stdin.readline()
    _say(sum(take([bucket]).retry_after_s is None for _ in range(int(n))))


async def _hold(tenant_id: UUID, n: int) -> None:
    from ambit.metering.turns import turn

    async with AsyncExitStack() as places:
        for _ in range(n):
            await places.enter_async_context(turn(tenant_id))
            _say("held")
        await asyncio.to_thread(sys.stdin.readline)
    _say("left")
    await asyncio.to_thread(sys.stdin.readline)


def main(kind: str, *arguments: str) -> None:
    """Do what is asked for."""
    import django

    django.setup()
    if kind == "take":
        _take(*arguments)
        return
    from ambit.metering import places

    settings.AMBIT_VLLM_CONCURRENCY = int(arguments[0])
    places.LEASE_S = float(arguments[1])
    asyncio.run(_hold(UUID(arguments[2]), int(arguments[3])))


if __name__ == "__main__":
    main(*sys.argv[1:])
