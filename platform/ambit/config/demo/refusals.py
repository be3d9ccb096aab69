"""Act 4: what one may not see answers exactly as what does not exist."""

from __future__ import annotations

from typing import Any

from ambit.config.demo.world import World

MADE_UP = "doc_" + "0" * 32
# Differ from one answer to the next by design.
OWN_TO_EACH = ("request_id", "instance")


def compare_refusals(world: World) -> None:
    """Try a hidden id and a made-up one; check that the answers are equal."""
    board = world.board
    board.act("A hidden document and a made-up id answer alike")
    lantern = world.document("project-lantern")
    for who in ("Bob", "Carol", "Mallory"):
        calls: list[tuple[str, str, dict[str, Any]]] = [
            ("GET", "/v1/documents/{}", {}),
            ("GET", "/v1/documents/{}/content", {}),
            ("PUT", "/v1/documents/{}/grants", {"json": {"grants": []}}),
            ("DELETE", "/v1/documents/{}", {}),
        ]
        different = []
        for method, path, request in calls:
            hidden = _answer(world, who, method, path.format(lantern), request)
            absent = _answer(world, who, method, path.format(MADE_UP), request)
            if hidden != absent or hidden[0] != 404:
                different.append((method, path, hidden, absent))
        board.check(
            f"{who}: read, download, share and delete, 4 × 404 with the same words",
            not different,
            seen=different,
        )
    title = world.people["Alice"].get(f"/v1/documents/{lantern}")["title"]
    board.check("and the document is still there for Alice", title == "Project Lantern", seen=title)


def _answer(
    world: World, who: str, method: str, path: str, request: dict[str, Any]
) -> tuple[int, dict[str, Any]]:
    response = world.people[who].send(method, path, **request)
    body = response.json() if response.content else {}
    return response.status_code, {k: v for k, v in body.items() if k not in OWN_TO_EACH}
