"""Ask as a member: what that member would find and be told, through the functions that tell it.

Shows content to an administrator, says so, and records each question as asked on the member's behalf.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from asgiref.sync import async_to_sync
from django import forms
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from ambit.access.queries import list_collections_as_custodian
from ambit.access.types import CollectionView
from ambit.admin.forms import PlainForm, picker
from ambit.admin.page import here, page, show
from ambit.admin.people import Suggestion, member_suggestions
from ambit.answers.flow import Prepared, discard, generate, prepare, still_covered
from ambit.answers.services import withheld
from ambit.answers.types import Answer, Question
from ambit.corpus.types import Filters
from ambit.inference.embedding import EmbeddingRefused, EmbeddingUnavailable, embed_query
from ambit.inference.vllm import GenerationRefused, GenerationTimedOut, GenerationUnavailable
from ambit.metering.buckets import LimitsUnavailable
from ambit.metering.limits import QuotaSpent
from ambit.metering.turns import NoTurn
from tenants.audit import acting_as, current_actor, record
from tenants.ids import parse_id, public_id
from tenants.models import Member
from tenants.queries import MemberNotFound, find_member, get_member
from tenants.scope import tenant_scope

MOST_PASSAGES = 20
FOUND = "The passages below were found."


class AskForm(PlainForm):
    """Asks for a member and a question."""

    member = picker(label="Ask as", help_text="An e-mail address, external id or member id.")
    collection = forms.ChoiceField(label="Collection", choices=[], required=False)
    k = forms.IntegerField(label="Passages", min_value=1, max_value=MOST_PASSAGES, initial=8)
    question = forms.CharField(
        label="Question", max_length=2000, widget=forms.Textarea(attrs={"rows": 3})
    )

    def __init__(
        self, *args: object, collections: Sequence[CollectionView], **kwargs: object
    ) -> None:
        """Offer the tenant's collections; what the member may not see gives nothing."""
        super().__init__(*args, **kwargs)
        self.fields["collection"].choices = [  # type: ignore[attr-defined]
            ("", "All that the member may see"),
            *((public_id("collection", c.id), c.name) for c in collections),
        ]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the member would be told."""

    member: Member
    prepared: Prepared
    answer: Answer | None
    problem: str = ""


class NotAnswered(Exception):
    """A part that is needed is not there; carries a sentence that says which."""

    def __init__(self, sentence: str) -> None:
        super().__init__("not answered")
        self.sentence = sentence


@page("ask/", name="ask", roles=("admin",), methods=("GET", "POST"), own_scope=True)
def ask(request: HttpRequest) -> HttpResponseBase:
    """Show the form, or what the chosen member would be told."""
    tenant_id = here(request).tenant_id
    assert tenant_id is not None  # noqa: S101 - the page is a tenant's administrator's
    collections, suggestions = _offered(tenant_id)
    bound = request.POST if request.method == "POST" else None
    form = AskForm(bound, collections=collections, initial=_initial(tenant_id, request))
    outcome = None
    if form.is_valid():
        try:
            outcome = _asked(tenant_id, form.cleaned_data)
        except MemberNotFound:
            form.refuse(
                "member", "There is no active member of this name. Choose one of the suggestions."
            )
        except NotAnswered as error:
            form.refuse(None, error.sentence)
    return show(
        request, "ask.html", title="Ask as a member", form=form, outcome=outcome, suggestions=suggestions,
        names={c.id: c.name for c in collections}, refused=form.is_bound and outcome is None,
    )  # fmt: skip


def _offered(tenant_id: UUID) -> tuple[list[CollectionView], list[Suggestion]]:
    with tenant_scope(tenant_id):
        return list_collections_as_custodian(), member_suggestions()


def _initial(tenant_id: UUID, request: HttpRequest) -> dict[str, str]:
    member_id = parse_id("member", request.GET.get("member", ""))
    if member_id is None:
        return {}
    try:
        with tenant_scope(tenant_id):
            return {"member": get_member(member_id=member_id).email}
    except MemberNotFound:
        return {}


def _asked(tenant_id: UUID, values: dict[str, object]) -> Outcome:
    """Ask in three steps, as the API does: no transaction is held while a model thinks."""
    with tenant_scope(tenant_id):
        member = find_member(text=str(values["member"]).strip())
    question = str(values["question"])
    chosen = parse_id("collection", str(values["collection"]))
    embedding = _embedded(question)
    on_behalf = replace(current_actor(), member_id=member.pk)
    with acting_as(on_behalf):
        with tenant_scope(tenant_id):
            prepared = prepare(
                member_id=member.pk,
                question=Question(
                    question,
                    k=int(str(values["k"])),
                    filters=Filters(collection_ids=(chosen,) if chosen else None),
                ),
                embedding=embedding,
            )
            record(
                "admin.asked_as",
                object_id=member.pk,
                document_ids=sorted({p.document_id for p in prepared.passages}),
                chunk_ids=[p.chunk_id for p in prepared.passages],
            )
        try:
            answer = async_to_sync(generate)(prepared)
        except (GenerationUnavailable, EmbeddingUnavailable):
            return Outcome(
                member,
                prepared,
                None,
                f"The model that writes answers cannot be reached now. {FOUND}",
            )
        except GenerationTimedOut:
            return Outcome(member, prepared, None, f"The model took too long. {FOUND}")
        except (GenerationRefused, EmbeddingRefused):
            return Outcome(member, prepared, None, f"The model refused to answer. {FOUND}")
        except QuotaSpent:
            return Outcome(member, prepared, None, f"This month's tokens are spent. {FOUND}")
        except (NoTurn, LimitsUnavailable):
            return Outcome(member, prepared, None, f"The model has no place free now. {FOUND}")
        return _while_visible(tenant_id, member, prepared, answer)


def _while_visible(tenant_id: UUID, member: Member, prepared: Prepared, answer: Answer) -> Outcome:
    """Show nothing that the member lost while the answer was written, and keep nothing in its name."""
    with tenant_scope(tenant_id):
        discard(prepared, answer)
        if not answer.withheld and still_covered(prepared):
            return Outcome(member, prepared, answer)
    nothing = replace(prepared, brief=replace(prepared.brief, passages=()))
    return Outcome(member, nothing, withheld(answer))


def _embedded(question: str) -> list[float]:
    try:
        return list(embed_query(question))
    except EmbeddingUnavailable as error:
        raise NotAnswered(
            "The embedding service cannot be reached now. Try again in a moment."
        ) from error
    except EmbeddingRefused as error:
        raise NotAnswered("The embedding service refused this question.") from error
