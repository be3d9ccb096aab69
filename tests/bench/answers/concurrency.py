"""Many streams at once: tokens a second beside the bare server's, faults, and memory a stream."""

from __future__ import annotations

import asyncio
import contextlib
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import psutil

from tests.bench.answers.asking import Timed, all_at_once, ask_ambit, ask_bare, client
from tests.bench.service import upload_texts, wait_until_final
from tests.bench.texts import questions
from tests.vllm.server import VllmServer

if TYPE_CHECKING:
    from tests.bench.answers.__main__ import Bench

TEXT = "The night shift at the Quay Lane depot begins at 21:40 and ends at 05:50. "


def measure(bench: Bench, *, streams: list[int], max_tokens: int) -> None:
    """Ask with more and more streams at once, and print the table."""
    ids = upload_texts(
        bench.asker, [{"collection": bench.collection, "title": "Shifts", "text": TEXT * 3}]
    )
    wait_until_final(bench.asker, ids, say=False)
    print(f"\nconcurrency: {max_tokens} tokens each, on {psutil.cpu_count()} cores shared by all")
    print(
        f"{'streams':>8}{'faults':>8}{'Ambit tokens/s':>16}{'bare':>10}{'ratio':>8}"
        f"{'first token, p50':>18}{'bare':>10}{'MB a stream':>13}{'CPU an answer':>15}"
    )
    for at_once in streams:
        asyncio.run(_one_size(bench, at_once, max_tokens))
    print("to reach: 200 streams without a fault, ratio at least .90")


async def _one_size(bench: Bench, at_once: int, max_tokens: int) -> None:
    n = max(2 * at_once, 8)
    asked = (questions(200) * (n // 200 + 1))[:n]
    web = _web_process(bench)
    before = web.memory_info().rss
    largest = before
    worked = _cpu_s(bench)

    async def watch() -> None:
        nonlocal largest
        while True:
            largest = max(largest, web.memory_info().rss)
            await asyncio.sleep(0.2)

    async with client(bench.url) as http:
        watching = asyncio.create_task(watch())
        ask = partial(ask_ambit, http, bench.asker.headers, max_tokens=max_tokens)
        ours, ours_s = await _timed([partial(ask, q) for q in asked], at_once)
        watching.cancel()
    worked = _cpu_s(bench) - worked
    bodies = bench.sent()
    async with client(bench.relay.url) as http:
        asking = [partial(ask_bare, http, bench.server.key, body) for body in bodies[:n]]
        bare, bare_s = await _timed(asking, at_once)
    bench.sent()
    ours_rate = sum(t.n_tokens for t in ours) / ours_s
    bare_rate = sum(t.n_tokens for t in bare) / bare_s
    faults = sum(bool(t.fault) for t in ours)
    print(
        f"{at_once:8}{faults:8}{ours_rate:16.0f}{bare_rate:10.0f}{ours_rate / bare_rate:8.2f}"
        f"{_median_first(ours):15.0f} ms{_median_first(bare):7.0f} ms"
        f"{(largest - before) / 2**20 / at_once:13.2f}{1000 * worked / n:12.0f} ms"
    )
    kinds = sorted({t.fault for t in ours if t.fault})
    if kinds:
        print(f"         faults: {', '.join(kinds)}")


async def _timed(asking: list[Any], at_once: int) -> tuple[list[Timed], float]:
    started = time.perf_counter()
    done = await all_at_once(asking, at_once=at_once)
    return done, time.perf_counter() - started


def _median_first(done: list[Timed]) -> float:
    times = sorted(1000 * t.first_s for t in done if not t.fault)
    return times[len(times) // 2] if times else float("nan")


def _cpu_s(bench: Bench) -> float:
    """Return the seconds that Ambit's processes have worked, the model server's aside."""
    ours = psutil.Process().children(recursive=True)
    if isinstance(bench.server, VllmServer):
        served = psutil.Process(bench.server.process.pid)
        ours = [p for p in ours if p != served and p not in served.children(recursive=True)]
    total = 0.0
    for process in ours:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def _web_process(bench: Bench) -> psutil.Process:
    """Return the process that listens at Ambit's port."""
    port = int(bench.url.rsplit(":", 1)[1])
    for process in psutil.Process().children(recursive=True):
        command = process.cmdline()
        if "uvicorn" in " ".join(command) and str(port) in command:
            return process
    raise SystemExit("the web process was not found")
