"""The story of a restore: a backup, what was erased after it, the backup brought back, the replay; what was seen."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import pytest
from django.core.management import CommandError
from django.utils import timezone

from ambit.audit.check import check_trail_now
from ambit.audit.copies import folder_of
from ambit.audit.flow import keep_trail, trail_signer
from ambit.audit.verify import Report as Trail
from ambit.config.restored import NotReplayed, require_replayed, tombstone_faults
from ambit.config.runtime.processes import ROOT
from ambit.corpus.services import delete_document
from ambit.erasure.models import Erasure
from ambit.erasure.restrictions import lift, place_hold
from ambit.erasure.services import verify_identity
from ambit.erasure.types import ErasureView
from ambit.jobs.kinds import REMOVE_DOCUMENT
from ambit.scan.canaries import Canary
from ambit.scan.report import Report
from tenants.ids import public_id
from tests.database.erasures import file, keep_from_workers, receipt_of, take, view_of
from tests.database.exporting import take as take_any
from tests.database.holding import LATER
from tests.database.restoring import Installation, Person, Village, command, found_village
from tests.database.worlds import working
from tests.flows.service import Json
from workers.erase.flow import erase, remove

PATIENCE_S = 30


@dataclass
class Drill:
    """What was seen of a restore: before the replay, right after it, and when the workers were done."""

    village: Village
    people: dict[str, Person]
    old: Installation
    new: Installation
    backup: Path
    # Cases by what became of the person, of before the restore.
    cases: dict[str, UUID] = field(default_factory=dict)
    receipt: Json = field(default_factory=dict)
    restored: str = ""
    refusal: str = ""
    web: str = ""
    backup_refused: str = ""
    ready: list[str] = field(default_factory=list)
    waits_for: str = ""
    found_unreplayed: set[str] = field(default_factory=set)
    before: Report | None = None
    replayed: str = ""
    replayed_again: str = ""
    found_replayed: set[str] = field(default_factory=set)
    closed: dict[str, ErasureView] = field(default_factory=dict)
    found_at_last: set[str] = field(default_factory=set)
    after: Report | None = None
    trail: Trail | None = None
    trail_beside_the_old: Trail | None = None

    def found(self) -> set[str]:
        """Return whose documents the reader finds."""
        return {name for name, one in self.people.items() if self.village.finds(one)}


def _work(tenant_id: UUID, case_id: UUID) -> ErasureView:
    """Do a case's job until it is closed, or held in part."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        held = take(tenant_id, case_id)
        if held is not None:
            erase(held)
        with working(tenant_id):
            keep_from_workers()
        view = view_of(tenant_id, case_id)
        if view.state in {"closed", "held", "incomplete"}:
            return view
        time.sleep(0.05)
    raise TimeoutError(view.state)


def _file(drill: Drill, name: str, **more: str) -> UUID:
    made = file(drill.village.tenant_id, subject=drill.people[name].subject, **more).id  # type: ignore[arg-type]  # an identity
    assert made is not None
    drill.cases[name] = made
    return made


def _hold(village: Village, person: Person) -> UUID:
    with working(village.tenant_id):
        return place_hold(
            subject=None,
            document_ids=[person.document],
            basis="e",
            review_at=timezone.now() + LATER,
            reason="a claim is pending",
        ).id


def _remove(village: Village, document: UUID) -> None:
    held = take_any(village.tenant_id, document, kind=REMOVE_DOCUMENT)
    assert held is not None
    remove(held)
    with working(village.tenant_id):
        keep_from_workers()


def _live_before(drill: Drill) -> UUID:
    """Ask for what a backup then takes along: a case that no worker took up, one received, one held."""
    _file(drill, "asked before")
    _file(drill, "pending then", identity="pending")
    hold = _hold(drill.village, drill.people["released since"])
    _file(drill, "released since")
    _work(drill.village.tenant_id, drill.cases["released since"])
    return hold


def _live_after(drill: Drill, hold: UUID) -> None:
    """Erase, delete, hold and release, of which the backup knows nothing."""
    tenant_id, people = drill.village.tenant_id, drill.people
    _work(tenant_id, _file(drill, "erased since"))
    with working(tenant_id):
        delete_document(document_id=people["deleted since"].document)
        verify_identity(erasure_id=drill.cases["pending then"])
        lift(kind="hold", restriction_id=hold)
        keep_from_workers()
    _remove(drill.village, people["deleted since"].document)
    _hold(drill.village, people["held since"])
    _file(drill, "held since")
    for name in ("pending then", "asked before", "released since", "held since"):
        _work(tenant_id, drill.cases[name])


