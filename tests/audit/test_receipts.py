"""Receipts of erasures, checked offline by the program that is exported: whatever is done to one is found."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core.management import call_command

from ambit.audit.checkpoints import Signer
from ambit.audit.program import NAME, verifier_program
from ambit.audit.receipts import read_receipt
from ambit.audit.verifier import BROKEN, HOLDS, NOT_ALL, UNREADABLE, main
from ambit.audit.verify import Key, Unreadable, read_note
from ambit.erasure.printed import print_receipt
from ambit.erasure.receipts import said_in
from tenants.ids import public_id
from tests.audit.receipts import (
    Check,
    World,
    lines_of,
    named_instead,
    object_of,
    otherwise,
    rewritten,
    signed_anew,
    written,
)


def test_it_is_checked_where_there_is_nothing_but_exported_files(
    world: World, tmp_path: Path
) -> None:
    for path in world.folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / NAME).write_bytes(verifier_program())
    (tmp_path / "receipt.json").write_text(json.dumps(world.closed))
    command = [sys.executable, "-I", NAME, "--receipt", "receipt.json"]

    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[1].startswith("signed and whole: the first ")
    assert lines[2].startswith(
        f"receipt.json: holds: receipt 2 of {world.closed['erasure']}, destroyed, written "
    )
    assert any(line.startswith("  checked: the log names this very receipt") for line in lines)
    assert any("compare it with yours" in line for line in lines)


def test_the_same_source_makes_the_same_program(tmp_path: Path) -> None:
    call_command("write_verifier", tmp_path / "own.pyz", stdout=io.StringIO())

    assert (tmp_path / "own.pyz").read_bytes() == verifier_program()


@pytest.mark.parametrize("name", ["closed", "refused", "other_case"])
def test_the_newest_receipt_of_a_case_holds(world: World, check: Check, name: str) -> None:
    status, said = check(getattr(world, name))

    assert status == HOLDS, said
    assert ": holds: " in said
    assert "no later receipt of the case is in this log" in said


def test_all_of_them_hold_together_and_follow_one_another(world: World, check: Check) -> None:
    assert world.held["serial"] == 1
    assert world.closed["serial"] == 2

    status, said = check(world.held, world.closed, world.refused, world.other_case)

    assert status == HOLDS, said
    assert said.count(": holds: ") == 4
    assert "receipt 2 of the case came after it, and is here too" in said


def test_the_note_alone_does_too(world: World, check: Check) -> None:
    assert check(world.closed["signed"])[0] == HOLDS


def test_each_field_that_is_shown_otherwise_is_found(world: World, check: Check) -> None:
    for name in world.closed.keys() - {"signed"}:
        status, said = check(world.closed | {name: otherwise(world.closed[name])})

        assert status == BROKEN, name
        assert "what is shown is not what was signed" in said


def test_a_field_more_or_less_is_found(world: World, check: Check) -> None:
    less = {name: value for name, value in world.closed.items() if name != "left"}

    for changed in (less, world.closed | {"scrubbed": True}):
        assert check(changed)[0] == BROKEN


def test_each_field_that_was_not_signed_so_is_found(world: World, check: Check) -> None:
    said = said_in(world.closed["signed"])
    for name in said:
        changed = said | {name: otherwise(said[name])}
        first, _, rest = world.closed["signed"].partition("\n")
        _, _, signature = rest.partition("\n")
        line = json.dumps(changed, sort_keys=True, separators=(",", ":"))

        status, told = check(changed | {"signed": f"{first}\n{line}\n{signature}"})

        assert status == BROKEN, name
        assert "no signature of ambit holds" in told


def test_each_field_that_was_signed_anew_with_the_key_itself_is_found(
    world: World, check: Check
) -> None:
    for name in world.closed.keys() - {"signed"}:
        changed = signed_anew(world, world.closed, **{name: otherwise(world.closed[name])})

        status, said = check(changed)

        assert status == BROKEN, (name, said)


def test_a_receipt_that_was_only_signed_anew_is_the_same(world: World, check: Check) -> None:
    assert signed_anew(world, world.closed)["signed"] == world.closed["signed"]


def test_a_signature_that_is_cut_or_anothers_is_found(world: World, check: Check) -> None:
    note: str = world.closed["signed"]
    said = said_in(note)
    body, signature = note.split("\n\n")
    stranger = Signer("ambit", Ed25519PrivateKey.generate())
    for changed in (
        body,
        f"{body}\n",
        note.rstrip("\n")[:-8],
        f"{body}\n\n{signature.replace('ambit ', 'other ')}",
        f"{body}\n\n{world.held['signed'].split(chr(10) * 2)[1]}",
        stranger.sign_receipt(said),
        "",
    ):
        status, told = check(said | {"signed": changed})
        assert status == BROKEN, changed
        assert "NOT WHOLE" in told
    assert check(said)[0] == BROKEN


def test_another_cases_receipt_is_found(world: World, check: Check) -> None:
    asked = ("--erasure", world.closed["erasure"])

    assert check(world.closed, more=asked)[0] == HOLDS
    status, said = check(world.other_case, more=asked)
    assert (status, f"it is of {world.other_case['erasure']}" in said) == (BROKEN, True)
    # Its note under this one's words.
    assert check(world.closed | {"signed": world.other_case["signed"]})[0] == BROKEN


def test_another_tenants_receipt_is_found(world: World, check: Check) -> None:
    status, said = check(world.other_tenants)

    assert status == BROKEN
    assert f"it is of ambit/{world.other_tenants['tenant']}, the log of ambit/" in said
    moved = signed_anew(world, world.other_tenants, tenant=world.closed["tenant"])
    assert check(moved)[0] == BROKEN


def test_a_receipt_whose_case_never_closed_in_the_log_is_found(world: World, check: Check) -> None:
    forged = signed_anew(world, world.other_case, erasure=public_id("erasure", world.open_case))

    status, said = check(forged)

    assert status == BROKEN
    assert "the log does not say that it ended as closed, nor that this receipt was written" in said
    never = signed_anew(world, world.other_case, erasure=public_id("erasure", uuid4()))
    assert "the log does not say that the erasure was asked for" in check(never)[1]


def test_a_state_that_the_log_does_not_tell_is_found(
    world: World, check: Check, tmp_path: Path
) -> None:
    """The log says closed and names the receipt, whose state says held: its writer lied at the time."""
    receipt = signed_anew(world, world.other_case, state="held")
    lines = named_instead(world, world.other_case, receipt)

    status, said = check(receipt, folder=rewritten(world, lines, tmp_path / "lied"))

    assert status == BROKEN
    assert "it says held, event " in said


def test_a_receipt_that_names_a_later_log_than_it_could_know_is_found(
    world: World, check: Check, tmp_path: Path
) -> None:
    named = str(read_receipt(world.other_case["signed"], Key.read(world.signer.key)).id)
    (number,) = (n for n, line in enumerate(lines_of(world)) if object_of(line) == named)
    # One event more than could be there: the one that names it.
    log = world.other_case["log"] | {"size": number + 1}
    receipt = signed_anew(world, world.other_case, log=log)
    lines = named_instead(world, world.other_case, receipt)

    status, said = check(receipt, folder=rewritten(world, lines, tmp_path / "late"))

    assert status == BROKEN
    assert "tells of it, and stands before it was written" in said


def test_an_erasure_that_was_asked_for_after_it_ended_is_found(
    world: World, check: Check, tmp_path: Path
) -> None:
    lines, case = lines_of(world), str(UUID(world.closed["erasure"].removeprefix("era_")))
    asked = next(one for one in lines if object_of(one) == case)
    assert asked["entry"]["action"] == "erasure.requested"
    lines = [one for one in lines if one is not asked] + [asked]
    for number, line in enumerate(lines):
        line["entry"]["number"] = number

    status, said = check(world.closed, folder=rewritten(world, lines, tmp_path / "after"))

    assert status == BROKEN
    assert "asks for what had ended with event" in said


def test_an_older_receipt_passed_as_the_newest_is_found(world: World, check: Check) -> None:
    status, said = check(world.held)

    assert status == BROKEN
    assert "it is receipt 1 of 2: a later one was written" in said


def test_a_later_receipt_whose_events_were_emptied_is_not_passed_over(
    world: World, check: Check, tmp_path: Path
) -> None:
    """As the retention of values does, so that the log still holds."""
    later = str(read_receipt(world.closed["signed"], Key.read(world.signer.key)).id)
    lines, case = lines_of(world), str(UUID(world.closed["erasure"].removeprefix("era_")))
    for line in lines:
        ends = object_of(line) == case and line["entry"]["action"] == "erasure.closed"
        if ends or object_of(line) == later:
            line["what"] = None

    folder = written(lines, world, tmp_path / "emptied")

    status, said = check(world.held, folder=folder)
    assert (status, "values of later events were erased" in said) == (NOT_ALL, True)
    status, said = check(world.closed, folder=folder)
    assert (status, "the values of 2 such events were erased" in said) == (NOT_ALL, True)


def test_a_receipt_that_follows_another_one_than_it_says_is_found(
    world: World, check: Check
) -> None:
    between = signed_anew(world, world.held, outcome="held")

    status, said = check(between, world.closed)

    assert status == BROKEN
    assert "the receipt that it follows is not receipt0.json" in said


def test_a_log_that_was_another_when_it_was_written_is_found(world: World, check: Check) -> None:
    log = world.closed["log"]
    other_root = signed_anew(world, world.closed, log=log | {"root": world.held["log"]["root"]})
    assert f"the first {log['size']} events were others" in check(other_root)[1]
    stolen = signed_anew(
        world, world.closed, log=log | {"checkpoint": world.other_tenants["log"]["checkpoint"]}
    )
    assert "the checkpoint in it is of another log" in check(stolen)[1]
    # Dated after its own last events.
    late = signed_anew(world, world.held, log=world.refused["log"])
    assert check(late)[0] == BROKEN


def test_where_the_trail_is_not_whole_no_receipt_holds(
    world: World, check: Check, tmp_path: Path
) -> None:
    lines = lines_of(world)
    lines[3]["entry"]["action"] = "document.read"

    status, said = check(world.closed, folder=written(lines, world, tmp_path / "edited"))

    assert status == BROKEN
    assert "events were others when it was written" in said


def test_an_export_that_ends_before_it_is_not_enough(world: World, check: Check) -> None:
    status, said = check(world.closed, folder=world.earlier)

    assert status == NOT_ALL
    assert "the export ends before the " in said
    assert "bring a later export" in said


def test_an_export_of_the_same_moment_tells_neither_of_its_end_nor_that_it_is_false(
    world: World, check: Check, tmp_path: Path
) -> None:
    size = int(world.closed["log"]["size"])
    cut = rewritten(world, lines_of(world)[:size], tmp_path / "cut")
    one_more = rewritten(world, lines_of(world)[: size + 1], tmp_path / "one more")

    status, said = check(world.closed, folder=cut)
    assert (status, "export again in a minute" in said) == (NOT_ALL, True)

    # Where more was numbered since, only what waits for its number may tell of it.
    assert check(world.closed, folder=one_more)[0] == BROKEN
    waiting = lines_of(world)[size + 1 :]
    (one_more / "unnumbered.jsonl").write_text("".join(f"{json.dumps(x)}\n" for x in waiting))
    assert check(world.closed, folder=one_more)[0] == NOT_ALL


def test_its_last_events_must_be_signed_too(world: World, check: Check, tmp_path: Path) -> None:
    folder = written(lines_of(world), world, tmp_path / "unsigned")
    notes = (folder / "checkpoints.notes").read_text().split("\n\n\n")
    (folder / "checkpoints.notes").write_text("\n\n\n".join(notes[:2]) + "\n\n\n")

    status, said = check(world.closed, folder=folder)

    assert (status, "in no checkpoint yet" in said) == (NOT_ALL, True)


def test_without_an_export_the_signature_alone_is_checked(
    world: World, check: Check, tmp_path: Path
) -> None:
    (tmp_path / "nothing").mkdir()

    status, said = check(world.closed, folder=tmp_path / "nothing")

    assert status == NOT_ALL
    assert "checked: signed by ambit" in said
    assert "not checked: there is no log here to hold it against" in said
    assert main([str(tmp_path / "nothing"), "--receipt", "none.json"]) == UNREADABLE


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", "nothing", '{"signed": 1}', '{"signed": ""}', "ambit-receipt/v1\n{}\n"],
)
def test_what_is_no_receipt_is_told_apart(check: Check, text: str) -> None:
    status, said = check(text)

    assert (status, "NOT WHOLE" in said) == (BROKEN, True)


def test_a_signed_receipt_of_another_shape_is_found(world: World, check: Check) -> None:
    for changes in ({"erasure": 1}, {"log": "x"}, {"log": {"checkpoint": 7}}, {"serial": 9}):
        changed = world.held | changes
        assert "NOT WHOLE" in check(signed_anew(world, changed))[1], changes


def test_a_name_that_stands_twice_is_found(world: World, check: Check) -> None:
    text = json.dumps(world.closed)

    assert check('{"outcome": "destroyed", ' + text[1:])[0] == BROKEN


def test_a_pdf_is_told_from_what_is_attached_to_it(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "receipt.pdf"
    path.write_bytes(print_receipt(world.closed["signed"]))

    assert main([str(world.folder), "--receipt", str(path)]) == BROKEN
    assert "what was signed is the receipt.json attached to it" in capsys.readouterr().out


def test_no_signature_of_one_kind_is_ever_one_of_the_other(world: World) -> None:
    key = Key.read(world.signer.key)
    checkpoint = world.closed["log"]["checkpoint"]
    assert read_note(checkpoint, key).size <= world.closed["log"]["size"]

    with pytest.raises(Unreadable, match="a checkpoint of another shape"):
        read_note(world.closed["signed"], key)
    with pytest.raises(Unreadable, match="signed, but not a receipt"):
        read_receipt(checkpoint, key)
    with pytest.raises(Unreadable, match="signed, but not a receipt"):
        read_receipt(json.dumps({"signed": checkpoint}), key)


def test_a_receipt_among_the_checkpoints_is_no_checkpoint(
    world: World, check: Check, tmp_path: Path
) -> None:
    kept = tmp_path / "kept.notes"
    kept.write_text(world.closed["signed"] + "\n\n")

    status, said = check(world.closed, more=("--checkpoints", str(kept)))

    assert (status, "a checkpoint of another shape" in said) == (BROKEN, True)
