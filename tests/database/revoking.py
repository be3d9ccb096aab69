"""A tenant in which everything that can be taken from somebody is there, and every way to take it or to give more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone

from ambit.access.clearance import clearance_for
from ambit.access.documents import delete_document, replace_content, upload_document, write_grants
from ambit.access.holdings import AUDIENCE_PLACES
from ambit.access.models import AudiencePrincipal, Collection
from ambit.access.services import set_collection_grants
from ambit.adapters.services import retire_adapter
from ambit.corpus.models import Document, DocumentKey
from ambit.corpus.queries import get_document_as_custodian
from ambit.corpus.types import Clearance, SubjectRef, Upload
from ambit.erasure.restrictions import place_hold, place_restriction
from ambit.erasure.rows import PARTS
from ambit.erasure.services import request_erasure
from tenants import services as directory
from tenants.holding import Scope
from tenants.holdings import MEMBERS
from tenants.models import Group
from tenants.queries import get_tenant
from tenants.scope import audience_scope
from tests.database.adapting import make_live, register
from tests.database.erasures import keep_from_workers
from tests.database.office import Office, make_office
from tests.database.worlds import (
    Passage,
    grant,
    ingest,
    make_collection,
    make_group,
    unit,
    working,
)


@dataclass(frozen=True, slots=True)
class Scene:
    """An office whose Bob reads its collection through two groups, and two documents with grants of their own."""

    office: Office
    inner: UUID
    outer: UUID
    of_collection: UUID
    own: UUID
    shared: UUID
    empty_collection: UUID

    @property
    def tenant_id(self) -> UUID:
        return self.office.tenant_id

    def epoch(self) -> int:
        """Return the tenant's epoch as it is committed."""
        with working(self.tenant_id):
            return get_tenant().salt_epoch

    def raised_by(self, do: Callable[[Scene], object]) -> int:
        """Do something in a transaction of its own; return by how much it raised the epoch."""
        before = self.epoch()
        with working(self.tenant_id, custody=True):
            do(self)
        return self.epoch() - before

    def alices(self) -> Clearance:
        """Return what Alice sees, in scope."""
        return clearance_for(member_id=self.office.alice)

    def share(self, document_id: UUID, *members: UUID) -> None:
        """Give a document grants of its own, in scope."""
        readers = [grant("reader", member=one) for one in members]
        write_grants(
            document=get_document_as_custodian(document_id=document_id),
            grants=[grant("owner", member=self.office.alice), *readers],
        )

    def grant_collection(self, *members: UUID) -> None:
        """Replace the collection's grants, in scope; the outer group stays a reader."""
        readers = [grant("reader", member=one) for one in members]
        owners = [grant("owner", member=self.office.alice), grant("reader", group=self.outer)]
        set_collection_grants(collection_id=self.office.collection_id, grants=[*owners, *readers])

    def put_back(self, document_id: UUID) -> None:
        """Give a document its collection's grants, in scope."""
        write_grants(document=get_document_as_custodian(document_id=document_id), grants=None)

    def write_readers_anew(self) -> None:
        """Delete the collection's readers and write the same again, in scope."""
        audience_id = Collection.objects.get(pk=self.office.collection_id).audience_id
        found = AudiencePrincipal.objects.filter(audience_id=audience_id)
        readers = list(found.values("audience_id", "member_id", "group_id"))
        found.delete()
        AudiencePrincipal.objects.bulk_create(AudiencePrincipal(**one) for one in readers)

    def receive(self, document_id: UUID) -> None:
        """Receive a new version, in scope."""
        upload = Upload("A document", "document.txt", "text/plain", [b"lantern"])
        replace_content(clearance=self.alices(), document_id=document_id, upload=upload)
        keep_from_workers()

    def replace(self, document_id: UUID) -> None:
        """Receive a new version and make it what is found, in scope."""
        upload = Upload("A document", "document.txt", "text/plain", [b"lantern"])
        replace_content(clearance=self.alices(), document_id=document_id, upload=upload)
        ingest(tenant_id=self.tenant_id, passages=[Passage("lantern", unit(1))])

    def upload(self) -> UUID:
        """Upload a document, in scope."""
        return upload_document(
            clearance=self.alices(),
            collection_id=self.office.collection_id,
            upload=Upload("A document", "document.txt", "text/plain", [b"harbor"]),
            grants=None,
        )

    def publish(self) -> None:
        """Upload a document and make it what is found, in scope."""
        self.upload()
        ingest(tenant_id=self.tenant_id, passages=[Passage("harbor", unit(0))])

    def keys(self, document_id: UUID) -> QuerySet[DocumentKey]:
        """Return a document's key."""
        return DocumentKey.objects.filter(document_id=document_id)

    def destroy_document(self, document_id: UUID) -> None:
        """Delete a document's rows, as an off-boarding does, in scope."""
        audience = Document.objects.get(pk=document_id).audience_id
        with audience_scope([audience]), connection.cursor() as cursor:
            for table in PARTS:
                cursor.execute(f"DELETE FROM {table} WHERE document_id = %s", [document_id])  # noqa: S608 - fixed
            cursor.execute("DELETE FROM corpus_document WHERE id = %s", [document_id])


