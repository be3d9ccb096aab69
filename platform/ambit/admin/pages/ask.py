"""Ask as a member: what that member would find and be told, through the functions that tell it.

Shows content to an administrator, says so, and records each question as asked on the member's behalf.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from uuid import UUID

from asgiref.sync import async_to_sync
from django import forms
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from ambit.access.queries import list_collections_as_custodian
from ambit.access.types import CollectionView
from ambit.adapters.queries import AdapterNotFound, get_adapter, list_adapters
from ambit.adapters.types import AdapterView
from ambit.admin.forms import PlainForm, picker
from ambit.admin.page import here, page, show
from ambit.admin.people import Suggestion, member_suggestions
from ambit.answers import flow
from ambit.answers.policies import TenantPolicy, prompt_policy
from ambit.answers.types import Answer, Event, Question, Retrieved
from ambit.corpus.types import Filters
from ambit.inference.embedding import EmbeddingRefused, EmbeddingUnavailable, embed_query
from ambit.inference.vllm import (
    ContextOverflow,
    GenerationRefused,
    GenerationTimedOut,
    GenerationUnavailable,
)
from ambit.metering.buckets import LimitsUnavailable
from ambit.metering.limits import QuotaSpent
from ambit.metering.turns import NoTurn
from tenants.audit import acting_as, current_actor, record
from tenants.ids import parse_id, public_id
from tenants.models import Member
from tenants.queries import MemberNotFound, find_member, get_member
from tenants.scope import tenant_scope
from tenants.statements import give_up_after

MOST_PASSAGES = 20
MOST_ADAPTERS = 200
FOUND = "The passages below were found."
NOT_TOLD = (
    "Whether the member may still see what was found, the database did not say in time, so nothing is shown."
    " Ask again in a moment."
)
PROBLEMS: dict[type[Exception], str] = {
    GenerationUnavailable: "The model that writes answers cannot be reached now.",
    EmbeddingUnavailable: "The embedding service cannot be reached now.",
    GenerationTimedOut: "The model took too long.",
    ContextOverflow: "The question is too long for the model.",
    GenerationRefused: "The model refused to answer.",
    EmbeddingRefused: "The embedding service refused a text.",
    QuotaSpent: "The tokens of this month are spent.",
    NoTurn: "Too many questions are being answered now. Try again in a moment.",
    LimitsUnavailable: "Redis, which shares the model between tenants, cannot be reached now.",
}


class AskForm(PlainForm):
    """Asks for a member and a question."""

    member = picker(label="Ask as", help_text="An e-mail address, external id or member id.")
    collection = forms.ChoiceField(label="Collection", choices=[], required=False)
    adapter = forms.ChoiceField(label="Adapter", choices=[], required=False)
    k = forms.IntegerField(label="Passages", min_value=1, max_value=MOST_PASSAGES, initial=8)
    question = forms.CharField(
        label="Question", max_length=2000, widget=forms.Textarea(attrs={"rows": 3})
    )

    def __init__(
        self,
        *args: object,
        collections: Sequence[CollectionView],
        adapters: Sequence[AdapterView],
        **kwargs: object,
    ) -> None:
        """Offer the tenant's collections and live adapters; what the member may not see gives nothing."""
        super().__init__(*args, **kwargs)
        self.fields["collection"].choices = [  # type: ignore[attr-defined]
            ("", "All that the member may see"),
            *((public_id("collection", c.id), c.name) for c in collections),
        ]
        live = [a for a in adapters if a.state == "live"]
        self.fields["adapter"].choices = [  # type: ignore[attr-defined]
            ("", "None"),
            *((public_id("adapter", a.id), a.name) for a in live),
        ]
        if not live:
            del self.fields["adapter"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the member would be told, and by what."""

    member: Member
    prepared: flow.Prepared
    policy: TenantPolicy
    adapter_name: str
    answer: Answer | None = None
    problem: str = ""
    # How many of the passages found had no room in the prompt.
    n_left_out: int = 0

    @property
    def parts(self) -> list[Part]:
        """Return the answer's text in parts that are supported or not."""
        if self.answer is None:
            return []
        return list(_parts(self.answer.text, self.answer.unsupported))


@dataclass(frozen=True, slots=True)
class Part:
    """Some of an answer's text."""

    text: str
    is_unsupported: bool


class NotAnswered(Exception):
    """A part that is needed is not there; carries a sentence that says which."""

    def __init__(self, sentence: str) -> None:
        super().__init__("not answered")
        self.sentence = sentence


@page("ask/", name="ask", roles=("admin",), methods=("GET", "POST"), own_scope=True)
def ask(request: HttpRequest) -> HttpResponseBase:
    """Show the form, or what the chosen member would be told."""
    tenant_id, asker_id = here(request).tenant_id, here(request).member_id
    assert tenant_id is not None and asker_id is not None  # noqa: S101 - the page's roles made sure
    collections, adapters, suggestions = _offered(tenant_id)
    bound = request.POST if request.method == "POST" else None
    form = AskForm(
        bound, collections=collections, adapters=adapters, initial=_initial(tenant_id, request)
    )
    outcome = None
    if form.is_valid():
        try:
            outcome = _asked(tenant_id, asker_id, form.cleaned_data)
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


def _offered(tenant_id: UUID) -> tuple[list[CollectionView], list[AdapterView], list[Suggestion]]:
    with tenant_scope(tenant_id):
        adapters = list_adapters(after=None, limit=MOST_ADAPTERS)
        return list_collections_as_custodian(), adapters, member_suggestions()


def _initial(tenant_id: UUID, request: HttpRequest) -> dict[str, str]:
    member_id = parse_id("member", request.GET.get("member", ""))
    if member_id is None:
        return {}
    try:
        with tenant_scope(tenant_id):
            return {"member": get_member(member_id=member_id).email}
    except MemberNotFound:
        return {}


def _asked(tenant_id: UUID, asker_id: UUID, values: dict[str, object]) -> Outcome:
    """Ask in three steps, as the API does: no transaction is held while a model thinks."""
    with tenant_scope(tenant_id):
        member = find_member(text=str(values["member"]).strip())
    question = _question(values)
    embedding = _embedded(question.text)
    on_behalf = replace(current_actor(), member_id=member.pk)
    with acting_as(on_behalf):
        with tenant_scope(tenant_id):
            outcome = _begun(member, asker_id, question, embedding)
        return _answered(tenant_id, outcome)


def _question(values: dict[str, object]) -> Question:
    chosen = parse_id("collection", str(values["collection"]))
    return Question(
        text=str(values["question"]),
        k=int(str(values["k"])),
        filters=Filters(collection_ids=(chosen,) if chosen else None),
        adapter_id=parse_id("adapter", str(values.get("adapter", ""))),
    )


def _begun(member: Member, asker_id: UUID, question: Question, embedding: list[float]) -> Outcome:
    """Find what the member may see, in the tenant's scope; raise NotAnswered."""
    try:
        prepared = flow.prepare(
            member_id=member.pk, question=question, embedding=embedding, counted_to=asker_id
        )
    except AdapterNotFound as error:
        raise NotAnswered(
            "This member may not use that adapter now: it is not live, or was trained on a document that the member"
            " may not see."
        ) from error
    record(
        "admin.asked_as",
        object_id=member.pk,
        document_ids=sorted({p.document_id for p in prepared.passages}),
        chunk_ids=[p.chunk_id for p in prepared.passages],
    )
    name = get_adapter(adapter_id=prepared.adapter.id).name if prepared.adapter else ""
    return Outcome(member, prepared, policy=prompt_policy(), adapter_name=name)


def _answered(tenant_id: UUID, begun: Outcome) -> Outcome:
    """Let the answer be written, and count what it took; what stands in the way is said. Raises NotAnswered."""
    left_out: list[int] = [0]

    def tell(event: Event) -> None:
        if isinstance(event, Retrieved):
            left_out.append(event.n_left_out)

    try:
        answer = async_to_sync(partial(flow.generate, tell=tell))(begun.prepared)
    except tuple(PROBLEMS) as error:
        return _unanswered(tenant_id, begun, _problem(error))
    done = replace(begun, answer=answer, n_left_out=left_out[-1])
    given = _given(tenant_id, begun.prepared, answer)
    if not given.withheld:
        return done
    # Nothing is shown that the member lost while the answer was written.
    return replace(done, prepared=_emptied(begun.prepared), answer=given, n_left_out=0)


def _given(tenant_id: UUID, prepared: flow.Prepared, answer: Answer) -> Answer:
    """Return what the member may be given of it by now; it is counted also where nobody can say. Raises NotAnswered."""
    try:
        with tenant_scope(tenant_id):
            give_up_after(flow.SAVE_MS)
            given = flow.recheck(prepared=prepared, answer=answer)
            flow.discard(prepared, given)
    except BaseException as error:
        async_to_sync(flow.count_unsaved)(prepared, answer)
        if isinstance(error, OperationalError | InterfaceError):
            raise NotAnswered(f"The answer was written and is counted. {NOT_TOLD}") from error
        raise
    return given


def _unanswered(tenant_id: UUID, begun: Outcome, problem: str) -> Outcome:
    """Say what stood in the way; the passages are shown as long as the member may see them. Raises NotAnswered."""
    try:
        with tenant_scope(tenant_id):
            give_up_after(flow.SAVE_MS)
            stands = flow.still_covered(begun.prepared)
    except (OperationalError, InterfaceError) as error:
        raise NotAnswered(f"{problem} {NOT_TOLD}") from error
    if stands:
        return replace(begun, problem=f"{problem} {FOUND}")
    return replace(begun, prepared=_emptied(begun.prepared), problem=problem)


def _emptied(prepared: flow.Prepared) -> flow.Prepared:
    return replace(prepared, brief=replace(prepared.brief, passages=()))


def _problem(error: Exception) -> str:
    return next(words for kind, words in PROBLEMS.items() if isinstance(error, kind))


def _parts(text: str, unsupported: Sequence[str]) -> Iterator[Part]:
    """Cut a text where sentences begin and end that nothing supports."""
    rest = text
    for sentence in unsupported:
        before, found, after = rest.partition(sentence)
        # One that stands there no longer word by word marks nothing.
        if not sentence or not found:
            continue
        if before:
            yield Part(before, is_unsupported=False)
        yield Part(found, is_unsupported=True)
        rest = after
    if rest:
        yield Part(rest, is_unsupported=False)


def _embedded(question: str) -> list[float]:
    try:
        return list(embed_query(question))
    except EmbeddingUnavailable as error:
        raise NotAnswered(
            "The embedding service cannot be reached now. Try again in a moment."
        ) from error
    except EmbeddingRefused as error:
        raise NotAnswered("The embedding service refused this question.") from error
