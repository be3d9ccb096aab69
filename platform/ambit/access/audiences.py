"""Interned audiences: one for each distinct set of readers that documents' own grants name.

True at every commit:

1. A document with grants of its own is in the audience whose principals are those of its grants.
2. No two audiences of a tenant have the same digest.
3. An interned audience has a document in it.
4. An interned audience gains principals and never loses one, but for members and groups that are gone. Who
   is taken off a document stays behind in the audience that the document leaves, so that a clearance taken
   before finds nothing of it from the next statement on.

Who changes what a document's readers are waits for these until commit, in this order:

- the documents, by id. While one is locked, its audience's digest stays: only the session that changes an
  audience's one document changes its digest;
- the digests, sorted: of the audiences left and of the one wanted, which may not exist yet. Who holds a digest
  is alone in making, changing and deleting the audience that has it;
- the audiences, by id: FOR UPDATE, before looking which documents are in them. It waits for uploads, which
  hold an audience they found FOR KEY SHARE.

An upload holds one audience or one digest, and waits for no more. A batch of uploads may hold several, in the
order of its documents: where two wait for each other, Postgres ends one, which is told to repeat its request.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from uuid import UUID, uuid5

from django.db import connection

from ambit.access.models import Audience, AudiencePrincipal
from ambit.access.types import GrantSpec, PrincipalRef
from ambit.corpus import services as corpus
from ambit.corpus.queries import some_documents_in
from tenants.models import Group, Member
from tenants.scope import current_tenant_id


class UnknownPrincipal(LookupError):
    """A grant names a member or group that this tenant does not have; nothing was changed."""

    def __init__(self, principals: Sequence[PrincipalRef]) -> None:
        super().__init__(f"{len(principals)} unknown principals")
        self.principals = tuple(principals)


class DuplicatePrincipal(ValueError):
    """A list of grants names the same principal twice; nothing was changed."""


def audience_for(*, grants: Sequence[GrantSpec]) -> UUID:
    """Return the audience of an upload's own grants, made when there is none, and hold it until commit.

    The caller puts a document into it in the same transaction. Raises UnknownPrincipal.
    """
    check_principals(grants)
    digest = _digest(grants)
    found = _found(digest)
    if found is None:
        _reserve([digest])
        found = _found(digest) or _intern(digest, grants)
    return found


def audience_after(*, document_id: UUID, audience_id: UUID, grants: Sequence[GrantSpec]) -> UUID:
    """Return the audience for a locked document's new grants: one that exists, its own edited, or a new one.

    Its own is edited where the document is alone in it and nobody is taken away. Raises UnknownPrincipal.
    """
    check_principals(grants)
    digest = _digest(grants)
    _reserve([digest, *_digests_of([audience_id])])
    wanted = Audience.objects.filter(digest=digest).first()
    if wanted is not None:
        return wanted.pk
    before = _principals_of(audience_id)
    nobody_goes = before <= {g.principal for g in grants}
    if nobody_goes and _is_its_own(audience_id, document_id=document_id):
        Audience.objects.filter(pk=audience_id).update(digest=digest)
        write_readers(audience_id, [g for g in grants if g.principal not in before])
        return audience_id
    return _intern(digest, grants)


def collect_audiences(*, audience_ids: Iterable[UUID]) -> None:
    """Delete those interned audiences that no document is in any more; the caller moved one out of each."""
    ids = list(audience_ids)
    _reserve(_digests_of(ids))
    unused = [a for a in _locked(ids) if not some_documents_in(audience_id=a)]
    Audience.objects.filter(pk__in=unused).delete()


def retire_documents(*, document_ids: Sequence[UUID]) -> None:
    """Put destroyed documents that had grants of their own where nobody reads, and delete their audiences."""
    left = corpus.lock_own_audiences(document_ids=document_ids)
    if left:
        # Not interned, so that no document is shared by an edit of it; the tenant's own.
        nobody, _ = Audience.objects.get_or_create(id=uuid5(current_tenant_id(), "nobody"))
        corpus.move_all(document_ids=document_ids, audience_id=nobody.pk)
        collect_audiences(audience_ids=left)


def check_principals(grants: Sequence[GrantSpec]) -> None:
    """Raise DuplicatePrincipal, UnknownPrincipal."""
    principals = [g.principal for g in grants]
    if len(set(principals)) != len(principals):
        raise DuplicatePrincipal("a principal is named twice")
    members = {p.member_id for p in principals if p.member_id}
    groups = {p.group_id for p in principals if p.group_id}
    found = set(Member.objects.filter(pk__in=members).values_list("pk", flat=True))
    found |= set(Group.objects.filter(pk__in=groups).values_list("pk", flat=True))
    unknown = [p for p in principals if (p.member_id or p.group_id or None) not in {*found, None}]
    if unknown:
        raise UnknownPrincipal(unknown)


def write_readers(audience_id: UUID, grants: Sequence[GrantSpec]) -> None:
    """Add the principals of grants to an audience that has none of them."""
    AudiencePrincipal.objects.bulk_create(
        AudiencePrincipal(
            audience_id=audience_id,
            member_id=principal.member_id,
            group_id=principal.group_id,
        )
        for principal in sorted({g.principal for g in grants}, key=_sort_key)
    )


def _found(digest: str) -> UUID | None:
    """Return the audience of a digest and keep it from being changed or deleted until commit.

    Waits for who changes it, and then finds it no more.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM access_audience WHERE tenant_id = %s AND digest = %s FOR KEY SHARE",
            [current_tenant_id(), digest],
        )
        row: tuple[UUID] | None = cursor.fetchone()
    return row[0] if row else None


def _intern(digest: str, grants: Sequence[GrantSpec]) -> UUID:
    audience = Audience.objects.create(digest=digest)
    write_readers(audience.pk, grants)
    return audience.pk


def _is_its_own(audience_id: UUID, *, document_id: UUID) -> bool:
    """Say whether an audience is interned and a document alone in it; nobody can join until commit."""
    return bool(_locked([audience_id])) and some_documents_in(audience_id=audience_id) == [
        document_id
    ]


def _locked(audience_ids: Sequence[UUID]) -> list[UUID]:
    """Return those that are interned, locked: what is looked up after this sees every upload into them."""
    interned = Audience.objects.filter(pk__in=audience_ids, digest__isnull=False)
    return list(interned.select_for_update().order_by("pk").values_list("pk", flat=True))


def _principals_of(audience_id: UUID) -> set[PrincipalRef]:
    rows = AudiencePrincipal.objects.filter(audience_id=audience_id)
    return {PrincipalRef(*row) for row in rows.values_list("member_id", "group_id")}


def _digests_of(audience_ids: Sequence[UUID]) -> list[str]:
    rows = Audience.objects.filter(pk__in=audience_ids).values_list("digest", flat=True)
    return [digest for digest in rows if digest is not None]


def _reserve(digests: Sequence[str]) -> None:
    """Wait until nobody else changes the audiences of these digests, and keep others out until commit."""
    tenant_id = current_tenant_id()
    with connection.cursor() as cursor:
        for digest in sorted(set(digests)):
            cursor.execute(
                "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))",
                [f"ambit.audience.{tenant_id}.{digest}"],
            )


def _digest(grants: Sequence[GrantSpec]) -> str:
    readers = sorted(_sort_key(g.principal) for g in grants)
    return hashlib.sha256("|".join(readers).encode()).hexdigest()


def _sort_key(principal: PrincipalRef) -> str:
    if principal.member_id:
        return f"member:{principal.member_id}"
    return f"group:{principal.group_id}" if principal.group_id else "tenant"
