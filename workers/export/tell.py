"""Step 2 of 3. Put into words and JSON what is told; who else is in it is left out or screened."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from ambit.corpus.disclosure import people_declared
from ambit.erasure.exports import cases_about, restrictions_about
from ambit.export.types import Order
from ambit.metering.queries import count_uses_of
from ambit.notices.queries import notices_of
from tenants.disclosure import disclose_member, events_about, other_members, service_keys
from tenants.ids import public_id
from tenants.models import AuditEvent
from tenants.scope import tenant_scope
from workers.export.about import about
from workers.export.answers import find_answers, tell_answers
from workers.export.deeds import Deeds
from workers.export.documents import original_of, tell_document
from workers.export.screen import Screen
from workers.export.types import Contents, Found


def tell(order: Order, found: Found) -> Contents:
    """Return all parts of the archive but the files themselves."""
    asked = find_answers(order, found)
    with tenant_scope(order.tenant_id, custody=True):
        member = found.person.member
        screen = Screen(
            own=found.person.identifiers,
            others=other_members(member.id if member else None),
            declared=people_declared(beside=found.person.declared),
        )
        events = _events(found)
        deeds = Deeds(found, screen=screen, service_keys=service_keys())
        told = [deeds.tell(event) for event in events]
        documents = [
            tell_document(one, order=order, found=found, screen=screen, deeds=deeds)
            for one in found.documents
        ]
        answers = tell_answers(asked, found=found, screen=screen)
        parts = {
            "about.json": about(order, found, n_answers=len(answers["asked_by_you"])),
            "person.json": _person(found, screen) | {"events": told},
            "documents.json": documents,
            "answers.json": answers,
        }
    originals = [o for one in found.documents for o in original_of(one, order=order, found=found)]
    n_left_out = sum(one.id in found.others for one in found.documents)
    return Contents(
        order=order,
        found=found,
        parts=parts,
        originals=tuple(originals),
        document_ids=tuple(sorted({*found.document_ids, *asked.told_from})),
        n_left_out=0 if order.include_shared else n_left_out,
    )


def _events(found: Found) -> Iterator[AuditEvent]:
    member = found.person.member
    actors = (member.id, *member.key_ids, *member.account_ids) if member else ()
    return events_about(actor_ids=actors, object_ids=actors, document_ids=found.document_ids)


def _person(found: Found, screen: Screen) -> dict[str, Any]:
    person = found.person
    member_ids = (person.member.id,) if person.member else ()
    told = disclose_member(person.member.id) if person.member else None
    if told is not None:
        for one in (*told["groups"], *told["keys"]):
            one["name"] = screen.text(one["name"])
    return {
        "member": told,
        "being_erased": person.member_is_being_erased,
        "uses_of_models": count_uses_of(person.member.id) if person.member else 0,
        "erasures": [
            {
                "id": public_id("erasure", case.id) if case.id else None,
                "state": case.state,
                "states": [{"state": s.state, "at": s.at.isoformat()} for s in case.states],
                "due_at": case.due_at.isoformat() if case.due_at else None,
                "covers": case.counts,
                "recipients_told": [
                    {
                        "recipient": screen.text(one.recipient),
                        "of": one.event,
                        "state": one.state,
                        "at": one.ended_at.isoformat() if one.ended_at else None,
                    }
                    for one in (notices_of(case.id) if case.id else ())
                ],
            }
            for case in cases_about(person.declared, member_ids)
        ],
        # Without the reasons, in which officers may write of others and of claims.
        "holds_and_restrictions": [
            {
                "id": public_id("hold" if one.is_hold else "restriction", one.id),
                "basis": f"Art. 17(3)({one.basis}) GDPR" if one.is_hold else "Art. 18 GDPR",
                "placed_at": one.placed_at.isoformat(),
                "review_at": one.review_at.isoformat() if one.review_at else None,
                "ended_at": one.lifted_at.isoformat() if one.lifted_at else None,
                "on_you": bool(set(one.member_ids) & set(member_ids)),
                "documents": _public(set(one.document_ids) & set(found.document_ids)),
            }
            for one in restrictions_about((*found.document_ids, *member_ids))
        ],
    }


def _public(document_ids: set[UUID] | frozenset[UUID]) -> list[str]:
    return [public_id("document", one) for one in sorted(document_ids)]
