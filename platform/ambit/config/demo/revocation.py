"""Act 5: Bob leaves the group and the next statement gives him nothing."""

from __future__ import annotations

import time

from ambit.config.demo.questions import LEAVE, NOROVIRUS
from ambit.config.demo.world import CLINIC, World


def revoke_bob(world: World) -> None:
    """Take Bob out of Clinicians, which is in All staff, and ask again."""
    board = world.board
    board.act("Bob leaves the group Clinicians")
    group, bob = world.groups[CLINIC, "clinicians"], world.members[CLINIC, "bob"]
    began = time.monotonic()
    world.services[CLINIC].delete(f"/v1/groups/{group}/members/{bob}")
    found = world.people["Bob"].search(NOROVIRUS)
    passed_ms = (time.monotonic() - began) * 1000
    board.check(
        f"his next search finds nothing, {passed_ms:.0f} ms after the request",
        not found,
        seen=found,
    )
    for question in (NOROVIRUS, LEAVE):
        reply = world.ask("Bob", question)
        board.check("Bob gets no answer and no citation", reply.nothing, seen=reply.raw)
    path = f"/v1/documents/{world.document('staff-handbook')}"
    status = world.people["Bob"].send("GET", path).status_code
    board.check("the handbook he has just cited is 404 for him", status == 404, seen=status)
