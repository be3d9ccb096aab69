"""The independent truth: who may see what, by plain closure over sets; it knows nothing of Ambit's code."""

from __future__ import annotations

from dataclasses import dataclass, field

READER, EDITOR, OWNER = 1, 2, 3
EVERYBODY = "everybody"  # of the tenant that the object is in
Grants = dict[str, int]  # a member's or group's name, or EVERYBODY, and its role


@dataclass
class Document:
    """A document; own None: its collection's grants apply."""

    tenant: str
    collection: str
    own: Grants | None
    about: frozenset[str] = frozenset()
    latest: int = 1
    found: int = 0  # the version that search finds; 0: none yet
    hidden: bool = False  # deleted or erased


@dataclass
class World:
    """All tenants; every name is one thing's alone."""

    tenants: dict[str, str] = field(default_factory=dict)  # whose a member or group is
    administrators: set[str] = field(default_factory=set)
    suspended: set[str] = field(default_factory=set)
    erased: set[str] = field(default_factory=set)
    keys: dict[str, str] = field(default_factory=dict)  # a valid key and its member
    inside: dict[str, set[str]] = field(default_factory=dict)  # a group's members and groups
    collections: dict[str, tuple[str, Grants]] = field(default_factory=dict)
    documents: dict[str, Document] = field(default_factory=dict)

    def groups_of(self, name: str) -> set[str]:
        """Return the groups that a member or group is in, at any depth."""
        found: set[str] = set()
        while new := {g for g, has in self.inside.items() if has & {name, *found}} - found:
            found |= new
        return found

    def role(self, member: str, tenant: str, grants: Grants) -> int:
        """Return the highest role that grants in a tenant give a member."""
        if member in self.suspended or self.tenants[member] != tenant:
            return 0
        names = {member, EVERYBODY, *self.groups_of(member)}
        return max((role for name, role in grants.items() if name in names), default=0)

    def role_in(self, member: str, collection: str) -> int:
        """Return a member's role on a collection."""
        return self.role(member, *self.collections[collection])

    def role_on(self, member: str, document: str) -> int:
        """Return a member's role on a document."""
        one = self.documents[document]
        if one.hidden:
            return 0
        if one.own is None:
            return self.role_in(member, one.collection)
        return self.role(member, one.tenant, one.own)

    def may_see(self, member: str, document: str) -> bool:
        """Say whether a member may see a document."""
        return self.role_on(member, document) >= READER

    def sight(self, member: str) -> set[str]:
        """Return the documents that a member may see."""
        return {name for name in self.documents if self.may_see(member, name)}

    def finds(self, member: str) -> set[tuple[str, int]]:
        """Return the documents that a member's search finds, with the version."""
        return {(d, v) for d in self.sight(member) if (v := self.documents[d].found)}

    def members(self) -> list[str]:
        """Return every member."""
        return sorted(set(self.tenants) - set(self.inside))
