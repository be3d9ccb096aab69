"""Act 7: a person is erased, the receipt says what is gone, and the namesake stays."""

from __future__ import annotations

import time
from typing import Any

from ambit.config.demo.questions import ALLERGY
from ambit.config.demo.world import World

SUBJECT = {"type": "email", "value": "jonas.feldt@lindgren-street.example"}
REQUEST = {"subject": SUBJECT, "reason": "Request of the patient under Art. 17 GDPR"}
ERASED = ("letter-feldt-reaction", "note-feldt-allergy")
# Stand in the erased documents and nowhere else in the samples.
FACTS = ("cefuroxime", "Lindgren Street", "urticaria", "20417")
QUERIES = (ALLERGY, "cefuroxime reaction rash Lindgren Street", "patient number 20417 urticaria")
NAMESAKE = "At what time is the knee physiotherapy of Jonas Feldt on Tuesdays?"
DONE_WITHIN_S = 120


class StillErasing(TimeoutError):
    """The erasure did not come to an end in time; the text names its state."""


def erase_person(world: World) -> None:
    """Try the erasure, do it, read the receipt, and look for what should be gone."""
    board, priya = world.board, world.people["Priya"]
    board.act("Priya erases the patient Jonas Feldt of Lindgren Street")
    before = world.ask("Alice", ALLERGY)
    board.check("before: it is known", before.says("cefuroxime"), seen=before.raw)
    _dry_run(world)
    case = priya.call("POST", "/v1/erasures", expect=202, json=REQUEST)
    hidden = world.ask("Alice", ALLERGY)
    board.check(
        "the moment it is accepted, nothing retrieves him any more",
        not hidden.says_any(*FACTS),
        seen=hidden.raw,
    )
    state = _wait(world, case["id"])
    board.check("the case is closed", state == "closed", seen=state)
    receipt = priya.get(f"/v1/erasures/{case['id']}/receipt")
    _print_receipt(world, receipt)
    _check_receipt(world, receipt)
    _look_again(world)
    _audit(world, case["id"])


def _dry_run(world: World) -> None:
    answer = world.people["Priya"].send("POST", "/v1/erasures", json=REQUEST | {"dry_run": True})
    body = answer.json()
    found = {h["name"]: h["found"] for h in body.get("holdings", []) if h["found"]}
    counts = ", ".join(f"{n} {name}" for name, n in found.items())
    world.board.say(f"dry run would erase: {counts or body}")
    path = f"/v1/documents/{world.document(ERASED[0])}"
    still = world.people["Alice"].send("GET", path).status_code
    world.board.check(
        "a dry run finds his two documents and erases nothing",
        found.get("documents") == len(ERASED) and still == 200,
        seen=(body, still),
    )


def _wait(world: World, case_id: str) -> str:
    until = time.monotonic() + DONE_WITHIN_S
    while time.monotonic() < until:
        state = str(world.people["Priya"].get(f"/v1/erasures/{case_id}")["state"])
        world.board.live(f"erasure: {state}")
        if state in {"closed", "incomplete"}:
            world.board.settle()
            return state
        time.sleep(0.2)
    raise StillErasing(state)


def _print_receipt(world: World, receipt: dict[str, Any]) -> None:
    board = world.board
    board.say("Receipt")
    for name, at in _states(receipt["states"]):
        board.say(f"{name.ljust(12)}{at}", indent=6)
    board.say(f"{'holding'.ljust(26)}{'found':>7}{'destroyed':>11}{'remaining':>11}", indent=6)
    for holding in receipt["holdings"]:
        counts = f"{holding['found']:>7}{holding['destroyed']:>11}{holding['remaining']:>11}"
        board.say(f"{holding['name'].ljust(26)}{counts}", indent=6)
    for left in receipt["not_yet_gone"]:
        words = left if isinstance(left, str) else " – ".join(str(v) for v in left.values())
        board.say(f"not yet gone: {words}", indent=6)


def _states(states: Any) -> list[tuple[str, str]]:
    if isinstance(states, dict):
        return [(name, str(at)) for name, at in states.items() if at]
    return [(s["state"], str(s["at"])) for s in states]


def _check_receipt(world: World, receipt: dict[str, Any]) -> None:
    board = world.board
    by_name = {h["name"]: h for h in receipt["holdings"]}
    board.check(
        "the receipt counts both documents destroyed, and nothing remaining in any holding",
        by_name["documents"]["destroyed"] == len(ERASED)
        and all(h["remaining"] == 0 for h in receipt["holdings"]),
        seen=receipt["holdings"],
    )
    board.check(
        "what was destroyed is overwritten in tables and log: the case was scrubbed",
        bool(receipt["scrub"]) and "scrubbed" in [name for name, _ in _states(receipt["states"])],
        seen=receipt,
    )
    board.check(
        "saved answers that quoted him are among what was found",
        _found(by_name, "answers") > 0,
        seen=by_name,
    )
    board.check(
        "it says what is not yet gone, instead of pretending",
        bool(receipt["not_yet_gone"]),
        seen=receipt,
    )
    board.check(
        "it does not repeat whom it forgot", SUBJECT["value"] not in str(receipt), seen=receipt
    )


def _found(by_name: dict[str, dict[str, Any]], word: str) -> int:
    return sum(int(h["found"]) for name, h in by_name.items() if word in name)


def _look_again(world: World) -> None:
    board, alice = world.board, world.people["Alice"]
    reply = world.ask("Alice", ALLERGY)
    found = [r for query in QUERIES for r in alice.search(query, k=20)]
    gone = {world.document(name) for name in ERASED}
    leaks = [r for r in found if r["document"]["id"] in gone or any(f in r["text"] for f in FACTS)]
    board.check(
        f"afterwards: no answer and none of {len(found)} passages of three searches knows him",
        not reply.says_any(*FACTS) and not reply.document_ids & gone and not leaks,
        seen=(reply.raw, leaks),
    )
    statuses = [alice.send("GET", f"/v1/documents/{d}/content").status_code for d in sorted(gone)]
    board.check("his originals are not to be had", set(statuses) <= {404, 410}, seen=statuses)
    other = world.ask("Alice", NAMESAKE)
    board.check(
        "his namesake of Quay Lane is still there",
        other.says("09:30") and world.document("letter-feldt-physiotherapy") in other.document_ids,
        seen=other.raw,
    )


def _audit(world: World, case_id: str) -> None:
    board = world.board
    events = world.people["Priya"].get("/v1/audit/events", limit="100")
    events = events.get("results", events.get("items", events.get("data", [])))
    ours = [e for e in events if case_id in (e.get("object"), e.get("object_id"))]
    for event in reversed(ours):
        board.say(f"{event['at']}  {event['action']}")
    actions = [e["action"] for e in events]
    board.check("the audit trail has the erasure's events", len(ours) >= 2, seen=actions)
    board.check("and no event holds content", not any(f in str(events) for f in FACTS))
