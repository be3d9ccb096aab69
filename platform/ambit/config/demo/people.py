"""Act 1: two tenants, their members, nested groups, collections and grants."""

from __future__ import annotations

from typing import Any

from ambit.config.demo.client import Caller
from ambit.config.demo.world import CLINIC, HARBOR, World


def set_up_tenants(world: World) -> None:
    """Create both tenants with everything that the manifest says, and the cast's ways in."""
    world.board.act("Two tenants, their people, groups and collections")
    for spec in world.manifest.tenants:
        tenant = world.operator.post("/v1/tenants", {"name": spec["name"], "slug": spec["slug"]})
        service = Caller(world.operator.http, tenant["service_key"]["key"])
        world.services[spec["slug"]] = service
        _members_and_groups(world, service, spec)
        _collections(world, service, spec)
        world.board.say(
            f"{spec['name']}: {len(spec['members'])} member(s), {len(spec['groups'])} groups, "
            f"{len(spec['collections'])} collections"
        )
    _cast(world)
    operator_sees = world.operator.send("POST", "/v1/search", json={"query": "leave", "k": 3})
    world.board.check(
        "the operator's key makes tenants and may not search in them",
        operator_sees.status_code == 403,
        seen=operator_sees.status_code,
    )
    nobody = world.services[CLINIC].send("POST", "/v1/search", json={"query": "leave", "k": 3})
    world.board.check(
        "a service key that names no member gets 400, not everything",
        nobody.status_code == 400,
        seen=nobody.status_code,
    )


def _members_and_groups(world: World, service: Caller, spec: dict[str, Any]) -> None:
    slug = spec["slug"]
    for member in spec["members"]:
        world.members[slug, member["external_id"]] = service.post("/v1/members", member)["id"]
    for group in spec["groups"]:
        body = {"external_id": group["external_id"], "name": group["name"]}
        world.groups[slug, group["external_id"]] = service.post("/v1/groups", body)["id"]
    for group in spec["groups"]:
        group_id = world.groups[slug, group["external_id"]]
        for member in group["members"]:
            service.put(f"/v1/groups/{group_id}/members/{world.members[slug, member]}", expect=204)
        for child in group["groups"]:
            service.put(f"/v1/groups/{group_id}/groups/{world.groups[slug, child]}", expect=204)


def _collections(world: World, service: Caller, spec: dict[str, Any]) -> None:
    slug = spec["slug"]
    for collection in spec["collections"]:
        grants = grants_body(world, slug, collection["grants"])
        made = service.post("/v1/collections", {"name": collection["name"], "grants": grants})
        world.collections[slug, collection["name"]] = made["id"]


def grants_body(world: World, slug: str, grants: Any) -> list[dict[str, str]]:
    """Return grants as the API takes them, external ids replaced by ids."""
    body = []
    for principal, role in grants:
        kind, _, name = principal.partition(":")
        known = {"group": world.groups, "member": world.members}.get(kind)
        body.append(
            {"principal": f"{kind}:{known[slug, name]}" if known else principal, "role": role}
        )
    return body


def _cast(world: World) -> None:
    # The four ways to say who is asking: external id, e-mail, id, and a key of one's own.
    clinic, harbor = world.services[CLINIC], world.services[HARBOR]
    mallory_id = world.members[HARBOR, "mallory"]
    made = harbor.post(f"/v1/members/{mallory_id}/keys", {"name": "demo"})
    world.people = {
        "Alice": clinic.acting_for("alice"),
        "Bob": clinic.acting_for("bob@northwind.example"),
        "Carol": clinic.acting_for(world.members[CLINIC, "carol"]),
        "Priya": clinic.acting_for("priya"),
        "Mallory": Caller(harbor.http, made["key"]),
    }
    world.board.say(
        "Alice owns the clinic's documents. Bob is in Clinicians, a group inside All staff. "
        "Carol has no grant. Priya is the privacy officer. Mallory works at the other company."
    )
