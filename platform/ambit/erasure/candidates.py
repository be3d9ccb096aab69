"""Documents that may be about a person and do not declare it: offered to a person, who confirms or not.

NEVER erases or hides anything, and never returns text. A name is shared by many: by a name alone
nobody is found, only looked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from uuid import UUID

from ambit.corpus.holdings import declaring_any
from ambit.corpus.identifiers import Identifier
from ambit.corpus.mentions import count_not_looked_through, documents_mentioning
from ambit.corpus.queries import titles_of
from ambit.corpus.types import Clearance, SubjectRef
from ambit.erasure.subjects import about_person
from ambit.erasure.types import Candidate, Candidates
from tenants.audit import record
from tenants.scope import custody_scope


def find_candidates(
    *, identifiers: Sequence[Identifier], clearance: Clearance | None, limit: int
) -> Candidates:
    """Return the documents that mention any of a person's identifiers and do not declare the person.

    Those come first in which most of what identifies one person stands. A title is shown where the
    clearance reaches the document; None reaches nothing. Raises CannotBeLookedFor,
    SubjectAmbiguous.
    """
    found = documents_mentioning(identifiers)
    with custody_scope():
        for document_id in _declared(identifiers):
            found.pop(document_id, None)
        ordered = sorted(found, key=lambda one: (_rank(found[one]), one), reverse=True)
        shown = ordered[:limit]
        about_others = declaring_any(shown)
        record(
            "erasure.candidates_found",
            document_ids=shown,
            counts=Counter(one.kind for one in identifiers),
        )
    titles = titles_of(shown, clearance=clearance) if clearance else {}
    return Candidates(
        candidates=tuple(
            Candidate(
                document_id=one,
                found_by=dict(sorted(found[one].items())),
                declares_others=one in about_others,
                title=titles.get(one),
            )
            for one in shown
        ),
        n_found=len(found),
        n_not_looked_through=count_not_looked_through(),
    )


def _declared(identifiers: Sequence[Identifier]) -> set[UUID]:
    declared: set[UUID] = set()
    for one in identifiers:
        if one.kind == "email":
            declared.update(about_person(SubjectRef("email", one.value)).document_ids)
        elif one.kind == "identifier":
            declared.update(about_person(SubjectRef("external_id", one.value)).document_ids)
    return declared


def _rank(found: Counter[str]) -> tuple[int, int]:
    """Put what identifies one person before a name that several may have."""
    return (sum(n for kind, n in found.items() if kind != "name"), found["name"])
