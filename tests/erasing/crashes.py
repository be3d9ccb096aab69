"""Kill worker, web, Postgres or Redis before and after each side effect of an erasure: `make prove-crashes`.

Every case must end closed without anybody's help, none before it is true, and nothing come back. The
list of points is read from the code (tests/flows/crashes.py).
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

import django

django.setup()

from ambit.config.runtime.processes import ROOT  # noqa: E402 - once Django is set up
from ambit.config.runtime.slots import CRASH_WINDOW_S, CRASHES  # noqa: E402
from tests.flows.crashes import points  # noqa: E402
from tests.flows.service import Service, Tenant, uuid_of, wait_until  # noqa: E402

# Postgres' "immediate" shutdown is as after a power cut: it recovers from its log.
VICTIMS = {
    "worker": signal.SIGKILL,
    "web": signal.SIGKILL,
    "postgres": signal.SIGQUIT,
    "redis": signal.SIGKILL,
}
# Between two deaths of a part: a supervisor gives up one that dies too often.
APART_S = CRASH_WINDOW_S / (CRASHES - 1)
TABLES = ("corpus_documentkey", "corpus_subject", "corpus_chunkvector", "corpus_chunklexemes")
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Death:
    """What was killed, where, and what went wrong; nothing where all is well."""

    victim: str
    point: str
    came: bool
    faults: tuple[str, ...]


class Killer:
    """A process that forks workers which do a case's job up to a point."""

    def __init__(self, service: Service) -> None:
        # What its workers say of the parts that are away, again and again.
        self._log = (service.embedded.log_dir / "killer.log").open("w")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.flows.crashes"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True,
            cwd=ROOT, env=service.environment(),
        )  # fmt: skip

    def kill(self, *values: object) -> bool:
        """Do a case's job until the point; return whether a worker came to it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\t".join(map(str, values)) + "\n")
        self._process.stdin.flush()
        _ended_by, came = self._process.stdout.readline().split()
        return came == "1"

    def close(self) -> None:
        """End the process."""
        self._process.communicate()
        self._log.close()


def deaths(service: Service, chosen: list[tuple[str, str]]) -> Iterator[Death]:
    """Kill each victim at its point, let everything come back by itself, and look."""
    tenant = service.tenant()
    killer = Killer(service)
    last: dict[str, float] = {}
    try:
        for victim, point in chosen:
            time.sleep(max(0.0, last.get(victim, 0.0) + APART_S - time.monotonic()))
            last[victim] = time.monotonic()
            yield _death(service, tenant, killer, victim, point)
    finally:
        killer.close()


def _death(service: Service, tenant: Tenant, killer: Killer, victim: str, point: str) -> Death:
    word = f"w{uuid4().hex[:14]}"
    email = f"{word}@example.org"
    declared = [{"type": "email", "value": email}]
    document = tenant.alice.upload(tenant.collection, f"{word} was here.", subjects=declared)
    tenant.alice.wait(document)
    tenant.itself.post("/v1/members", external_id=word, email=email, name="Somebody", role="member")
    pid_before = service.stack.pid(victim)
    with service.worker_asleep():
        case = str(
            tenant.itself.post(
                "/v1/erasures", subject={"type": "email", "value": email}, reason="crash"
            )["id"]
        )
        target = 0 if victim == "worker" else pid_before
        number = int(VICTIMS[victim])
        came = killer.kill(tenant.uuid, uuid_of("erasure", case), point, target, number)
        if victim != "worker":
            service.stack.wait_until_ready(victim, after_pid=pid_before)
        faults = list(_early(tenant, document, case, word))
    wait_until(lambda: _state(tenant, case) == "closed", f"a closed case after {point}")
    faults += _left(service, tenant, document, case, word)
    return Death(victim, point, came, tuple(faults))


def _state(tenant: Tenant, case: str) -> str:
    answer = tenant.itself.ask("GET", f"/v1/erasures/{case}")
    return str(answer.json().get("state", answer.status_code))


def _answers(tenant: Tenant) -> bool:
    return tenant.alice.ask("POST", "/v1/search", json={"query": "here"}).status_code == 200


def _early(tenant: Tenant, document: str, case: str, word: str) -> Iterator[str]:
    """Look at once after the death, before any other worker goes on."""
    # What died may have been just what answers.
    wait_until(lambda: _answers(tenant), "an answer")
    if tenant.alice.finds(document, word):
        yield "retrieved after the request"
    receipt = tenant.itself.ask("GET", f"/v1/erasures/{case}/receipt")
    # Where something did not answer, a receipt says "incomplete", and what is missing; that is true.
    said = receipt.status_code == 200 and receipt.json()["complete"]
    if said and _state(tenant, case) != "closed":
        yield "a receipt that says complete before the end"


def _left(service: Service, tenant: Tenant, document: str, case: str, word: str) -> Iterator[str]:
    receipt = tenant.itself.call("GET", f"/v1/erasures/{case}/receipt")
    if not (receipt["complete"] and receipt["scrub"]):
        yield "the receipt is not complete"
    if tenant.alice.finds(document, word):
        yield "retrieved after the end"
    if tenant.files(document):
        yield "files are left"
    for table in TABLES:
        statement = f"SELECT count(*) FROM {table} WHERE document_id = %s"  # noqa: S608 - fixed names
        if service.ask_database(statement, uuid_of("document", document)) != [(0,)]:
            yield f"rows are left in {table}"
    if service.ask_database("SELECT count(*) FROM tenants_member WHERE external_id = %s", word) != [
        (0,)
    ]:
        yield "the member is left"


def main() -> int:
    """Return 0 when every case ended well, whatever died at whatever point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--victims", nargs="+", choices=VICTIMS, default=list(VICTIMS))
    parser.add_argument("--every", type=int, default=1, help="take only every so many-th point")
    parser.add_argument("--beside", type=int, default=4, help="how many Ambits, side by side")
    asked = parser.parse_args()
    began = time.monotonic()
    chosen = points()[:: asked.every]
    _say(f"{len(points())} points, {len(asked.victims) * len(chosen)} deaths")
    # Most of the time is waiting, for leases to run out and parts to come back: some Ambits do it side by side.
    with ThreadPoolExecutor(asked.beside) as beside:
        shares = [chosen[n :: asked.beside] for n in range(asked.beside)]
        failed = sum(beside.map(lambda share: _die(asked.victims, share), shares))
    _say(
        f"{len(asked.victims) * len(chosen)} deaths, {failed} ended badly, "
        f"{time.monotonic() - began:.0f} s"
    )
    return 1 if failed else 0


def _die(victims: list[str], share: list[str]) -> int:
    """Kill each part in turn at every point of a share, in an Ambit of its own; return how many deaths ended badly."""
    failed = 0
    with _service() as service:
        each = [(victim, point) for point in share for victim in victims]
        for number, death in enumerate(deaths(service, each), start=1):
            faults = [*death.faults, *([] if death.came else ["the point was not reached"])]
            failed += bool(faults)
            if faults or number % 20 == 0:
                words = "; ".join(faults) or "well so far"
                _say(f"{number:>4} {death.victim} at “{death.point}”: {words}")
    return failed


@contextmanager
def _service() -> Iterator[Service]:
    with tempfile.TemporaryDirectory(prefix="ambit-crashes-") as folder:
        service = Service(Path(folder) / "data")
        try:
            yield service
        finally:
            service.stop()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
