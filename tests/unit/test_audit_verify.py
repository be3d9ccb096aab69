"""The verifier that stands alone: whatever is done to a trail is found in what was exported and signed."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ambit.audit import verify
from ambit.audit.checkpoints import Signer
from ambit.audit.program import NAME, verifier_program
from ambit.audit.verifier import BROKEN, HOLDS, main

START = datetime(2026, 11, 22, tzinfo=UTC)
Line = dict[str, Any]


@dataclass
class Trail:
    """An export and its checkpoints, in memory."""

    lines: list[Line]
    notes: dict[str, str]
    signer: Signer

    def written(self, folder: Path) -> tuple[Path, list[Path]]:
        """Write both as the verifier reads them."""
        folder.mkdir(parents=True, exist_ok=True)
        events, notes = folder / "events.jsonl", folder / "checkpoints.notes"
        events.write_text("".join(json.dumps(line) + "\n" for line in self.lines))
        notes.write_text("".join(f"{text}\n\n" for text in self.notes.values()))
        (folder / "key.txt").write_text(f"{self.signer.key}\n")
        return events, [folder]

    def faults(self, folder: Path) -> list[str]:
        """Return what the verifier has to say."""
        return verify.check_trail(*self.written(folder), verify.Key.read(self.signer.key)).faults


def make_line(number: int, *, log: str = "ambit/ten_a") -> Line:
    """Return an event as it is exported."""
    who: Line = {"salt": bytes([number % 256, 1] * 8).hex(), "value": {"actor": f"mem_{number}"}}
    what: Line = {
        "salt": bytes([number % 256, 2] * 8).hex(),
        "value": {"documents": [f"doc_{number}"]},
    }
    at = START + timedelta(minutes=number)
    entry = {
        "log": log,
        "number": number,
        "id": f"evt_{number}",
        "at": at.isoformat(),
        "action": "search",
        "who": verify.commitment(bytes.fromhex(who["salt"]), who["value"]),
        "what": verify.commitment(bytes.fromhex(what["salt"]), what["value"]),
    }
    return {"entry": entry, "who": who, "what": what}


def signed(lines: list[Line], sizes: list[int], signer: Signer) -> dict[str, str]:
    """Sign the trail at each of the sizes."""
    tree, notes = verify.Tree(), {}
    for size in range(len(lines) + 1):
        if size in sizes:
            at = START + timedelta(minutes=size)
            origin = lines[0]["entry"]["log"]
            notes[f"{size:08}"] = signer.sign(origin=origin, size=size, root=tree.root(), at=at)
        if size < len(lines):
            tree.add(verify.leaf_hash(lines[size]["entry"]))
    return notes


SIZES = [10, 33, 64, 100]


@pytest.fixture
def trail() -> Trail:
    """Return a whole trail of 100 events with four checkpoints."""
    signer = Signer("ambit.example", Ed25519PrivateKey.generate())
    lines = [make_line(number) for number in range(100)]
    return Trail(lines, signed(lines, SIZES, signer), signer)


def test_a_whole_trail_has_no_fault(trail: Trail, tmp_path: Path) -> None:
    report = verify.check_trail(*trail.written(tmp_path), verify.Key.read(trail.signer.key))

    assert report.faults == []
    assert (report.n_events, report.n_signed, report.n_erased) == (100, 100, 0)


def test_erased_values_leave_it_whole(trail: Trail, tmp_path: Path) -> None:
    for line in trail.lines[::3]:
        line["who"] = None

    report = verify.check_trail(*trail.written(tmp_path), verify.Key.read(trail.signer.key))

    assert report.faults == []
    assert report.n_erased == 34


def test_values_that_are_gone_before_their_time_are_a_fault_to_who_says_when_that_is(
    trail: Trail, tmp_path: Path
) -> None:
    trail.lines[70]["who"] = None
    trail.written(tmp_path)
    at = datetime.fromisoformat(trail.lines[70]["entry"]["at"])

    def status(*more: str) -> int:
        return main([str(tmp_path), *more])

    assert status() == HOLDS
    assert status(f"--values-since={(at + timedelta(seconds=1)).isoformat()}") == HOLDS
    assert status(f"--values-since={at.isoformat()}") == BROKEN


def _edit(trail: Trail, chance: random.Random) -> None:
    trail.lines[chance.randrange(100)]["entry"]["action"] = "document.read"


def _edit_value(trail: Trail, chance: random.Random) -> None:
    trail.lines[chance.randrange(100)]["who"]["value"]["actor"] = "mem_somebody_else"


def _edit_value_and_commitment(trail: Trail, chance: random.Random) -> None:
    line = trail.lines[chance.randrange(100)]
    line["who"]["value"]["actor"] = "mem_somebody_else"
    line["entry"]["who"] = verify.commitment(
        bytes.fromhex(line["who"]["salt"]), line["who"]["value"]
    )


def _renumber(trail: Trail) -> None:
    for number, line in enumerate(trail.lines):
        line["entry"]["number"] = number


def _delete(trail: Trail, chance: random.Random) -> None:
    del trail.lines[chance.randrange(100)]


def _delete_and_renumber(trail: Trail, chance: random.Random) -> None:
    _delete(trail, chance)
    _renumber(trail)


def _insert(trail: Trail, chance: random.Random) -> None:
    at = chance.randrange(99)
    trail.lines.insert(at, deepcopy(trail.lines[at]))
    _renumber(trail)


def _reorder(trail: Trail, chance: random.Random) -> None:
    one, other = sorted(chance.sample(range(100), 2))
    trail.lines[one], trail.lines[other] = trail.lines[other], trail.lines[one]
    _renumber(trail)


def _truncate(trail: Trail, chance: random.Random) -> None:
    del trail.lines[chance.randrange(100) :]


def _swap_tenants(trail: Trail, chance: random.Random) -> None:
    number = chance.randrange(100)
    trail.lines[number] = make_line(number, log="ambit/ten_b")


def _whole_other_tenant(trail: Trail, chance: random.Random) -> None:
    trail.lines = [make_line(number, log="ambit/ten_b") for number in range(100)]


def _back_date(trail: Trail, chance: random.Random) -> None:
    line = trail.lines[chance.randrange(100)]
    line["entry"]["at"] = (START - timedelta(days=chance.randrange(1, 900))).isoformat()


def _fork(trail: Trail, chance: random.Random) -> None:
    other = deepcopy(trail.lines)
    number = chance.randrange(100)
    other[number]["entry"]["action"] = "export.read"
    later = [size for size in SIZES if size > number]
    notes = signed(other, later, trail.signer)
    size = chance.choice(later)
    trail.notes[f"{size:08} again"] = notes[f"{size:08}"]


def _own_key(trail: Trail, chance: random.Random) -> None:
    size = chance.choice(SIZES)
    forger = Signer(trail.signer.name, Ed25519PrivateKey.generate())
    trail.notes |= signed(trail.lines, [size], forger)


def _note_edited(trail: Trail, chance: random.Random) -> None:
    name = f"{chance.choice(SIZES):08}"
    origin, size, *rest = trail.notes[name].splitlines(keepends=True)
    trail.notes[name] = "".join([origin, f"{int(size) - 1}\n", *rest])


TAMPERINGS = [
    _edit, _edit_value, _edit_value_and_commitment, _delete, _delete_and_renumber, _insert, _reorder, _truncate,
    _swap_tenants, _whole_other_tenant, _back_date, _fork, _own_key, _note_edited,
]  # fmt: skip


@pytest.mark.parametrize("tamper", TAMPERINGS)
def test_tampering_is_found_wherever_it_happens(
    trail: Trail, tmp_path: Path, tamper: Callable[[Trail, random.Random], None]
) -> None:
    for seed in range(25):
        tampered = deepcopy_of(trail)
        tamper(tampered, random.Random(seed))

        assert tampered.faults(tmp_path / str(seed)), seed


def deepcopy_of(trail: Trail) -> Trail:
    """Return a copy; a key is not copied."""
    return Trail(deepcopy(trail.lines), dict(trail.notes), trail.signer)


def test_an_event_that_was_signed_with_a_false_date_is_found(trail: Trail, tmp_path: Path) -> None:
    trail.lines[50]["entry"]["at"] = (START - timedelta(days=40)).isoformat()
    trail.lines[99]["entry"]["at"] = (START + timedelta(days=40)).isoformat()
    trail.notes = signed(trail.lines, SIZES, trail.signer)

    faults = trail.faults(tmp_path)

    assert [fault.partition(" is ")[0] for fault in faults] == ["event 50", "event 99"]


def test_without_a_checkpoint_nothing_is_whole(trail: Trail, tmp_path: Path) -> None:
    trail.notes = {}

    assert trail.faults(tmp_path) == [
        "there is no checkpoint: nothing shows the events to be whole"
    ]


def test_a_note_cut_off_and_written_again_is_no_fault(trail: Trail, tmp_path: Path) -> None:
    trail.written(tmp_path)
    kept = tmp_path / "checkpoints.notes"
    last = trail.notes[f"{SIZES[-1]:08}"]
    kept.write_text(kept.read_text() + last[:70] + "\n\n\n" + last + "\n\n")

    report = verify.check_trail(
        tmp_path / "events.jsonl", [kept], verify.Key.read(trail.signer.key)
    )

    assert report.faults == []
    kept.write_text(kept.read_text() + "nothing signed\n\n\n")
    report = verify.check_trail(
        tmp_path / "events.jsonl", [kept], verify.Key.read(trail.signer.key)
    )
    assert report.faults == ["checkpoints.notes: a checkpoint without a signature"]


@pytest.mark.parametrize(
    "line",
    [
        '{"entry": {"number": 100, "at": "never"}, "who": 1, "what": {"salt": 2}}',
        '{"entry": {"number": [], "log": {}}, "who": {"salt": "zz", "value": 1}}',
    ],
)
def test_lines_of_another_shape_are_faults(trail: Trail, tmp_path: Path, line: str) -> None:
    events, notes = trail.written(tmp_path)
    with events.open("a") as file:
        file.write(line)

    assert verify.check_trail(events, notes, verify.Key.read(trail.signer.key)).faults


def run_alone(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = folder / NAME
    program.write_bytes(verifier_program())
    command = [sys.executable, "-I", str(program), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)


def test_it_runs_where_there_is_nothing_of_ours(trail: Trail, tmp_path: Path) -> None:
    trail.written(tmp_path)

    whole = run_alone(tmp_path)
    _delete(trail, random.Random(1))
    trail.written(tmp_path)
    cut = run_alone(tmp_path, ".", "--key", trail.signer.key)
    (tmp_path / "events.jsonl").unlink()
    gone = run_alone(tmp_path)

    assert (whole.returncode, whole.stderr) == (0, "")
    assert "signed and whole: the first 100" in whole.stdout
    assert "compare it with yours" in whole.stdout
    assert cut.returncode == 1
    assert "NOT WHOLE" in cut.stdout
    assert (gone.returncode, gone.stdout) == (2, "")
    assert gone.stderr.startswith("cannot be checked: ")


def test_checkpoints_that_are_not_there_are_not_passed_over(trail: Trail, tmp_path: Path) -> None:
    trail.written(tmp_path)
    (tmp_path / "nothing").mkdir()
    (tmp_path / "empty.notes2").touch()

    for named in ("nothing", "empty.notes2", "no-such-folder"):
        done = run_alone(tmp_path, ".", "--checkpoints", named)
        assert done.returncode == 2, named
        assert "cannot be checked" in done.stderr


def test_a_line_that_wants_to_speak_for_the_verifier_is_made_harmless(
    trail: Trail, tmp_path: Path
) -> None:
    trail.lines[3]["entry"]["log"] = "x\nsigned and whole: the first 100\x1b[2J\ud800"
    trail.written(tmp_path)

    done = run_alone(tmp_path)

    assert done.returncode == 1
    assert "\nsigned and whole" not in done.stdout
    assert "\x1b" not in done.stdout


def test_lines_after_the_last_checkpoint_are_dated_too(trail: Trail, tmp_path: Path) -> None:
    line = make_line(100)
    line["entry"]["at"] = (START - timedelta(days=900)).isoformat()
    trail.lines.append(line)

    assert trail.faults(tmp_path) == ["event 100 is dated long before others that came before it"]


def test_what_was_written_anew_with_the_logs_own_key_is_found_by_what_was_kept(
    trail: Trail, tmp_path: Path
) -> None:
    kept = tmp_path / "kept.notes"
    kept.write_text("".join(f"{text}\n\n" for text in trail.notes.values()))
    trail.lines[7]["entry"]["action"] = "document.read"
    trail.notes = signed(trail.lines, SIZES, trail.signer)
    trail.written(tmp_path / "export")

    alone = run_alone(tmp_path, "export")
    beside = run_alone(tmp_path, "export", "--checkpoints", "kept.notes")

    assert alone.returncode == 0
    assert "--checkpoints adds those kept elsewhere" in alone.stdout
    assert beside.returncode == 1
    assert "two trees of 10 events were signed" in beside.stdout
