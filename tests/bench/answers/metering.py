"""Thousands of answers, a third of them left by their askers midway: is every token counted?

The model server's own counters hold what it has done. Ambit counts what it was told of each request;
of one that was cut off, what was said before the cut.
"""

from __future__ import annotations

import asyncio
import random
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import httpx2

from tests.bench.answers.asking import client
from tests.bench.service import upload_texts, wait_until_final

if TYPE_CHECKING:
    from tests.bench.answers.__main__ import Bench

TEXT = "The night shift at the Quay Lane depot begins at 21:40 and ends at 05:50. "
QUESTION = "When does the night shift at the depot begin?"
AT_ONCE = 16
LEAVING = 1 / 3
MAX_TOKENS = 48
SETTLED_S = 60.0


def measure(bench: Bench, *, n_requests: int) -> None:
    """Ask, leave some, and print Ambit's counts beside the server's."""
    ids = upload_texts(bench.asker, [{"collection": bench.collection, "title": "S", "text": TEXT}])
    wait_until_final(bench.asker, ids, say=False)
    before, server_before = _counted(bench), _served(bench)
    started = time.monotonic()
    n_left = asyncio.run(_ask(bench, n_requests))
    seconds = time.monotonic() - started
    counted = _settled(bench, n=before["requests"] + n_requests)
    ours = {name: counted[name] - before[name] for name in counted}
    served = {name: value - server_before[name] for name, value in _served(bench).items()}
    print(f"\nmetering: {n_requests} requests in {seconds:.0f} s, {n_left} of them left midway")
    print(f"{'':18}{'Ambit':>12}{'model server':>14}{'difference':>12}")
    for name in ("prompt_tokens", "completion_tokens"):
        print(f"{name:18}{ours[name]:12}{served[name]:14}{ours[name] - served[name]:12}")
    lacking = n_requests - ours["requests"]
    print(
        f"requests counted {ours['requests']} of {n_requests}, lacking {lacking} (still open, or left"
        f" before a use was begun); of those counted {ours['unfinished']} were cancelled or failed,"
        f" {ours['estimated']} are by estimate"
    )
    print("to reach: none lacking; what was cut off differs by what was under way")


async def _ask(bench: Bench, n: int) -> int:
    chance = random.Random(7)
    places = asyncio.Semaphore(AT_ONCE)
    left = 0

    async def one(leaves_after: float | None) -> None:
        nonlocal left
        body = {"question": QUESTION, "stream": True, "max_tokens": MAX_TOKENS}
        async with places:
            try:
                async with asyncio.timeout(leaves_after):
                    async with http.stream(
                        "POST", "/v1/answers", json=body, headers=bench.asker.headers
                    ) as response:
                        if response.status_code != 200:
                            raise SystemExit(f"an answer failed: {response.status_code}")
                        async for _ in response.aiter_bytes():
                            pass
            except TimeoutError:
                left += 1

    async with client(bench.url) as http:
        await asyncio.gather(
            *(
                one(chance.uniform(0.01, 0.6) if chance.random() < LEAVING else None)
                for _ in range(n)
            )
        )
    return left


def _settled(bench: Bench, *, n: int) -> dict[str, int]:
    """Return the counts once all requests are in them, or as they are after a minute.

    What is still open is in no sum; `unfinished` are those that are over, but not by an answer.
    """
    until = time.monotonic() + SETTLED_S
    while True:
        counted = _counted(bench)
        if counted["requests"] >= n or time.monotonic() > until:
            return counted
        time.sleep(1)


def _counted(bench: Bench) -> dict[str, int]:
    today = datetime.now(UTC).date()
    span = {"from": str(today - timedelta(days=1)), "to": str(today + timedelta(days=1))}
    answer = bench.tenant.service.call("GET", "/v1/usage", params=span | {"group_by": "kind"})
    names = ("requests", "unfinished", "estimated", "prompt_tokens", "completion_tokens")
    return {name: sum(row[name] for row in answer["results"]) for name in names}


def _served(bench: Bench) -> dict[str, int]:
    text = httpx2.get(f"{bench.server.url}/metrics", timeout=30).text
    found = {}
    for name, metric in (("prompt_tokens", "prompt"), ("completion_tokens", "generation")):
        start = f"vllm:{metric}_tokens_total"
        lines = [line for line in text.splitlines() if line.startswith(start)]
        found[name] = int(sum(float(line.rsplit(" ", 1)[1]) for line in lines))
    return found
