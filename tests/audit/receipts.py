"""Receipts of real erasures with an export that they stand in, and what might be done to both."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from ambit.audit import verify
from ambit.audit.checkpoints import Signer
from ambit.audit.flow import trail_signer
from ambit.audit.receipts import read_receipt
from ambit.audit.verify import Key
from ambit.corpus.types import SubjectRef
from ambit.erasure.services import refuse_erasure
from tests.audit.attacks import Trail
from tests.audit.trails import add_events, exported, sign_all
from tests.database.erasures import (
    Town,
    file,
    file_for,
    inhabit,
    keep_from_workers,
    receipt_of,
    work_on,
)
from tests.database.holding import hold, release, work_on_until
from tests.database.worlds import working

Shown = dict[str, Any]


# Checks receipts against an export; returns the exit status and what was said.
Check = Callable[..., tuple[int, str]]


@dataclass(frozen=True)
class World:
    """A tenant's export, its receipts as they were handed out, and another tenant's."""

    folder: Path
    town: Town
    signer: Signer
    held: Shown
    closed: Shown
    refused: Shown
    other_case: Shown
    other_tenants: Shown
    open_case: UUID
    # As it was before anything was erased.
    earlier: Path


def make_world(folder: Path) -> World:
    """Erase in two tenants with the product's own flow, sign what happened and export it."""
    town, elsewhere = inhabit(), inhabit()
    add_events(town.tenant_id, 5)
    sign_all(town.tenant_id)
    earlier = _export(town.tenant_id, folder / "earlier")
    found = hold(town, documents=[town.about_alice[0]])
    case_id = file_for(town)
    sign_all(town.tenant_id)
    work_on_until(town, case_id, "held")
    held = receipt_of(town.tenant_id, case_id)
    sign_all(town.tenant_id)
    release(town, found)
    work_on_until(town, case_id, "closed")
    other, there = file(town.tenant_id, documents=[town.about_bob]).id, file_for(elsewhere)
    open_case = file(town.tenant_id, documents=[town.about_namesake]).id
    assert other is not None and open_case is not None
    work_on(town.tenant_id, other)
    work_on(elsewhere.tenant_id, there)
    refused = _refused(town)
    add_events(town.tenant_id, 5)
    sign_all(town.tenant_id)
    sign_all(elsewhere.tenant_id)
    return World(
        folder=_export(town.tenant_id, folder / "export"),
        town=town,
        signer=trail_signer(),
        held=held,
        closed=receipt_of(town.tenant_id, case_id),
        refused=refused,
        other_case=receipt_of(town.tenant_id, other),
        other_tenants=receipt_of(elsewhere.tenant_id, there),
        open_case=open_case,
        earlier=earlier,
    )


def _refused(town: Town) -> Shown:
    subject = SubjectRef("email", f"{uuid4().hex}@example.org")
    case_id = file(town.tenant_id, subject=subject, identity="pending").id
    assert case_id is not None
    with working(town.tenant_id):
        refuse_erasure(erasure_id=case_id, reason="Not shown to be the person.")
        keep_from_workers()
    return receipt_of(town.tenant_id, case_id)


def _export(tenant_id: UUID, folder: Path) -> Path:
    exported(tenant_id, folder)
    (folder / "key.txt").write_text(f"{trail_signer().key}\n")
    return folder


def signed_anew(world: World, receipt: Shown, **changes: Any) -> Shown:
    """Return a receipt that says something else, signed with the log's own key."""
    said = {name: value for name, value in receipt.items() if name != "signed"} | changes
    return said | {"signed": world.signer.sign_receipt(said)}


def otherwise(value: Any) -> Any:
    """Return another value of the same kind."""
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case str():
            return f"{value[:-1]}{'0' if value[-1:] != '0' else '1'}"
        case list():
            return value[:-1] if value else ["more"]
        case dict():
            name = sorted(value)[-1]
            return value | {name: otherwise(value[name])}
        case _:
            return "something"


def lines_of(world: World) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (world.folder / "events.jsonl").read_text().splitlines()]


def named_instead(world: World, before: Shown, now: Shown) -> list[dict[str, Any]]:
    """Return the log as if it had named one receipt where it names another."""
    key, lines = Key.read(world.signer.key), lines_of(world)
    named = str(read_receipt(before["signed"], key).id)
    (line,) = (one for one in lines if object_of(one) == named)
    line["what"]["value"]["object_id"] = str(read_receipt(now["signed"], key).id)
    return lines


def object_of(line: dict[str, Any]) -> str | None:
    found: str | None = line["what"] and line["what"]["value"]["object_id"]
    return found


def written(lines: list[dict[str, Any]], world: World, folder: Path) -> Path:
    """Write other lines beside the checkpoints that there are."""
    folder.mkdir()
    (folder / "events.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    (folder / "checkpoints.notes").write_text((world.folder / "checkpoints.notes").read_text())
    return folder


def rewritten(world: World, lines: list[dict[str, Any]], folder: Path) -> Path:
    """Write other lines as if they had been so from the start, with the log's own key."""
    for line in lines:
        line["entry"]["what"] = verify.commitment(
            bytes.fromhex(line["what"]["salt"]), line["what"]["value"]
        )
    trail = Trail(deepcopy(lines), [], [len(lines)], world.signer)
    written(lines, world, folder)
    (folder / "checkpoints.notes").write_text(trail.notes())
    return folder
