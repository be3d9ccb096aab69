"""One question after another: Ambit's answer, then the very same prompt asked of the bare server."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.bench import search
from tests.bench.answers.asking import Timed, ask_ambit, ask_bare, client
from tests.bench.texts import questions

if TYPE_CHECKING:
    from tests.bench.answers.__main__ import Bench

N_WARMING = 5


async def measure(bench: Bench, *, n_questions: int, n_chunks: int, max_tokens: int) -> None:
    """Fill a collection, ask, and print what Ambit adds."""
    search.fill(
        bench.service,
        bench.tenant,
        member=bench.member,
        collection=bench.collection,
        n_audiences=1,
        n_chunks=n_chunks,
    )
    _arrange(bench)
    pairs: list[tuple[Timed, Timed]] = []
    before: list[tuple[float, float]] = []
    async with client(bench.url) as ambit, client(bench.relay.url) as bare:
        for question in questions(n_questions + N_WARMING):
            ours = await ask_ambit(ambit, bench.asker.headers, question, max_tokens=max_tokens)
            if ours.fault:
                raise SystemExit(f"an answer failed: {ours.fault}")
            reached = bench.relay.begun_at[-1]
            body = bench.sent()[-1]
            theirs = await ask_bare(bare, bench.server.key, body)
            before.append((reached - ours.started, bench.relay.begun_at[-1] - theirs.started))
            bench.forget_sent()
            pairs.append((ours, theirs))
    print(
        f"\noverhead: {n_questions} questions, {n_chunks} chunks visible, {max_tokens} tokens each"
    )
    _show(pairs[N_WARMING:], before[N_WARMING:])


def _arrange(bench: Bench) -> None:
    """Give the tenant its graph, as the hourly task does."""
    variables = {"AMBIT_DATA_DIR": str(bench.service.folder), "AMBIT_LOG_LEVEL": "WARNING"}
    subprocess.run(
        [sys.executable, "manage.py", "arrange_graphs"],
        cwd=search.ROOT,
        env=os.environ | variables,
        check=True,
    )


def _show(pairs: list[tuple[Timed, Timed]], before: list[tuple[float, float]]) -> None:
    print(
        f"{'until':16}{'Ambit p50':>12}{'p95':>9}{'bare p50':>12}{'p95':>9}{'added p50':>12}{'p95':>9}{'ratio':>8}"
    )
    rows = {
        "the model's asked": before,
        "the first token": [(ours.first_s, bare.first_s) for ours, bare in pairs],
        "the last": [(ours.whole_s, bare.whole_s) for ours, bare in pairs],
    }
    for name, times in rows.items():
        ours = [1000 * o for o, _ in times]
        bare = [1000 * b for _, b in times]
        added = [o - b for o, b in zip(ours, bare, strict=True)]
        print(
            f"{name:18}{_p(ours, 50):7.1f} ms{_p(ours, 95):9.1f}{_p(bare, 50):9.1f} ms{_p(bare, 95):9.1f}"
            f"{_p(added, 50):9.1f} ms{_p(added, 95):9.1f}{_p(ours, 50) / _p(bare, 50):8.2f}"
        )
    print(
        "to reach: on a GPU a ratio of at most 1.05 for the last; on a CPU at most 40 ms added, p50\n"
        "a first token is shown with the break that ends its word: a random model's words are long"
    )


def _p(values: list[float], percent: int) -> float:
    if len(values) < 2:
        return values[0]
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]
