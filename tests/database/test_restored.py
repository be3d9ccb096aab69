"""A restored backup serves nothing before what was erased since is hidden again; then it goes, and stays gone."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError

from ambit.config.runtime import restore
from ambit.config.runtime.backup import MANIFEST
from ambit.erasure.models import RestrictionItem
from ambit.erasure.tombstones import WORDS
from ambit.tombstones import ledger, register
from tenants.ids import public_id
from tenants.models import AuditEvent
from tests.database.drill import NAMES, Drill, play
from tests.database.erasures import receipt_of
from tests.database.restoring import Installation, command
from tests.database.worlds import working

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def drill() -> Iterator[Drill]:
    with tempfile.TemporaryDirectory(prefix="ambit-drill-") as folder:
        top = Path(folder).resolve()
        old, new = Installation(top / "old"), Installation(top / "new")
        try:
            yield play(old, new, top / "kept")
        finally:
            old.stop()
            new.stop()


def test_a_restored_backup_is_refused_and_the_words_say_what_to_run(drill: Drill) -> None:
    assert "manage.py replay_tombstones" in drill.refusal
    assert "tombstones are not replayed" in drill.refusal
    assert drill.refusal.endswith(drill.ready[0])
    assert "NotReplayed" in drill.web
    assert "manage.py replay_tombstones" in drill.web


def test_no_new_backup_is_made_of_what_receipts_say_expires_with_the_old_one(drill: Drill) -> None:
    assert "no backup was made" in drill.backup_refused
    assert "tombstones are not replayed" in drill.backup_refused


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


def test_the_restore_does_not_ask_for_keys_that_went_with_their_tenant(
    drill: Drill, tmp_path: Path
) -> None:
    other = Installation(tmp_path / "data")
    other.bring(drill.old, "secrets.json", "keyring", "tombstones")
    tenant_id = drill.village.tenant_id
    (other.embedded.keyring_dir / f"{tenant_id}.json").unlink()
    with other.settings():
        with ledger.opened(may_make=False) as book:
            book.read_after(ledger.NOWHERE)
            book.add(ledger.Tombstone("tenant", tenant_id, tenant_id))

        said = command("restore", str(drill.backup))

    assert "the keyring is there" in said
    assert "1 keys were destroyed with their tenants: do not bring them back" in said


def test_nobody_is_told_that_all_is_as_it_was(drill: Drill) -> None:
    assert "with the keyring of then alone" in drill.restored
    assert "Everything may be served" not in drill.replayed
    assert "holds and restrictions" in drill.replayed


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


def test_a_restore_that_was_cut_off_does_not_stand_in_the_next_ones_way(
    drill: Drill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Installation(tmp_path / "data")
    other.bring(drill.old, "secrets.json")

    def die(_embedded: object) -> None:
        raise KeyboardInterrupt

    with other.settings():
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(restore, "postgres_account", die)
            command("restore", str(drill.backup))
        assert not other.embedded.postgres_dir.exists()

        command("restore", str(drill.backup))

    assert any(other.embedded.originals_dir.iterdir())
    assert (other.embedded.postgres_dir / "PG_VERSION").exists()
    assert not list(other.embedded.data_dir.glob("*.new"))


def test_without_the_secrets_of_then_nothing_is_restored(drill: Drill, tmp_path: Path) -> None:
    other = Installation(tmp_path / "data")
    assert other.embedded.secrets
    with other.settings(), pytest.raises(CommandError, match="not the file that belongs to this"):
        command("restore", str(drill.backup))


def test_secrets_that_were_not_brought_are_asked_for_and_not_made(
    drill: Drill, tmp_path: Path
) -> None:
    other = Installation(tmp_path / "data")
    other.embedded.data_dir.mkdir()
    with other.settings(), pytest.raises(CommandError, match=r"secrets\.json is not in"):
        command("restore", str(drill.backup))

    assert not (tmp_path / "data" / "secrets.json").exists()


def test_a_replay_where_nothing_was_restored_makes_no_installation(tmp_path: Path) -> None:
    nothing = Installation(tmp_path / "mistyped")
    with nothing.settings(), pytest.raises(CommandError, match="There is no database in"):
        command("replay_tombstones")

    assert not nothing.embedded.postgres_dir.exists()


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


def test_a_backup_with_an_original_too_many_is_not_restored(drill: Drill, tmp_path: Path) -> None:
    link = drill.backup / "originals" / "link"
    link.symlink_to("/etc/hostname")
    try:
        assert "does not name it" in _refusal(drill, tmp_path / "data")
    finally:
        link.unlink()


@pytest.mark.parametrize(
    "change", [{"secrets": None}, {"files": []}, {"keyring": "none"}, {"format": "another/1"}]
)
def test_a_manifest_that_no_backup_writes_is_refused_in_words(
    drill: Drill, tmp_path: Path, change: dict[str, object]
) -> None:
    path = drill.backup / MANIFEST
    whole = path.read_text()
    path.write_text(json.dumps(json.loads(whole) | change))
    try:
        assert "backup" in _refusal(drill, tmp_path / "data")
    finally:
        path.write_text(whole)


def test_the_audit_trail_goes_on_and_the_copies_of_before_tell_that_it_was_cut(
    drill: Drill,
) -> None:
    assert drill.trail is not None
    assert drill.trail_beside_the_old is not None
    assert drill.trail.faults == []
    assert drill.trail.n_events > 0
    (fault,) = drill.trail_beside_the_old.faults
    assert "events were signed, not" in fault
