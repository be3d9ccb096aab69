"""The canary run: fill two tenants, forget most of who is in them, and search every byte three times.

Before; after the rows were deleted and vacuumed, while the scrub is held off; and when every case is
closed. The second look must find what the third must not.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ambit.scan.canaries import Canary
from ambit.scan.flow import scan
from ambit.scan.report import Report
from ambit.scan.stores import Store
from ambit.scrub.flow import ADVISORY_LOCK
from tests.database.private import superuser_url
from tests.erasing.people import Person
from tests.erasing.town import Half
from tests.flows.service import Caller, Json, Service, wait_until

CASE_PATIENCE_S = 300.0
Say = Callable[[str], None]


@dataclass
class Searches:
    """What a member met who searched all the while."""

    milliseconds: list[float] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)

    def __str__(self) -> str:
        if len(self.milliseconds) < 2:
            return f"{len(self.milliseconds)} searches"
        ordered = sorted(self.milliseconds)
        return (
            f"{len(ordered)} searches, p50 {statistics.median(ordered):.0f} ms, "
            f"p95 {ordered[int(len(ordered) * 0.95)]:.0f} ms, longest {ordered[-1]:.0f} ms, "
            f"{len(self.refused)} failed"
        )


@dataclass
class Proof:
    """What the run came to."""

    n_canaries: int
    n_people: int
    before: Report
    deleted: Report
    scrubbed: Report
    hidden_s: list[float]
    scrub_s: float
    searches: Searches
    receipts: list[Json]
    lost: list[str]

    @property
    def faults(self) -> list[str]:
        """Return what does not hold; nothing where everything does."""
        found = []
        if self.scrubbed.findings:
            found.append(f"{len(self.scrubbed.canaries_found)} canaries are left")
        if self.scrubbed.unread:
            found.append(f"{len(self.scrubbed.unread)} places could not be searched")
        if not self.deleted.findings:
            found.append("the scanner found nothing after DELETE and VACUUM: it proves nothing")
        if len(self.before.canaries_found) != self.n_canaries:
            missed = self.n_canaries - len(self.before.canaries_found)
            found.append(f"the scanner missed {missed} canaries before the erasure")
        if self.lost:
            found.append(f"{len(self.lost)} people who stay are not found any more")
        if self.searches.refused:
            found.append(f"{len(self.searches.refused)} searches failed during the scrub")
        if not all(one["complete"] and one["scrub"] for one in self.receipts):
            found.append("a receipt does not say that all was scrubbed")
        return found


def prove(service: Service, halves: list[Half], *, jobs: int, say: Say) -> Proof:
    """Run it all; the service serves nobody else."""
    for half in halves:
        say(f"{half.name}: {len(half.gone)} people to forget, {len(half.kept)} who stay …")
        half.fill()
    canaries = [one for half in halves for one in half.canaries]
    say(f"{len(canaries)} canaries; the first look …")
    before = _look(service, canaries, jobs)
    with _scrub_held_off(service):
        say("erasing …")
        cases, hidden_s = _erase(halves)
        say(f"{len(cases)} cases are shredded; DELETE and VACUUM, and the second look …")
        _vacuum(service)
        deleted = _look(service, canaries, jobs)
    say("scrubbing …")
    began = time.monotonic()
    with _searching(halves) as searches:
        for caller, case in cases:
            wait_until(lambda: _state(caller, case) == "closed", "a closed case", within_s=600)  # noqa: B023 - called at once
    scrub_s = time.monotonic() - began
    say(f"closed after {scrub_s:.1f} s; the third look …")
    return Proof(
        n_canaries=len(canaries),
        n_people=sum(len(half.gone) + len(half.members) for half in halves),
        before=before,
        deleted=deleted,
        scrubbed=_look(service, canaries, jobs),
        hidden_s=hidden_s,
        scrub_s=scrub_s,
        searches=searches,
        receipts=[caller.call("GET", f"/v1/erasures/{case}/receipt") for caller, case in cases],
        lost=[one.name for half in halves for one in half.kept if not _is_found(half, one)],
    )


def _look(service: Service, canaries: list[Canary], jobs: int) -> Report:
    stores = [Store("data", service.embedded.data_dir, is_data_dir=True)]
    temporary = service.variables.get("TMPDIR")
    if temporary:
        stores.append(Store("temporary", Path(temporary)))
    return scan(canaries, stores, database=superuser_url(service.embedded), jobs=jobs)


@contextmanager
def _scrub_held_off(service: Service) -> Iterator[None]:
    with service.superuser() as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [ADVISORY_LOCK])
        yield


def _erase(halves: list[Half]) -> tuple[list[tuple[Caller, str]], list[float]]:
    """File a case for each tenant's documents, one for each member, and wait until all is shredded."""
    cases, hidden_s = [], []
    for half in halves:
        caller = half.tenant.itself
        asked: list[Json] = [{"documents": half.gone_documents}]
        asked += [{"subject": {"type": "email", "value": one.email}} for one in half.members]
        for body in asked:
            case = caller.post("/v1/erasures", reason="canaries", **body)["id"]
            cases.append((caller, str(case)))
            if "documents" in body:
                began = time.monotonic()
                wait_until(lambda: not _is_found(half, half.gone[0]), "nothing found")  # noqa: B023 - called at once
                hidden_s.append(time.monotonic() - began)
    for caller, case in cases:
        wait_until(
            lambda: _state(caller, case) == "shredded",  # noqa: B023 - called at once
            "a shredded case",
            within_s=CASE_PATIENCE_S,
        )
    return cases, hidden_s


def _state(caller: Caller, case: str) -> str:
    return str(caller.call("GET", f"/v1/erasures/{case}")["state"])


def _is_found(half: Half, person: Person) -> bool:
    return any(
        person.name.casefold() in passage["text"].casefold()
        for passage in half.tenant.bob.search(person.name, mode="text", k=3)
    )


def _vacuum(service: Service) -> None:
    """Do what an operator who trusts Postgres would: every row is deleted by now."""
    with service.superuser() as connection:
        connection.execute("VACUUM (ANALYZE)")
        connection.execute("CHECKPOINT")


@contextmanager
def _searching(halves: list[Half]) -> Iterator[Searches]:
    searches, over = Searches(), threading.Event()
    half = halves[-1]

    def search() -> None:
        while not over.is_set():
            began = time.monotonic()
            answer = half.tenant.bob.ask(
                "POST", "/v1/search", json={"query": f"the cough of {half.kept[0].name}"}
            )
            searches.milliseconds.append((time.monotonic() - began) * 1000)
            if answer.status_code != 200:
                searches.refused.append(answer.status_code)

    thread = threading.Thread(target=search)
    thread.start()
    try:
        yield searches
    finally:
        over.set()
        thread.join()