def make_scene() -> Scene:
    """Return a fresh tenant."""
    office = make_office()
    with working(office.tenant_id):
        inner = make_group(members=[office.bob])
        outer = make_group(groups=[inner])
        empty = make_collection(grant("owner", member=office.alice))
    text = Passage("harbor", unit(0))
    alice = grant("owner", member=office.alice)
    scene = Scene(
        office,
        inner,
        outer,
        of_collection=office.publish(text),
        own=office.publish(text, grants=[alice, grant("reader", member=office.bob)]),
        shared=office.publish(text, grants=[alice]),
        empty_collection=empty,
    )
    with working(office.tenant_id):
        scene.grant_collection(office.bob)
    return scene


def _hold(scene: Scene) -> None:
    place_hold(
        subject=None,
        document_ids=[scene.own],
        basis="e",
        review_at=timezone.now() + timedelta(days=1),
        reason="a claim",
    )


def _erase(scene: Scene, *, subject: bool) -> None:
    request_erasure(
        subject=SubjectRef("member", str(scene.office.bob)) if subject else None,
        document_ids=None if subject else [scene.own],
        reason="asked to",
        dry_run=False,
    )
    keep_from_workers()


def _delete(scene: Scene) -> None:
    delete_document(clearance=scene.alices(), document_id=scene.own)
    keep_from_workers()


def _promote(scene: Scene) -> UUID:
    adapter_id = make_live(scene.tenant_id, scene.office.alice, [scene.own])
    keep_from_workers()
    return adapter_id


def _drop_candidate(scene: Scene) -> None:
    retire_adapter(adapter_id=register(scene.tenant_id, scene.office.alice, [scene.own]))
    keep_from_workers()


def _retire(scene: Scene) -> None:
    retire_adapter(adapter_id=_promote(scene))
    keep_from_workers()


def _a_key() -> UUID:
    """Return the id of a service's key that somebody may be asking with."""
    return directory.create_service_key(name="asking", scopes=["answers"]).id