def _new_tenant() -> None:
    """Make somebody, and erase the person, of whose tenant the backup does not know."""
    village = found_village()
    late = village.settle(99)
    case = file(village.tenant_id, subject=late.subject).id
    assert case is not None
    _work(village.tenant_id, case)


def _start_web(installation: Installation) -> str:
    names = ("AMBIT_", "DATABASE_URL", "REDIS_URL")
    env = {n: v for n, v in os.environ.items() if not n.startswith(names)}
    done = subprocess.run(
        [sys.executable, "-c", "import ambit.config.asgi"],
        cwd=ROOT,
        env=env
        | {
            "AMBIT_DATA_DIR": str(installation.embedded.data_dir),
            "DJANGO_SETTINGS_MODULE": "ambit.config.settings",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return "" if done.returncode == 0 else done.stderr


def _see_unreplayed(drill: Drill) -> None:
    with pytest.raises(NotReplayed) as refused:
        require_replayed()
    drill.refusal, drill.ready = str(refused.value), tombstone_faults()
    drill.web = _start_web(drill.new)
    with pytest.raises(CommandError) as refused_backup:
        command("backup", f"--to={drill.new.embedded.data_dir / 'backups'}")
    drill.backup_refused = str(refused_backup.value)
    drill.found_unreplayed = drill.found()
    # A worker that runs all the same destroys nothing, and does not hide what is missing.
    held = take(drill.village.tenant_id, drill.cases["asked before"])
    assert held is not None
    erase(held)
    drill.waits_for = view_of(drill.village.tenant_id, drill.cases["asked before"]).waits_for
    drill.before = drill.new.look(_canaries(drill), everywhere=False)


def _canaries(drill: Drill) -> list[Canary]:
    return [canary for person in drill.people.values() for canary in person.canaries]


def _finish(drill: Drill) -> None:
    with working(drill.village.tenant_id):
        repeated = dict(Erasure.objects.exclude(repeats_id=None).values_list("repeats_id", "pk"))
    for name, case_id in drill.cases.items():
        mine = repeated.get(case_id, case_id)
        if view_of(drill.village.tenant_id, mine).state != "received":
            drill.closed[name] = _work(drill.village.tenant_id, mine)
    _remove(drill.village, drill.people["deleted since"].document)
    drill.found_at_last = drill.found()
    drill.after = drill.new.look(_canaries(drill))


NAMES = (
    "erased since", "asked before", "pending then", "deleted since", "held since", "released since",
    "stays", "stays too",
)  # fmt: skip


def play(old: Installation, new: Installation, kept: Path) -> Drill:
    old.start(is_new=True)
    with old.in_use():
        village = found_village()
        people = {name: village.settle(number) for number, name in enumerate(NAMES)}
        drill = Drill(village, people, old, new, kept)
        hold = _live_before(drill)
        keep_trail()
        command("backup", f"--to={kept}", "--keep-days=3")
        _live_after(drill, hold)
        _new_tenant()
        keep_trail()
        drill.receipt = receipt_of(village.tenant_id, drill.cases["erased since"])
    (drill.backup,) = kept.iterdir()
    new.bring(old, "secrets.json", "keyring", "tombstones")
    with new.settings():
        drill.restored = command("restore", str(drill.backup))
    new.start(is_new=False)
    with new.in_use():
        _see_unreplayed(drill)
        drill.replayed = command("replay_tombstones")
        drill.found_replayed = drill.found()
        require_replayed()
        drill.replayed_again = command("replay_tombstones")
        _finish(drill)
        _check_trail(drill)
    return drill


def _check_trail(drill: Drill) -> None:
    """Check the restored trail against what was copied since, and then also against the copies of before."""
    keep_trail()
    with working(drill.village.tenant_id):
        key = trail_signer().key
        drill.trail = check_trail_now(key)
        for path in (
            drill.old.embedded.audit_dir / public_id("tenant", drill.village.tenant_id)
        ).iterdir():
            shutil.copy(path, folder_of(drill.village.tenant_id) / f"before-{path.name}")
        drill.trail_beside_the_old = check_trail_now(key)
