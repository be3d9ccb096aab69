"""Answers: a question answered from the passages the asker may see, with citations."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from ambit.access.clearance import clearance_for
from ambit.answers import flow
from ambit.answers.queries import get_answer
from ambit.answers.types import (
    DEFAULT_MAX_TOKENS,
    MOST_TOKENS,
    Answer,
    Cited,
    Question,
    Retrieved,
    Written,
    nobody,
)
from ambit.api.asking import AskingView, Begun, read_schema
from ambit.api.bodies import PublicId, Text, Whole
from ambit.api.filters import read_filters
from ambit.api.permissions import Policy
from ambit.api.problems import problem_body
from ambit.api.routes_input import RoutedQuestionInput, read_routes
from ambit.api.search import MAX_QUERY_LENGTH, PassageOutput, within
from ambit.api.shapes import Output
from ambit.api.streams import KEEP_ALIVE, Failed, Made, event, event_stream, told
from ambit.api.views import REPLAYED_HEADER, AmbitView, located
from tenants.audit import record
from tenants.ids import public_id

ASKS = Policy("answers")
STREAM = """With `stream`, answers as server-sent events: `retrieval` (the passages the answer may be made \
from), `token` (a further piece of the text), `citation` (a marker that appeared, and what it points to), \
`usage`, and as the last one `done` (the whole answer, which replaces the pieces) or `error` (a problem). \
Pieces are inert text like the answer; sentences are checked once it is whole."""


class AnswerInput(RoutedQuestionInput):
    """What to answer."""

    question = Text(max_length=MAX_QUERY_LENGTH)
    stream = serializers.BooleanField(required=False, default=False, help_text=STREAM)
    conversation = PublicId("conversation", required=False, allow_null=True, default=None)
    adapter = PublicId("adapter", required=False, allow_null=True, default=None)
    retrieval = serializers.BooleanField(
        required=False,
        default=True,
        help_text="False, with an adapter only: answer from what the adapter was trained on.",
    )
    schema = serializers.JSONField(
        required=False, allow_null=True, default=None, help_text="A JSON schema of the answer."
    )
    max_tokens = Whole(
        required=False, default=DEFAULT_MAX_TOKENS, min_value=1, max_value=MOST_TOKENS
    )


class CitationOutput(Output):
    """Where a marked statement stands; offsets count characters of the document's text."""

    marker = serializers.IntegerField(help_text="The number in brackets in the answer.")
    document = PublicId("document", source="document_id")
    version = serializers.IntegerField()
    title = serializers.CharField()
    chunk = PublicId("chunk", source="chunk_id")
    page_first = serializers.IntegerField(allow_null=True)
    page_last = serializers.IntegerField(allow_null=True)
    char_start = serializers.IntegerField()
    char_end = serializers.IntegerField()
    quote = serializers.CharField(help_text="The text at those offsets.")


class UsageOutput(Output):
    """Tokens, as the model's server counted them; zero where no model ran."""

    prompt_tokens = serializers.IntegerField()
    completion_tokens = serializers.IntegerField()
    cached_tokens = serializers.IntegerField()


class AnswerOutput(Output):
    """An answer."""

    id = serializers.SerializerMethodField()
    answer = serializers.CharField(source="text")
    value = serializers.JSONField(
        allow_null=True, help_text="The answer as JSON, where a schema was asked for."
    )
    abstained = serializers.BooleanField(help_text="True: nothing permitted answers the question.")
    withheld = serializers.BooleanField(
        help_text="True: what it was made from went out of the asker's reach meanwhile."
    )
    cut_short = serializers.BooleanField(help_text="True: `max_tokens` ended it.")
    generator = serializers.ChoiceField(["extractive", "vllm"])
    citations = CitationOutput(many=True)
    unsupported = serializers.ListField(
        child=serializers.CharField(),
        help_text="Sentences of the answer that no citation supports.",
    )
    groundedness = serializers.FloatField(
        allow_null=True,
        help_text="Share of its sentences that their citations support, 0 to 1; null where it abstains.",
    )
    usage = UsageOutput()

    def get_id(self, _answer: Answer) -> str:
        """Return the answer's identifier."""
        return public_id("answer", self.context["id"])