Deed = Callable[[Scene], object]
# What takes something from somebody, as the product does it.
REVOCATIONS: dict[str, Deed] = {
    "a member is taken out of a group": lambda s: directory.remove_from_group(
        group_id=s.inner, member_id=s.office.bob
    ),
    "a group is taken out of a group": lambda s: directory.unnest_group(
        parent_id=s.outer, child_id=s.inner
    ),
    "a key is revoked": lambda s: directory.revoke_key(key_id=_a_key()),
    "a member is suspended": lambda s: directory.set_member_suspended(
        member_id=s.office.bob, suspended=True
    ),
    "a member is destroyed": lambda s: MEMBERS.destroy(
        Scope(s.tenant_id, member_ids=(s.office.bob,))
    ),
    "a member's places among readers are destroyed": lambda s: AUDIENCE_PLACES.destroy(
        Scope(s.tenant_id, member_ids=(s.office.bob,))
    ),
    "a reader is taken from a collection": lambda s: s.grant_collection(),
    "a reader is taken from a document": lambda s: s.share(s.own),
    "a reader is taken from a document, another added": lambda s: s.share(s.own, s.office.carol),
    "a document gets its collection's grants again": lambda s: s.put_back(s.own),
    "a document gets grants of its own": lambda s: s.share(s.of_collection, s.office.bob),
    "a document is deleted": _delete,
    "a document is under a hold": _hold,
    "a document is restricted": lambda s: place_restriction(
        subject=None, document_ids=[s.own], reason="disputed"
    ),
    "a document is erased": lambda s: _erase(s, subject=False),
    "a member is erased": lambda s: _erase(s, subject=True),
    "a new version replaces what is found": lambda s: s.replace(s.own),
    "a document's rows are deleted": lambda s: s.destroy_document(s.own),
    "an adapter is retired": _retire,
}
# What gives more, or takes nothing from anybody.
OTHERS: dict[str, Deed] = {
    "a member is put into a group": lambda s: directory.add_to_group(
        group_id=s.inner, member_id=s.office.carol
    ),
    "a group is put into a group": lambda s: directory.nest_group(
        parent_id=s.outer, child_id=make_group(members=[s.office.carol])
    ),
    "a member is let back": lambda s: directory.set_member_suspended(
        member_id=s.office.bob, suspended=False
    ),
    "a role changes": lambda s: directory.set_member_role(member_id=s.office.bob, role="admin"),
    "a collection gets a reader": lambda s: s.grant_collection(s.office.bob, s.office.carol),
    "a collection gets the same grants": lambda s: s.grant_collection(s.office.bob),
    "a collection's readers are written anew": lambda s: s.write_readers_anew(),
    "a document gets a reader": lambda s: s.share(s.own, s.office.bob, s.office.carol),
    # It moves to the audience that the other has, and its own is deleted.
    "a document gets another's readers": lambda s: s.share(s.shared, s.office.bob),
    "a document gets the same grants": lambda s: s.share(s.own, s.office.bob),
    "a document is uploaded": lambda s: s.upload(),
    "a first version is found": lambda s: s.publish(),
    "a new version is received": lambda s: s.receive(s.own),
    "an adapter goes live": _promote,
    "a candidate is retired": _drop_candidate,
    "a collection is made": lambda s: make_collection(grant("owner", member=s.office.alice)),
    "a key is made": lambda s: directory.create_member_key(
        member_id=s.office.bob, name="own", scopes=["search"]
    ),
}
# Statements that one trigger alone sees; what has to be done before it in a transaction of its own.
SEEN_BY: dict[str, tuple[Deed, Deed | None]] = {
    "tenants_groupmember.revokes": (REVOCATIONS["a member is taken out of a group"], None),
    "tenants_groupchild.revokes": (REVOCATIONS["a group is taken out of a group"], None),
    "tenants_group.revokes": (lambda s: Group.objects.filter(pk=s.outer).delete(), None),
    "tenants_member.revokes": (REVOCATIONS["a member is destroyed"], None),
    "tenants_apikey.revokes": (REVOCATIONS["a key is revoked"], None),
    "adapters_adapter.revokes": (REVOCATIONS["an adapter is retired"], None),
    "tenants_member.revokes_suspended": (REVOCATIONS["a member is suspended"], None),
    "access_audienceprincipal.revokes": (REVOCATIONS["a reader is taken from a collection"], None),
    "access_collection.revokes": (
        lambda s: Collection.objects.filter(pk=s.empty_collection).delete(),
        None,
    ),
    "corpus_document.revokes": (
        lambda s: s.destroy_document(s.own),
        lambda s: s.keys(s.own).update(disabled_at=timezone.now()),
    ),
    "corpus_document.revokes_hidden": (
        REVOCATIONS["a document is deleted"],
        lambda s: s.keys(s.own).update(disabled_at=timezone.now()),
    ),
    "corpus_document.revokes_audience": (REVOCATIONS["a reader is taken from a document"], None),
    "corpus_document.revokes_version": (
        REVOCATIONS["a new version replaces what is found"],
        None,
    ),
    "corpus_documentkey.revokes": (lambda s: s.keys(s.own).delete(), None),
    "corpus_documentkey.revokes_disabled": (
        lambda s: s.keys(s.own).update(disabled_at=timezone.now()),
        None,
    ),
}
