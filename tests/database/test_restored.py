"""A restored backup serves nothing before what was erased since is hidden again; then it goes, and stays gone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
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
from ambit.config.runtime.backup import MANIFEST
from ambit.config.runtime.processes import ROOT
from ambit.corpus.services import delete_document
from ambit.erasure.models import Erasure, RestrictionItem
from ambit.erasure.restrictions import lift, place_hold
from ambit.erasure.services import verify_identity
from ambit.erasure.tombstones import WORDS
from ambit.erasure.types import ErasureView
from ambit.jobs.kinds import REMOVE_DOCUMENT
from ambit.scan.canaries import Canary
from ambit.scan.report import Report
from ambit.tombstones import ledger, register
from tenants.ids import public_id
from tenants.models import AuditEvent
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


@pytest.fixture(scope="module")
def drill() -> Iterator[Drill]:
    with tempfile.TemporaryDirectory(prefix="ambit-drill-") as folder:
        top = Path(folder).resolve()
        old, new = Installation(top / "old"), Installation(top / "new")
        try:
            yield _drill(old, new, top / "kept")
        finally:
            old.stop()
            new.stop()


def _drill(old: Installation, new: Installation, kept: Path) -> Drill:
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


def test_a_restored_backup_is_refused_and_the_words_say_what_to_run(drill: Drill) -> None:
    assert "manage.py replay_tombstones" in drill.refusal
    assert "tombstones are not replayed" in drill.refusal
    assert drill.refusal.endswith(drill.ready[0])
    assert "NotReplayed" in drill.web
    assert "manage.py replay_tombstones" in drill.web


def test_without_the_refusal_it_would_be_found_again(drill: Drill) -> None:
    """Otherwise the other tests would prove nothing."""
    assert drill.before is not None
    assert {"erased since", "deleted since", "held since", "pending then"} <= drill.found_unreplayed
    found = drill.before.canaries_found
    for name in ("erased since", "asked before", "deleted since"):
        assert {one.id for one in drill.people[name].canaries} <= found


def test_a_worker_that_runs_before_the_replay_destroys_nothing_and_says_why(drill: Drill) -> None:
    assert drill.waits_for == WORDS["replay"]


def test_after_the_replay_nothing_of_it_is_found_and_everybody_else_is(drill: Drill) -> None:
    assert drill.found_replayed == {"stays", "stays too"}
    assert drill.found_at_last == {"stays", "stays too"}


def test_no_byte_of_it_is_left_and_of_everybody_else_all_is(drill: Drill) -> None:
    assert drill.after is not None
    assert drill.after.unread == []
    gone = ("erased since", "asked before", "pending then", "released since")
    found = drill.after.canaries_found
    for name in NAMES:
        canaries = {one.id for one in drill.people[name].canaries}
        if name in gone:
            left = canaries & found
            # The hold stands again, since its release was not in the backup.
            assert left == (set() if name != "released since" else {f"vector-{NAMES.index(name)}"})
        elif name.startswith("stays"):
            assert canaries <= found


def test_every_case_is_repeated_under_an_id_of_its_own_and_says_so(drill: Drill) -> None:
    view = drill.closed["erased since"]
    assert view.state == "closed"
    assert view.repeats == drill.cases["erased since"]
    with drill.new.in_use():
        receipt = receipt_of(drill.village.tenant_id, view.id)  # type: ignore[arg-type]  # it has one
        with working(drill.village.tenant_id):
            repeated = AuditEvent.objects.filter(action="erasure.repeated")
            assert repeated.filter(object_id=drill.cases["erased since"]).count() == 1
    assert receipt["repeats"] == public_id("erasure", drill.cases["erased since"])
    assert any("repeats an earlier one" in line for line in receipt["limits"])


def test_a_case_that_the_backup_knows_goes_on_by_itself(drill: Drill) -> None:
    view = drill.closed["asked before"]

    assert (view.id, view.repeats, view.state) == (drill.cases["asked before"], None, "closed")


def test_a_case_whose_person_was_identified_only_later_is_repeated(drill: Drill) -> None:
    view = drill.closed["pending then"]

    assert (view.repeats, view.state) == (drill.cases["pending then"], "closed")


def test_what_was_held_since_is_hidden_and_held_again_and_not_destroyed(drill: Drill) -> None:
    person = drill.people["held since"]

    assert drill.closed["held since"].state == "held"
    assert [(one.basis, one.n_documents) for one in drill.closed["held since"].held] == [("e", 1)]
    with drill.new.in_use(), working(drill.village.tenant_id):
        assert RestrictionItem.objects.filter(held_document_id=person.document).count() == 1


def test_a_hold_that_was_released_since_stands_again(drill: Drill) -> None:
    assert drill.closed["released since"].state == "held"


def test_a_replay_that_is_repeated_has_nothing_to_do(drill: Drill) -> None:
    assert "3 erasures and 1 deletions are hidden again" in drill.replayed
    assert "0 erasures and 0 deletions are hidden again" in drill.replayed_again


def test_the_restore_says_what_to_bring_and_what_to_run(drill: Drill) -> None:
    assert "the keyring is there" in drill.restored
    assert "make sure that it is the newest copy" in drill.restored
    assert "replay_tombstones" in drill.restored


def test_the_receipt_of_an_erasure_says_when_the_backup_of_before_expires(drill: Drill) -> None:
    manifest = json.loads((drill.backup / MANIFEST).read_text())

    assert drill.receipt["backups"]["expire_at"] == manifest["expires_at"]
    made_at = datetime.fromisoformat(manifest["made_at"])
    assert timedelta(days=2) < datetime.fromisoformat(manifest["expires_at"]) - made_at
    assert "kept: 1." in drill.receipt["backups"]["words"]


def test_a_backup_holds_neither_keys_nor_the_ledger_nor_secrets(drill: Drill) -> None:
    names = {path.name for path in drill.backup.rglob("*")}

    assert {path.name for path in drill.backup.iterdir()} == {"postgres", "originals", MANIFEST}
    assert not names & {"keyring", "tombstones", "secrets.json", ledger.FILE}
    assert not names & {path.name for path in drill.old.embedded.keyring_dir.iterdir()}
    assert drill.backup.stat().st_mode & 0o777 == 0o700
    registered = (drill.old.embedded.tombstones_dir / register.FILE).read_text().splitlines()
    assert [json.loads(line)["state"] for line in registered] == ["begun", "whole"]


def _refusal(drill: Drill, folder: Path) -> str:
    """Try to restore into a folder to which the secrets were brought."""
    other = Installation(folder)
    other.bring(drill.old, "secrets.json")
    with other.settings(), pytest.raises(CommandError) as refused:
        command("restore", str(drill.backup))
    assert not other.embedded.postgres_dir.exists()
    return str(refused.value)


def test_a_data_directory_that_holds_something_is_left_as_it_is(
    drill: Drill, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "beside").write_text("mine")

    assert "is not empty: it holds beside" in _refusal(drill, tmp_path / "data")
    assert (tmp_path / "data" / "beside").read_text() == "mine"


def test_without_the_secrets_of_then_nothing_is_restored(drill: Drill, tmp_path: Path) -> None:
    other = Installation(tmp_path / "data")
    with other.settings(), pytest.raises(CommandError, match="not the file that belongs to this"):
        command("restore", str(drill.backup))


@pytest.mark.parametrize("name", ["PG_VERSION", "global/pg_control", "pg_wal", "backup_manifest"])
def test_a_backup_whose_database_was_changed_is_not_restored(
    drill: Drill, tmp_path: Path, name: str
) -> None:
    path = drill.backup / "postgres" / name
    if path.is_dir():
        path = next(one for one in path.iterdir() if one.is_file())
    before = path.read_bytes()
    path.write_bytes(
        before[:10] + bytes([before[10] ^ 1]) + before[11:] if len(before) > 10 else b"9"
    )
    try:
        assert "nothing was restored" in _refusal(drill, tmp_path / "data")
    finally:
        path.write_bytes(before)


def test_a_backup_with_an_original_too_few_is_not_restored(drill: Drill, tmp_path: Path) -> None:
    path = next(one for one in (drill.backup / "originals").rglob("*") if one.is_file())
    away = tmp_path / "away"
    path.rename(away)
    try:
        assert "cannot be read" in _refusal(drill, tmp_path / "data")
    finally:
        away.rename(path)


def test_the_audit_trail_goes_on_and_the_copies_of_before_tell_that_it_was_cut(
    drill: Drill,
) -> None:
    assert drill.trail is not None
    assert drill.trail_beside_the_old is not None
    assert drill.trail.faults == []
    assert drill.trail.n_events > 0
    (fault,) = drill.trail_beside_the_old.faults
    assert "events were signed, not" in fault