class AnswersView(AskingView):
    """Answers."""

    policies = {"POST": ASKS}
    makes = "answer"

    @extend_schema(
        request=AnswerInput,
        responses={
            200: AnswerOutput,
            (200, "text/event-stream"): OpenApiResponse(OpenApiTypes.STR, description=STREAM),
        },
    )
    async def post(self, request: Request) -> HttpResponseBase:
        """Answer a question from the passages the member may see, or say that nothing there does."""
        asked = await self.read(AnswerInput)
        streams = bool(asked["stream"])
        is_alone = asked["retrieval"] and not asked["conversation"]
        begun = await self.begin(alone=asked["question"] if is_alone else None)
        if isinstance(begun, HttpResponseBase):
            return _replayed_as_stream(begun) if streams else begun
        if streams:
            return event_stream(self._events(begun), unread=partial(self.unread, begun))
        saved = await self.answered(begun, tell=nobody)
        return _rendered(saved.id, saved.answer)

    def question(self) -> Question:
        """Read the question, in the caller's scope."""
        asked = self.body(AnswerInput)
        clearance = clearance_for(member_id=self.acting_member())
        return Question(
            text=asked["question"],
            k=asked["k"],
            filters=read_filters(
                asked, collection_ids=within(asked["collections"], clearance=clearance)
            ),
            routes=read_routes(asked, clearance=clearance),
            conversation_id=asked["conversation"],
            adapter_id=asked["adapter"],
            retrieves=asked["retrieval"],
            schema=read_schema(asked["schema"]),
            max_tokens=asked["max_tokens"],
        )

    def show(self, object_ids: Sequence[UUID], *, status: int) -> Response:
        """Render the answer given."""
        clearance = clearance_for(member_id=self.acting_member())
        found = get_answer(answer_id=object_ids[0], clearance=clearance)
        return _rendered(found.id, found.answer)

    async def _events(self, begun: Begun) -> AsyncIterator[bytes]:
        steps = told(lambda tell: self.answered(begun, tell=tell), is_void=_is_withheld)
        async for step in steps:
            match step:
                case None:
                    yield KEEP_ALIVE
                case Retrieved():
                    yield event("retrieval", _retrieval(step))
                case Written():
                    yield event("token", {"text": step.text})
                case Cited():
                    yield event("citation", _pointer(step))
                case Failed(error):
                    yield event("error", problem_body(error, request=self.request._request))  # noqa: SLF001 - DRF's wrapper
                case Made(saved):
                    body = AnswerOutput(saved.answer, context={"id": saved.id}).data
                    yield event("usage", body["usage"])
                    yield event("done", body)


class AnswerView(AmbitView):
    """One answer, its asker's."""

    policies = {"GET": ASKS}

    @extend_schema(responses=AnswerOutput)
    def get(self, request: Request, id: str) -> Response:
        """Show a saved answer, as long as all that it was made from may be seen."""
        answer_id = self.id_in_path("answer")
        clearance = clearance_for(member_id=self.acting_member())
        found = get_answer(answer_id=answer_id, clearance=clearance)
        record(
            "answer.read",
            object_id=answer_id,
            document_ids=sorted({c.document_id for c in found.answer.citations}),
            chunk_ids=[c.chunk_id for c in found.answer.citations],
        )
        return _rendered(found.id, found.answer)


def citations_of(answer: Answer) -> Any:
    """Render an answer's citations."""
    return CitationOutput(answer.citations, many=True).data


def _rendered(answer_id: UUID, answer: Answer) -> Response:
    body = AnswerOutput(answer, context={"id": answer_id}).data
    return located(body, f"/v1/answers/{public_id('answer', answer_id)}", status=200)


def _replayed_as_stream(earlier: HttpResponseBase) -> HttpResponseBase:
    """Tell what an Idempotency-Key has made before in the one event that counts."""

    async def only() -> AsyncIterator[bytes]:
        yield event("done", getattr(earlier, "data", None))

    response = event_stream(only())
    response.headers[REPLAYED_HEADER] = "true"
    return response


def _is_withheld(end: Made[flow.SavedAnswer] | Failed) -> bool:
    return isinstance(end, Made) and end.value.answer.withheld


def _retrieval(step: Retrieved) -> dict[str, Any]:
    return {
        "passages": PassageOutput(step.passages, many=True).data,
        "left_out": step.n_left_out,
    }


def _pointer(step: Cited) -> dict[str, Any]:
    passage = step.passage
    return {
        "marker": step.marker,
        "document": public_id("document", passage.document_id),
        "version": passage.version,
        "title": passage.title,
        "chunk": public_id("chunk", passage.chunk_id),
        "page_first": passage.page_first,
        "page_last": passage.page_last,
    }
