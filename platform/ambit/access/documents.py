"""Permission-checked writes of documents: each checks the member's role, then makes one corpus call."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from ambit.access import audiences, queries, services
from ambit.access.types import ROLE_ORDER, GrantSpec, PrincipalRef, RoleName
from ambit.corpus import services as corpus
from ambit.corpus.queries import DocumentNotFound, get_document, get_document_as_custodian
from ambit.corpus.types import Clearance, DocumentView, Upload
from tenants.audit import record


class NotAllowed(PermissionError):
    """The member sees the object but has too low a role on it; carries the role that is needed."""

    def __init__(self, needed: RoleName) -> None:
        super().__init__(needed)
        self.needed = needed


class GrantsExcludeCaller(ValueError):
    """The grants would leave the member who gives them without the document; nothing was done.

    It keeps a member's writes inside what it sees: whether an external_id is taken among documents
    it may not see is no answer to give.
    """


def upload_document(
    *,
    clearance: Clearance,
    collection_id: UUID,
    upload: Upload,
    grants: Sequence[GrantSpec] | None,
) -> UUID:
    """Store a document in a collection the member may edit; grants None means the collection's.

    Raises CollectionNotFound, NotAllowed, UnknownPrincipal, GrantsExcludeCaller, ExternalIdTaken.
    """
    audience_id = require_editor(clearance=clearance, collection_id=collection_id)
    if grants is not None:
        audience_id = audiences.audience_for(grants=grants)
        _require_share(clearance, grants, "editor")
    document_id = corpus.receive_document(
        upload=upload,
        collection_id=collection_id,
        audience_id=audience_id,
        own_grants=grants is not None,
    )
    if grants is not None:
        services.write_document_grants(document_id=document_id, grants=grants)
    return document_id


def require_editor(*, clearance: Clearance, collection_id: UUID) -> UUID:
    """Return a collection's audience to a member who may add documents; raise CollectionNotFound, NotAllowed."""
    collection = queries.get_collection(collection_id=collection_id, clearance=clearance)
    role = queries.role_on_collection(member_id=_member(clearance), collection_id=collection_id)
    _require(role, "editor")
    return collection.audience_id


def replace_content(*, clearance: Clearance, document_id: UUID, upload: Upload) -> UUID:
    """Store a new version of a document the member may edit; return the version's id."""
    _editable(clearance, document_id, "editor")
    return corpus.receive_version(document_id=document_id, upload=upload)


def retry_document(*, clearance: Clearance, document_id: UUID) -> None:
    """Try a failed document again."""
    _editable(clearance, document_id, "editor")
    corpus.retry_version(document_id=document_id)


def delete_document(*, clearance: Clearance, document_id: UUID) -> None:
    """Delete a document the member may edit."""
    _editable(clearance, document_id, "editor")
    corpus.delete_document(document_id=document_id)


def set_document_grants(
    *, clearance: Clearance, document_id: UUID, grants: Sequence[GrantSpec] | None
) -> None:
    """Give a document its own grants, or with None its collection's again; for owners.

    Raises DocumentNotFound, NotAllowed, UnknownPrincipal, GrantsExcludeCaller, ExternalIdTaken.
    """
    _editable(clearance, document_id, "owner")
    # Asked again behind whoever changes the same document: who is an owner no more must not undo that.
    corpus.lock_document(document_id=document_id)
    document = get_document_as_custodian(document_id=document_id)
    role = _role(
        _member(clearance), document_id, document.collection_id, own_grants=document.own_grants
    )
    if role is None:
        raise DocumentNotFound(document_id)
    _require(role, "owner")
    if grants is None:
        _require_collection(clearance, document.collection_id)
    else:
        _require_share(clearance, grants, "reader")
    write_grants(document=document, grants=grants)


def write_grants(*, document: DocumentView, grants: Sequence[GrantSpec] | None) -> None:
    """Make these a document's grants and have it in the audience that follows from them.

    Checks no role: callers are set_document_grants and the tenant's administrators. Raises
    DocumentNotFound, UnknownPrincipal, ExternalIdTaken; then the caller undoes what was written.
    """
    # As it is now, behind whoever changes the same document: the caller looked before waiting.
    before = corpus.lock_document(document_id=document.id)
    if grants is None:
        collection = queries.get_collection_as_custodian(collection_id=document.collection_id)
        after = collection.audience_id
    else:
        after = audiences.audience_after(document_id=document.id, audience_id=before, grants=grants)
    services.write_document_grants(document_id=document.id, grants=grants or ())
    corpus.move_to_audience(
        document_id=document.id, audience_id=after, own_grants=grants is not None
    )
    if after != before:
        audiences.collect_audiences(audience_ids=[before])
    record("document.grants_changed", object_id=document.id, document_ids=[document.id])


def set_collection_grants(
    *, clearance: Clearance, collection_id: UUID, grants: Sequence[GrantSpec]
) -> None:
    """Replace a collection's grants; for its owners."""
    queries.get_collection(collection_id=collection_id, clearance=clearance)
    role = queries.role_on_collection(member_id=_member(clearance), collection_id=collection_id)
    _require(role, "owner")
    services.set_collection_grants(collection_id=collection_id, grants=grants)
    record("collection.grants_changed", object_id=collection_id)


def require_owner(*, clearance: Clearance, document_id: UUID) -> None:
    """Refuse a member who may not share a document; raise DocumentNotFound, NotAllowed."""
    _editable(clearance, document_id, "owner")


def _require_collection(clearance: Clearance, collection_id: UUID) -> None:
    try:
        queries.get_collection(collection_id=collection_id, clearance=clearance)
    except queries.CollectionNotFound as error:
        raise GrantsExcludeCaller(collection_id) from error


def _require_share(clearance: Clearance, grants: Sequence[GrantSpec], needed: RoleName) -> None:
    """Refuse grants that leave the member less than a role."""
    member_id = _member(clearance)
    groups = queries.groups_of(member_id=member_id)
    shared = any(
        ROLE_ORDER[g.role] >= ROLE_ORDER[needed]
        and (
            g.principal == PrincipalRef()
            or g.principal.member_id == member_id
            or g.principal.group_id in groups
        )
        for g in grants
    )
    if not shared:
        raise GrantsExcludeCaller(member_id)


def _editable(clearance: Clearance, document_id: UUID, needed: RoleName) -> DocumentView:
    document = get_document(document_id=document_id, clearance=clearance)
    role = _role(
        _member(clearance), document_id, document.collection_id, own_grants=document.own_grants
    )
    _require(role, needed)
    return document


def _role(
    member_id: UUID, document_id: UUID, collection_id: UUID, *, own_grants: bool
) -> RoleName | None:
    return queries.role_on_document(
        member_id=member_id,
        document_id=document_id,
        collection_id=collection_id,
        own_grants=own_grants,
    )


def _require(role: RoleName | None, needed: RoleName) -> None:
    if ROLE_ORDER.get(role or "", 0) < ROLE_ORDER[needed]:
        raise NotAllowed(needed)


def _member(clearance: Clearance) -> UUID:
    if clearance.member_id is None:
        raise NotAllowed("editor")
    return clearance.member_id
