"""Frozen values handed from step to step of an export."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from ambit.corpus.disclosure import DisclosedDocument
from ambit.corpus.holdings import Declared
from ambit.erasure.exports import Person
from ambit.erasure.retention import DataClass
from ambit.export.types import Order


@dataclass(frozen=True, slots=True)
class Found:
    """A person, and what of their documents is to be told."""

    person: Person
    documents: tuple[DisclosedDocument, ...] = field(repr=False)
    # Whom documents declare beside the person, as keyed hashes; without those that declare nobody else.
    others: dict[UUID, frozenset[Declared]] = field(repr=False)
    # For how many days the tenant keeps each class; what is not in it until it is erased.
    kept_days: dict[DataClass, int] = field(default_factory=dict)

    @property
    def document_ids(self) -> tuple[UUID, ...]:
        """The documents' ids."""
        return tuple(one.id for one in self.documents)


@dataclass(frozen=True, slots=True)
class Original:
    """A file that goes in, and under which name."""

    path: str = field(repr=False)
    document_id: UUID
    version_id: UUID


@dataclass(frozen=True, slots=True)
class Contents:
    """All that goes into an archive: composed parts by name, and files still to be read."""

    order: Order
    found: Found
    parts: dict[str, Any] = field(repr=False)
    originals: tuple[Original, ...]
    # All that anything was taken from: an erasure of one of them takes the archive along.
    document_ids: tuple[UUID, ...]
    n_left_out: int
