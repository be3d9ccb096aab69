"""Two tenants of a history: every deed goes through the REST API, and beside it into the model.

The model says before each call whether it must be let in; what Ambit says otherwise ends the history.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from copy import deepcopy
from typing import Any
from uuid import UUID, uuid4

from ambit.access.clearance import clearance_for
from ambit.access.documents import upload_document
from ambit.access.services import create_collection
from ambit.access.types import GrantSpec, PrincipalRef, RoleName
from ambit.corpus.types import SubjectRef, Upload
from ambit.keys.keyring import create_tenant_keys
from tenants import services
from tenants.audit import Actor, acting_as
from tenants.ids import parse_id, public_id
from tests.cast import Api, as_service
from tests.histories.model import EDITOR, EVERYBODY, OWNER, READER, Document, Grants, World
from tests.histories.work import do_what_waits, ingest_newest, text_of

ROLES: dict[int, RoleName] = {READER: "reader", EDITOR: "editor", OWNER: "owner"}


class Leak(AssertionError):
    """Somebody was given more than the model allows."""


class FalseDenial(AssertionError):
    """Somebody was given less than the model allows."""


class Town:
    """Tenant "a" with its members, g1, g2 and collection ca; tenant "b" with Bob and collection cb."""

    def __init__(self, members: Sequence[str] = ("ann", "bea", "adam")) -> None:
        self.world = World()
        self.script: list[str] = []
        self.ids: dict[str, str] = {}
        self.tenant_ids: dict[str, UUID] = {}
        self.services: dict[str, Api] = {}
        self.own: dict[str, Api] = {}
        self.uploads: list[tuple[str, dict[str, Any], str, str]] = []
        self.over = False
        self._found("a", members, ["g1", "g2"], "ca", {"ann": OWNER, "g1": READER})
        self._found("b", ["bob"], [], "cb", {"bob": OWNER})

    # Deeds of the directory

    def make_member(self, tenant: str, name: str) -> None:
        """Add a member with a key of its own."""
        body = {"external_id": name, "email": f"{name}@example.test", "name": name}
        made = self._must(tenant, "POST", "/v1/members", body)
        self.ids[name] = made.json()["id"]
        self.world.tenants[name] = tenant
        self.make_key(name)

    def suspend(self, name: str, *, suspended: bool = True) -> None:
        """Suspend a member, or let it back."""
        tenant = self.world.tenants[name]
        self._must(tenant, "PATCH", f"/v1/members/{{{name}}}", {"suspended": suspended})
        (self.world.suspended.add if suspended else self.world.suspended.discard)(name)

    def make_key(self, name: str) -> None:
        """Make a key for a member."""
        tenant, key = self.world.tenants[name], f"{name}'s key {len(self.own) + 1}"
        made = self._must(tenant, "POST", f"/v1/members/{{{name}}}/keys", {"name": "own"}).json()
        self.ids[key], self.own[key] = made["id"], Api(made["key"])
        self.world.keys[key] = name

    def revoke_key(self, key: str) -> None:
        """Revoke a key."""
        tenant = self.world.tenants[key.partition("'")[0]]
        self._must(tenant, "DELETE", f"/v1/keys/{{{key}}}")
        self.world.keys.pop(key, None)

    def make_group(self, tenant: str, name: str) -> None:
        """Add a group."""
        made = self._must(tenant, "POST", "/v1/groups", {"external_id": name, "name": name})
        self.ids[name] = made.json()["id"]
        self.world.tenants[name] = tenant
        self.world.inside[name] = set()

    def put_in(self, group: str, name: str) -> None:
        """Put a member or a group into a group; of another tenant, or around in a circle, is refused."""
        world = self.world
        circle = name in world.inside and (name == group or name in world.groups_of(group))
        may = world.tenants[group] == world.tenants[name] and not circle
        if self._sent(world.tenants[group], "PUT", self._place(group, name), may=may):
            world.inside[group].add(name)

    def take_out(self, group: str, name: str) -> None:
        """Take a member or a group out of a group."""
        may = self.world.tenants[group] == self.world.tenants[name]
        if self._sent(self.world.tenants[group], "DELETE", self._place(group, name), may=may):
            self.world.inside[group].discard(name)

    # Deeds about collections and documents

    def make_collection(self, tenant: str, name: str, grants: Grants) -> None:
        """Add a collection."""
        may = self._all_known(tenant, grants)
        body = {"name": name, "grants": self._shown(grants)}
        if made := self._sent(tenant, "POST", "/v1/collections", body, may=may):
            self.ids[name] = made.json()["id"]
            self.world.collections[name] = (tenant, grants)

    def set_collection(self, collection: str, grants: Grants, *, by: str | None = None) -> None:
        """Replace a collection's grants, as a member or as the tenant's service."""
        tenant, _ = self.world.collections[collection]
        may = self._all_known(tenant, grants)
        if by is not None:
            # An administrator keeps every collection of its tenant.
            tenant = self.world.tenants[by]
            keeper = by in self.world.administrators - self.world.suspended
            same = tenant == self.world.collections[collection][0]
            may &= same and (keeper or self.world.role_in(by, collection) >= OWNER)
        path, body = f"/v1/collections/{{{collection}}}/grants", {"grants": self._shown(grants)}
        if self._sent(self._who(by, tenant), "PUT", path, body, may=may):
            self.world.collections[collection] = (self.world.collections[collection][0], grants)

    def upload(
        self,
        name: str,
        collection: str,
        *,
        by: str,
        own: Grants | None = None,
        about: frozenset[str] = frozenset(),
    ) -> None:
        """Upload a document, under an Idempotency-Key; the workers come later."""
        tenant = self.world.tenants[by]
        may = self.world.role_in(by, collection) >= EDITOR and self._all_known(tenant, about)
        may &= own is None or self._keeps(by, own, EDITOR)
        body = {
            "collection": f"{{{collection}}}",
            "title": f"Title-{name}",
            "text": text_of(name, 1),
            "grants": None if own is None else self._shown(own),
            "subjects": [{"type": "member", "value": f"{{{m}}}"} for m in sorted(about)],
        }
        key = uuid4().hex
        if made := self._sent(
            self._who(by, tenant), "POST", "/v1/documents", body, may=may, key=key
        ):
            self.ids[name] = made.json()["id"]
            self.world.documents[name] = Document(tenant, collection, own, about)
            self.uploads.append((by, body, key, name))

    def place(
        self,
        name: str,
        collection: str,
        *,
        by: str,
        own: Grants | None = None,
        about: frozenset[str] = frozenset(),
    ) -> None:
        """Have a document from the start, found at once; without the API, for cheapness."""
        tenant = self.world.tenants[by]
        upload = Upload(
            title=f"Title-{name}",
            file_name="text.txt",
            media_type="text/plain",
            chunks=[text_of(name, 1).encode()],
            subjects=tuple(SubjectRef("member", str(self.uuid(m))) for m in about),
            created_by_id=self.uuid(by),
        )
        with self.in_tenant(tenant):
            made = upload_document(
                clearance=clearance_for(member_id=self.uuid(by)),
                collection_id=self.uuid(collection),
                upload=upload,
                grants=None if own is None else self.specs(own),
            )
            ingest_newest(self.tenant_ids[tenant])
        self.ids[name] = public_id("document", made)
        self.world.documents[name] = Document(tenant, collection, own, about, found=1)
        self.script.append(f"given {name} in {collection} by {by}, grants {own}, about {[*about]}")

    def repeat_upload(self, place: int) -> None:
        """Send an upload again under its Idempotency-Key: nothing is made, what was made is shown."""
        by, body, key, name = self.uploads[place]
        may = self.world.may_see(by, name)
        caller = self._who(by, self.world.tenants[by])
        if again := self._sent(caller, "POST", "/v1/documents", body, may=may, key=key):
            self.refuse_more({again.json()["id"]}, {self.ids[name]}, f"{by}'s repeated upload")

    def put_content(self, document: str, *, by: str) -> None:
        """Send a new version; the workers come later."""
        one = self.world.documents[document]
        may = self.world.role_on(by, document) >= EDITOR
        body = {"text": text_of(document, one.latest + 1)}
        path = f"/v1/documents/{{{document}}}/content"
        if self._sent(self._who(by), "PUT", path, body, may=may):
            one.latest += 1

    def share(self, document: str, grants: Grants | None, *, by: str) -> None:
        """Give a document grants of its own, or with None its collection's again."""
        one = self.world.documents[document]
        may = self.world.role_on(by, document) >= OWNER
        if grants is None:
            may = may and self.world.role_in(by, one.collection) >= READER
        else:
            may = may and self._keeps(by, grants, READER)
        body = {"grants": None if grants is None else self._shown(grants)}
        path = f"/v1/documents/{{{document}}}/grants"
        if self._sent(self._who(by), "PUT", path, body, may=may):
            one.own = grants

    def delete(self, document: str, *, by: str) -> None:
        """Delete a document."""
        may = self.world.role_on(by, document) >= EDITOR
        if self._sent(self._who(by), "DELETE", f"/v1/documents/{{{document}}}", may=may):
            self.world.documents[document].hidden = True

    def erase_document(self, document: str) -> None:
        """Have a document that is still there erased, as the tenant's service."""
        one = self.world.documents[document]
        body = {"documents": [f"{{{document}}}"], "reason": "asked to"}
        self._must(one.tenant, "POST", "/v1/erasures", body)
        one.hidden = True

    def erase_person(self, name: str) -> None:
        """Have a member erased: shut out, and every document about it hidden."""
        subject = {"type": "member", "value": f"{{{name}}}"}
        tenant = self.world.tenants[name]
        self._must(tenant, "POST", "/v1/erasures", {"subject": subject, "reason": "asked to"})
        self.world.suspended.add(name)
        self.world.erased.add(name)
        self.world.keys = {k: m for k, m in self.world.keys.items() if m != name}
        for one in self.world.documents.values():
            one.hidden |= name in one.about

    def work(self, tenant: str, *, destroy: bool = True) -> None:
        """Do what waits for the workers, with or without what waits to be destroyed."""
        self.script.append(f"the workers of {tenant} ingest{' and destroy' if destroy else ''}")
        do_what_waits(self.tenant_ids[tenant], destroy=destroy)
        for one in self.world.documents.values():
            if one.tenant == tenant and not one.hidden:
                one.found = one.latest

    # What the doors use

    def caller(self, name: str) -> Api:
        """Return the way to call as one of the script's callers."""
        tenant, _, member = name.partition(" for ")
        if name in self.own:
            return self.own[name]
        return self.services[tenant].acting_for(self.ids[member] if member else None)

    def name_of(self, public: str) -> str:
        """Return the name of an id; of one that the model does not know, the id."""
        return next((name for name, id in self.ids.items() if id == public), public)

    def uuid(self, name: str) -> UUID:
        """Return a name's id as the database has it."""
        kind = {"mem": "member", "grp": "group", "col": "collection", "doc": "document"}
        found = parse_id(kind[self.ids[name][:3]], self.ids[name])
        assert found is not None
        return found

    def principal(self, name: str) -> PrincipalRef:
        """Return a name as a grant has it."""
        if name == EVERYBODY:
            return PrincipalRef()
        if name in self.world.inside:
            return PrincipalRef(group_id=self.uuid(name))
        return PrincipalRef(member_id=self.uuid(name))

    def specs(self, grants: Grants) -> list[GrantSpec]:
        """Return grants as Ambit's services take them."""
        return [GrantSpec(self.principal(n), ROLES[r]) for n, r in grants.items()]

    def compare(self, who: str, door: str, seen: set[Any], may: set[Any]) -> None:
        """Raise Leak or FalseDenial where a door shows other than the model."""
        self.refuse_more(seen, may, f"{who} by {door}")
        if may - seen:
            words = f"{who} by {door} is denied {sorted(may - seen)}"
            raise FalseDenial(self._told(words))

    def refuse_more(self, seen: set[Any], may: set[Any], who: str) -> None:
        """Raise Leak where more is seen than may be."""
        if seen - may:
            raise Leak(self._told(f"{who} sees {sorted(seen - may)}"))

    def in_tenant(self, tenant: str) -> Any:
        """Open a tenant's scope."""
        return as_service(self.tenant_ids[tenant])

    def snapshot(self) -> World:
        """Return the model as it is now."""
        return deepcopy(self.world)

    def _told(self, words: str) -> str:
        self.over = True
        lines = [f"{n:3}. {line}" for n, line in enumerate(self.script, start=1)]
        return "\n".join([words, "after:", *lines])

    def _must(self, tenant: str, method: str, path: str, body: Any = None) -> Any:
        return self._sent(tenant, method, path, body, may=True)

    def _sent(
        self, caller: str, method: str, path: str, body: Any = None, *, may: bool, key: str = ""
    ) -> Any:
        """Send a call; return the answer, None where it was refused as it must be."""
        headers = {"Idempotency-Key": key} if key else {}
        answer = self.caller(caller).call(
            method, path.format_map(self.ids), _filled(body, self.ids), headers=headers
        )
        said = "" if body is None else json.dumps(body, ensure_ascii=False)
        self.script.append(f"{method} {path} {said} as {caller}: {answer.status_code}")
        let_in = answer.status_code < 400
        if answer.status_code >= 500 or may > let_in:
            raise FalseDenial(self._told(f"the last call is refused: {answer.content!r}"))
        if let_in > may:
            raise Leak(self._told("the last call is let in"))
        return answer if let_in else None

    def _who(self, member: str | None, tenant: str = "") -> str:
        """Return a member's way to act: its tenant's service, on its behalf."""
        if member is None:
            return tenant
        return f"{self.world.tenants[member]} for {member}"

    def _place(self, group: str, name: str) -> str:
        kind = "groups" if name in self.world.inside else "members"
        return f"/v1/groups/{{{group}}}/{kind}/{{{name}}}"

    def _shown(self, grants: Grants) -> list[dict[str, str]]:
        return [{"principal": self._principal(n), "role": ROLES[r]} for n, r in grants.items()]

    def _principal(self, name: str) -> str:
        if name == EVERYBODY:
            return "tenant"
        return f"{'group' if name in self.world.inside else 'member'}:{{{name}}}"

    def _all_known(self, tenant: str, names: Any) -> bool:
        return all(n == EVERYBODY or self.world.tenants[n] == tenant for n in names)

    def _keeps(self, member: str, grants: Grants, needed: int) -> bool:
        tenant = self.world.tenants[member]
        known = self._all_known(tenant, grants)
        return known and self.world.role(member, tenant, grants) >= needed

    def _found(
        self,
        tenant: str,
        members: Sequence[str],
        groups: Sequence[str],
        collection: str,
        grants: Grants,
    ) -> None:
        """Make a tenant with its people, and a collection of a name that both tenants use."""
        with acting_as(Actor("operator", None)):
            made, key = services.create_tenant(
                name=tenant, slug=f"t{uuid4().hex[:16]}", make_keys=create_tenant_keys
            )
        self.tenant_ids[tenant], self.services[tenant] = made.pk, Api(key.text)
        with as_service(made.pk, key.id):
            for name in members:
                self._settle(tenant, name)
            for name in groups:
                group = services.create_group(external_id=name, name=name)
                self.ids[name] = public_id("group", group.pk)
                self.world.tenants[name] = tenant
                self.world.inside[name] = set()
            shelf = create_collection(name="shelf", grants=self.specs(grants))
            self.ids[collection] = public_id("collection", shelf)
            self.world.collections[collection] = (tenant, grants)
        self.script.append(f"given {tenant}: {[*members, *groups]}, {collection} with {grants}")

    def _settle(self, tenant: str, name: str) -> None:
        role = "admin" if name == "adam" else "member"
        member = services.create_member(
            external_id=name, email=f"{name}@example.test", name=name, role=role
        )
        key = services.create_member_key(
            member_id=member.pk, name="own", scopes=services.MEMBER_SCOPES
        )
        self.ids[name] = public_id("member", member.pk)
        self.world.tenants[name] = tenant
        if role == "admin":
            self.world.administrators.add(name)
        own = f"{name}'s key 0"
        self.ids[own], self.own[own] = public_id("key", key.id), Api(key.text)
        self.world.keys[own] = name


def _filled(body: Any, ids: dict[str, str]) -> Any:
    if isinstance(body, str):
        return body.format_map(ids)
    if isinstance(body, dict):
        return {name: _filled(value, ids) for name, value in body.items()}
    return [_filled(value, ids) for value in body] if isinstance(body, list) else body
