"""What a holding is: a place where personal data is kept, which finds, destroys and looks again.

The lowest layer, so that every app can describe its own places; ambit.erasure.registry lists all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from uuid import UUID


class HoldingFailed(RuntimeError):
    """A holding could not be reached: what is in it is neither destroyed nor known to be gone."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the holding {name} could not be reached")
        self.name = name


@dataclass(frozen=True, slots=True)
class Scope:
    """What is to be destroyed, by ids alone; an empty scope covers nothing, NEVER everything."""

    tenant_id: UUID
    document_ids: tuple[UUID, ...] = ()
    version_ids: tuple[UUID, ...] = ()
    member_ids: tuple[UUID, ...] = ()
    # The API keys and accounts the members act with.
    key_ids: tuple[UUID, ...] = ()
    account_ids: tuple[UUID, ...] = ()
    answer_ids: tuple[UUID, ...] = ()
    # Archives made for the person (Art. 15 GDPR), or with one of the documents in them.
    export_ids: tuple[UUID, ...] = ()
    # The generation of model-side caches in which the scope's content can be; None: none to end.
    salt_epoch: int | None = None

    def __bool__(self) -> bool:
        """Say whether anything is covered."""
        return bool(self.document_ids or self.member_ids or self.answer_ids or self.export_ids)

    @property
    def actor_ids(self) -> tuple[UUID, ...]:
        """The ids under which the members act."""
        return (*self.member_ids, *self.key_ids, *self.account_ids)

    @property
    def object_ids(self) -> tuple[UUID, ...]:
        """Every id of something covered."""
        return (*self.document_ids, *self.version_ids, *self.answer_ids, *self.actor_ids)

    def parts(self, *, n_documents: int) -> Iterator[Scope]:
        """Yield the scope in parts of bounded work: the people with the first documents, then the rest."""
        if not self:
            return
        first, *rest = [
            self.document_ids[start : start + n_documents]
            for start in range(0, max(1, len(self.document_ids)), n_documents)
        ]
        yield Scope(
            tenant_id=self.tenant_id,
            document_ids=first,
            version_ids=self.version_ids,
            member_ids=self.member_ids,
            key_ids=self.key_ids,
            account_ids=self.account_ids,
            answer_ids=self.answer_ids,
            export_ids=self.export_ids,
            salt_epoch=self.salt_epoch,
        )
        for document_ids in rest:
            yield Scope(tenant_id=self.tenant_id, document_ids=document_ids)


@dataclass(frozen=True, slots=True)
class Holding:
    """A place where personal data is kept.

    All three functions are called in the tenant's scope, in custody. `find` and `remains` only look
    and count; `remains` goes another way than `find`, so that a fault in one is seen by the other.
    `destroy` may be repeated, and what it returns is not used: the counts of a receipt come from
    looking. Each raises HoldingFailed where the place cannot be
    reached, and NEVER touches anything the scope does not name.
    """

    name: str
    title: str
    # How, in words for the receipt.
    found_by: str
    destroyed_by: str
    verified_by: str
    find: Callable[[Scope], int]
    destroy: Callable[[Scope], object]
    remains: Callable[[Scope], int]
