"""Bugs to plant, each for the length of a block: what a history must find.

Functions of Ambit are replaced where its code looks them up; policies are changed in a database that
is the tests' own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from uuid import UUID

from django.db import connection

from ambit.access import audiences, clearance, documents
from ambit.access import services as access_services
from ambit.access.models import AudiencePrincipal, Collection
from ambit.api import authentication, contents, idempotency
from ambit.api.documents import DocumentBase
from ambit.corpus import ingest, queries
from ambit.corpus import services as corpus
from ambit.corpus.models import Document, DocumentKey
from ambit.corpus.types import Clearance
from ambit.erasure import services as erasure
from tenants import rls, services
from tenants.ids import NO_ID, parse_id
from tenants.models import Member
from tenants.queries import key_holder
from tenants.scope import tenant_scope
from tests.database.private import PrivateDatabase

Plant = Callable[[PrivateDatabase], AbstractContextManager[None]]


@dataclass(frozen=True)
class Fault:
    """A bug, in a sentence, and how to plant it."""

    name: str
    plant: Plant
    # The small world's letters that reach it; or the deeds of random histories that do.
    letters: tuple[str, ...] = ()
    deeds: frozenset[str] = frozenset()


FAULTS: list[Fault] = []


def _fault(*letters: str, deeds: tuple[str, ...] = ()) -> Callable[[Plant], Plant]:
    def add(plant: Plant) -> Plant:
        name: str = plant.__name__
        words = name.strip("_").replace("_", " ")
        FAULTS.append(Fault(words, plant, letters, frozenset(deeds)))
        return plant

    return add


@contextmanager
def _replaced(target: Any, name: str, value: Any) -> Iterator[None]:
    with patch.object(target, name, value):
        yield


@_fault("put ann in g1", "ca is read by ['g1']")
def _a_clearance_is_cached(_: PrivateDatabase) -> AbstractContextManager[None]:
    return _kept_clearances(lambda: None)


@_fault("put ann in g1", "put g1 in g2", "ca is read by ['g2']")
def _nested_groups_are_not_followed(_: PrivateDatabase) -> AbstractContextManager[None]:
    return _in_clearances(_NESTED, "FROM (SELECT * FROM tenants_groupchild WHERE false) gc")


@_fault("put ann in g2", "put g1 in g2", "ca is read by ['g1']")
def _nested_groups_are_followed_downwards_too(_: PrivateDatabase) -> AbstractContextManager[None]:
    both = """FROM (SELECT tenant_id, parent_id, child_id FROM tenants_groupchild
        UNION SELECT tenant_id, child_id, parent_id FROM tenants_groupchild) gc"""
    return _in_clearances(_NESTED, both)


@_fault("suspend ann", "ca is read by ['ann']")
def _a_suspended_member_keeps_its_clearance(_: PrivateDatabase) -> AbstractContextManager[None]:
    return _in_clearances("m.suspended_at IS NULL", "true")


@_fault("put bea in g1", "take bea out of g1", "ca is read by ['g1']")
def _removal_from_a_group_does_nothing(_: PrivateDatabase) -> AbstractContextManager[None]:
    return _replaced(services, "remove_from_group", lambda **_: None)


@_fault(deeds=("suspend_or_resume",))
def _a_suspended_member_is_let_in(_: PrivateDatabase) -> AbstractContextManager[None]:
    def find(text: str) -> Member | None:
        return Member.objects.filter(pk=parse_id("member", text) or NO_ID).first()

    return _replaced(authentication, "_find", find)


@_fault(deeds=("make_or_revoke_key",))
def _a_revoked_key_stays_valid(_: PrivateDatabase) -> AbstractContextManager[None]:
    return _replaced(authentication, "key_holder", cache(key_holder))


@_fault("ca is read by ['ann']", "delete d1")
def _what_is_deleted_stays_readable(private: PrivateDatabase) -> AbstractContextManager[None]:
    return _policies(
        private,
        {
            "corpus_document": (rls.DOCUMENT_PART, rls.DOCUMENT),
            "corpus_documentkey": (rls.DOCUMENT_PART, rls.DOCUMENT_KEY),
        },
    )


@_fault("ca is read by ['everybody']", "erase bea")
def _erasure_hides_one_document_alone(_: PrivateDatabase) -> AbstractContextManager[None]:
    def hide(*, document_ids: Any) -> int:
        return corpus.hide_documents(document_ids=sorted(document_ids)[1:])

    return _replaced(erasure, "hide_documents", hide)


@_fault("ca is read by ['ann']", "d1 is read by ['bea']")
def _an_unshared_document_keeps_its_audience(_: PrivateDatabase) -> AbstractContextManager[None]:
    real = corpus.move_to_audience

    def move(*, document_id: UUID, audience_id: UUID, own_grants: bool) -> None:
        if not own_grants:
            real(document_id=document_id, audience_id=audience_id, own_grants=own_grants)

    return _replaced(corpus, "move_to_audience", move)


@_fault("d1 is read by ['bea']", "d1 is read by those of ca")
def _a_move_to_the_collection_keeps_the_old_audience(
    _: PrivateDatabase,
) -> AbstractContextManager[None]:
    real = corpus.move_to_audience

    def move(*, document_id: UUID, audience_id: UUID, own_grants: bool) -> None:
        if own_grants:
            real(document_id=document_id, audience_id=audience_id, own_grants=own_grants)

    return _replaced(corpus, "move_to_audience", move)


@_fault("ca is read by ['ann']", "ca is read by []")
def _a_collection_keeps_the_readers_it_had(_: PrivateDatabase) -> AbstractContextManager[None]:
    real = access_services.set_collection_grants

    def replace(*, collection_id: UUID, grants: Any) -> None:
        audience_id = Collection.objects.get(pk=collection_id).audience_id
        before = list(AudiencePrincipal.objects.filter(audience_id=audience_id))
        real(collection_id=collection_id, grants=grants)
        for one in before:
            AudiencePrincipal.objects.get_or_create(
                audience_id=audience_id, member_id=one.member_id, group_id=one.group_id
            )

    return _replaced(access_services, "set_collection_grants", replace)


@_fault("d1 is read by ['bea']", "d2 is read by ['bea']", "d1 is read by ['g1']")
def _sharing_edits_the_audience_that_documents_have_in_common(
    _: PrivateDatabase,
) -> AbstractContextManager[None]:
    real = documents.write_grants

    def write(*, document: Any, grants: Any) -> None:
        if grants is None or not document.own_grants:
            real(document=document, grants=grants)
            return
        access_services.write_document_grants(document_id=document.id, grants=grants)
        AudiencePrincipal.objects.filter(audience_id=document.audience_id).delete()
        audiences.write_readers(document.audience_id, grants)

    return _replaced(documents, "write_grants", write)


@_fault("ca is read by ['ann']")
def _the_tenant_predicate_is_gone_from_one_policy(
    private: PrivateDatabase,
) -> AbstractContextManager[None]:
    changed = rls.DOCUMENT.replace(rls.TENANT, "true")
    return _policies(private, {"corpus_document": (changed, rls.DOCUMENT)})


@_fault("ca is read by ['everybody']", "delete d2", "a new version of d1")
def _a_new_version_brings_back_what_is_hidden(
    _: PrivateDatabase,
) -> AbstractContextManager[None]:
    real = ingest.open_source

    def open_source(held: Any) -> Any:
        with tenant_scope(held.tenant_id, custody=True):
            Document.objects.update(hidden_at=None)
            DocumentKey.objects.update(disabled_at=None)
        return real(held)

    return _replaced(ingest, "open_source", open_source)


@_fault(deeds=("put_in",))
def _content_is_given_without_a_check(_: PrivateDatabase) -> AbstractContextManager[None]:
    def get(*, document_id: UUID, clearance: Any) -> Any:
        return queries.get_document_as_custodian(document_id=document_id)

    def content(*, document_id: UUID, clearance: Any, kind: str) -> Any:
        audience_id = get(document_id=document_id, clearance=clearance).audience_id
        forged = type(clearance)(clearance.tenant_id, clearance.member_id, (audience_id,))
        return queries.read_content(document_id=document_id, clearance=forged, kind=kind)

    unchecked = SimpleNamespace(get_document=get, read_content=content)
    return _replaced(contents, "queries", unchecked)


@_fault(deeds=("put_in",))
def _the_list_asks_no_clearance(_: PrivateDatabase) -> AbstractContextManager[None]:
    def every(*, clearance: Any, **rest: Any) -> Any:
        return queries.list_documents_as_custodian(**rest)

    return _replaced(queries, "list_documents", every)


@_fault(deeds=("put_in",))
def _everybody_is_a_custodian(_: PrivateDatabase) -> AbstractContextManager[None]:
    return _replaced(DocumentBase, "as_custodian", lambda _, asked: asked["as"] == "custodian")


@_fault(deeds=("upload", "repeat_upload"))
def _a_repeated_request_makes_anew(_: PrivateDatabase) -> AbstractContextManager[None]:
    return _replaced(idempotency, "begin", lambda *_, **__: None)


@_fault(deeds=("delete", "put_content", "set_collection"))
def _a_reader_may_delete(_: PrivateDatabase) -> AbstractContextManager[None]:
    return _replaced(documents, "_require", lambda role, needed: None)


@_fault(deeds=("open_session", "set_collection", "suspend_or_resume"))
def _a_clearance_is_kept_for_a_transaction(_: PrivateDatabase) -> AbstractContextManager[None]:
    def begun() -> object:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid(), transaction_timestamp()")
            return cursor.fetchone()

    return _kept_clearances(begun)


_NESTED = "FROM tenants_groupchild gc"


def _kept_clearances(while_same: Callable[[], object]) -> AbstractContextManager[None]:
    """Give a member the clearance that it had before, as long as something is the same."""
    kept: dict[object, Clearance] = {}

    def make(*, member_id: UUID | None, **rest: Any) -> Clearance:
        made = Clearance(member_id=member_id, **rest)
        return kept.setdefault((while_same(), member_id), made) if member_id else made

    return _replaced(clearance, "Clearance", make)


@contextmanager
def _in_clearances(part: str, instead: str) -> Iterator[None]:
    """Change a part of the statements that ask who reads which audiences."""
    changed = 0

    def send(execute: Any, statement: Any, *rest: Any) -> Any:
        nonlocal changed
        if "access_audienceprincipal ap" in str(statement) and part in str(statement):
            statement, changed = str(statement).replace(part, instead), changed + 1
        return execute(statement, *rest)

    with connection.execute_wrapper(send):
        yield
    assert changed, "the statements have changed: plant this fault anew"


@contextmanager
def _policies(private: PrivateDatabase, changes: dict[str, tuple[str, str]]) -> Iterator[None]:
    """Change policies, each from what it is to what it was."""
    with private.superuser() as superuser:
        try:
            for table, (wrong, _) in changes.items():
                superuser.execute(f"ALTER POLICY app ON {table} USING ({wrong})".encode())
            yield
        finally:
            for table, (_, right) in changes.items():
                superuser.execute(f"ALTER POLICY app ON {table} USING ({right})".encode())
