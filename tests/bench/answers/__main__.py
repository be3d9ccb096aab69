"""Measure answers beside the bare model server in the same run: `make bench-answers`.

Without more said, a real vLLM on this machine's CPU with a tiny random model: what Ambit adds is then
read in milliseconds, since the model itself takes next to nothing. With --vllm URL --model NAME
(and VLLM_API_KEY) another server, such as one with a GPU, where the ratio counts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ambit.config.embedded import Embedded
from ambit.config.runtime.network import free_port
from ambit.config.runtime.supervisor import Stack
from tests.bench.answers import concurrency, metering, overhead
from tests.bench.service import Api, Service, Tenant
from tests.vllm import environment
from tests.vllm.server import ModelServer, Relay, running_server

PARTS = ("overhead", "concurrency", "metering")
# Of a machine with no GPU: as many as the streams measured, where the tests' server takes four.
WIDE = ("--max-num-seqs 256", "--max-num-queued-reqs 1024")


@dataclass(frozen=True)
class Bench:
    """An Ambit before a model server, and somebody who asks."""

    service: Service
    tenant: Tenant
    asker: Api
    member: str
    collection: str
    url: str
    server: ModelServer
    relay: Relay

    def sent(self) -> list[dict[str, Any]]:
        """Return the bodies that Ambit sent to the model server since the last look, the whole ones."""
        sent = [request.partition(b"\r\n\r\n")[2] for request in self.relay.requests()]
        bodies = [json.loads(body) for body in sent if body.endswith(b"}")]
        self.forget_sent()
        return bodies

    def forget_sent(self) -> None:
        """Forget what the relay saw."""
        self.relay.sent.clear()
        self.relay.begun_at.clear()


def main() -> None:
    """Run the parts asked for, and print a table for each."""
    parser = argparse.ArgumentParser(
        prog="make bench-answers BENCH_ARGS=…",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; default: all")
    parser.add_argument("--questions", type=int, default=60, help="asked one by one (60)")
    parser.add_argument("--chunks", type=int, default=20_000, help="visible to the asker (20000)")
    parser.add_argument("--tokens", type=int, default=256, help="of an answer (256)")
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 10, 50, 200])
    parser.add_argument("--requests", type=int, default=10_000, help="of the metering part (10000)")
    parser.add_argument(
        "--stream-interval",
        type=int,
        default=1,
        help="tokens the server sends at once (1, as vLLM's)",
    )
    parser.add_argument("--vllm", help="URL of a running server; its key: VLLM_API_KEY")
    parser.add_argument("--model", help="the name that it serves")
    parser.add_argument("--tokenizer", help="its tokenizer.json")
    given = parser.parse_args()
    parts = given.parts or PARTS
    unknown = set(parts) - set(PARTS)
    if unknown:
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    with _bench(given) as bench:
        if "overhead" in parts:
            asyncio.run(
                overhead.measure(
                    bench,
                    n_questions=given.questions,
                    n_chunks=given.chunks,
                    max_tokens=given.tokens,
                )
            )
        if "concurrency" in parts:
            concurrency.measure(bench, streams=given.streams, max_tokens=given.tokens)
        if "metering" in parts:
            metering.measure(bench, n_requests=given.requests)


@contextmanager
def _bench(given: argparse.Namespace) -> Iterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="ambit-bench-") as name:
        folder = Path(name).resolve()
        with _server(given, folder) as server:
            relay = Relay(server.url)
            tokenizer = given.tokenizer or str(environment.model_dir() / "tokenizer.json")
            env = {
                "AMBIT_VLLM_URL": relay.url,
                "AMBIT_VLLM_KEY": server.key,
                "AMBIT_VLLM_MODEL": server.model,
                "AMBIT_VLLM_TOKENIZER": tokenizer,
                "AMBIT_VLLM_CONCURRENCY": "256",
                "AMBIT_VLLM_QUEUE_S": "120",
                "AMBIT_LOG_LEVEL": "WARNING",
            }
            with (
                Stack(Embedded(folder), port=free_port(), env=env) as stack,
                Service(stack.url, folder) as service,
            ):
                tenant = service.tenant(service.operator(), "bench")
                member = tenant.member("asker")
                owner = [{"principal": f"member:{member}", "role": "owner"}]
                collection = tenant.collection("bench", owner)
                asker = tenant.acting_for(member)
                yield Bench(service, tenant, asker, member, collection, stack.url, server, relay)
            relay.close()


@contextmanager
def _server(given: argparse.Namespace, folder: Path) -> Iterator[ModelServer]:
    if given.vllm:
        if not given.model:
            raise SystemExit("--vllm needs --model, the name that the server serves")
        key = os.environ.get("VLLM_API_KEY", "")
        yield ModelServer(given.vllm.rstrip("/"), key, given.model)
        return
    environment.make()
    (folder / "server").mkdir()
    flags = (*WIDE, f"--stream-interval {given.stream_interval}")
    with running_server(folder / "server", flags=flags) as server:
        yield server


if __name__ == "__main__":
    main()
