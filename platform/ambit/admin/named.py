"""Read whom or which documents a form names."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from ambit.corpus.identifiers import CannotBeLookedFor, Identifier, IdentifierKind, forms_of
from ambit.corpus.types import SubjectRef
from tenants.ids import parse_id
from tenants.models import Member
from tenants.queries import MemberNotFound, find_member

# Each is looked for in all that the tenant holds.
MAX_IDENTIFIERS = 50
KINDS = (
    ("email", "A person, by e-mail address"),
    ("external_id", "A person, by external id"),
    ("member", "A member"),
    ("documents", "Documents, by their ids"),
)
VALUE_HELP = (
    "The e-mail address, the external id, or for a member also the member id. For documents: "
    "their ids (doc_…), separated by spaces or lines."
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a form names, as the services want it."""

    subject: SubjectRef | None
    document_ids: list[UUID] | None


class NotUnderstood(ValueError):
    """The identifier cannot be what was chosen; carries a sentence."""

    def __init__(self, sentence: str) -> None:
        super().__init__("not understood")
        self.sentence = sentence


def read_named(kind: str, value: str) -> Asked:
    """Return what a kind and a value name; raise NotUnderstood."""
    if kind == "documents":
        words = value.replace(",", " ").split()
        ids = [parse_id("document", word) for word in words]
        if not ids or None in ids:
            raise NotUnderstood(
                "Document ids look like doc_0199…, with 32 characters after the underscore."
            )
        return Asked(None, [i for i in ids if i])
    if "\n" in value:
        raise NotUnderstood("Name one person; each gets a case and a receipt of its own.")
    if kind == "member":
        return Asked(SubjectRef("member", str(_member_id(value))), None)
    if kind == "email" and "@" not in value:
        raise NotUnderstood("This is no e-mail address.")
    return Asked(SubjectRef("email" if kind == "email" else "external_id", value), None)


def read_identifiers(lines: str) -> list[Identifier]:
    """Return what each line can be: an address, a number, an id or a name; raise NotUnderstood."""
    given = [line for line in lines.splitlines() if line.strip()]
    if len(given) > MAX_IDENTIFIERS:
        raise NotUnderstood(f"Name at most {MAX_IDENTIFIERS} at once, one a line.")
    return [one for line in given for one in _identifiers(line)]


def what_may_be(value: str) -> list[Identifier]:
    """Return every kind of identifier that a text can be; none where it is none. Pure."""
    kinds: tuple[IdentifierKind, ...] = ("phone", "identifier")
    if "@" in value:
        kinds = ("email",)
    elif not any(map(str.isdigit, value)):
        kinds = ("name",)
    elif any(map(str.isalpha, value)):
        kinds = ("identifier",)
    found = []
    for kind in kinds:
        try:
            forms_of(Identifier(kind, value))
        except CannotBeLookedFor:
            continue
        found.append(Identifier(kind, value))
    return found


def _identifiers(line: str) -> list[Identifier]:
    found = what_may_be(line)
    if not found:
        raise NotUnderstood(
            "Each line is an e-mail address, a telephone number, an id with a number in it, or a name of two words "
            "and more."
        )
    return found


def _member_id(value: str) -> UUID:
    found = parse_id("member", value)
    if found is not None:
        # Also a suspended one, whom no other name finds.
        if not Member.objects.filter(pk=found).exists():
            raise NotUnderstood("There is no such member. Nothing was hidden.")
        return found
    try:
        return find_member(text=value).pk
    except MemberNotFound as error:
        raise NotUnderstood(
            "There is no active member like this; use the member id for a suspended one."
        ) from error
