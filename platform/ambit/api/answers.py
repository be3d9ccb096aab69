"""Answers: a question answered from the passages the asker may see, with citations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from ambit.access.clearance import clearance_for
from ambit.answers import flow
from ambit.answers.queries import get_answer
from ambit.answers.types import Answer
from ambit.api import idempotency
from ambit.api.bodies import PublicId, Text
from ambit.api.filters import read_filters
from ambit.api.permissions import Policy
from ambit.api.routes_input import RoutedQuestionInput, read_routes
from ambit.api.search import MAX_QUERY_LENGTH, within
from ambit.api.shapes import Output
from ambit.api.views import AmbitView, AsyncAmbitView, located
from ambit.inference.embedding import embed_query
from tenants.audit import record
from tenants.ids import public_id

ASKS = Policy("answers")


class AnswerInput(RoutedQuestionInput):
    """What to answer."""

    question = Text(max_length=MAX_QUERY_LENGTH)
    stream = serializers.BooleanField(required=False, default=False)

    def validate_stream(self, value: bool) -> bool:  # noqa: FBT001 - DRF calls it so
        """Refuse to stream, which comes later."""
        if value:
            words = "Streaming is not supported yet: leave `stream` out."
            raise ValidationError([ErrorDetail(words, code="not_supported_yet")])
        return value


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
    abstained = serializers.BooleanField(help_text="True: nothing permitted answers the question.")
    generator = serializers.ChoiceField(["extractive", "vllm"])
    citations = CitationOutput(many=True)
    unsupported = serializers.ListField(
        child=serializers.CharField(),
        help_text="Sentences of the answer that no citation supports.",
    )
    usage = UsageOutput()

    def get_id(self, _answer: Answer) -> str:
        """Return the answer's identifier."""
        return public_id("answer", self.context["id"])


class AnswersView(AsyncAmbitView):
    """Answers."""

    policies = {"POST": ASKS}
    makes = "answer"

    @extend_schema(request=AnswerInput, responses=AnswerOutput)
    async def post(self, request: Request) -> HttpResponseBase:
        """Answer a question from the passages the member may see, or say that nothing there does."""
        begun = await sync_to_async(self._begin)()
        if not isinstance(begun, tuple):
            return begun
        taken, prepared = begun
        try:
            answer = await flow.generate(prepared)
            return await sync_to_async(self._save)(taken, prepared, answer)
        except BaseException:
            # Whoever repeats the request is not told to wait for one that is over.
            await sync_to_async(self._free)(taken)
            raise

    def show(self, object_ids: Sequence[UUID], *, status: int) -> Response:
        """Render the answer given."""
        clearance = clearance_for(member_id=self.acting_member())
        found = get_answer(answer_id=object_ids[0], clearance=clearance)
        return _rendered(found.id, found.answer)

    def _begin(self) -> HttpResponseBase | tuple[idempotency.Slot | None, flow.Prepared]:
        """Prepare, or show what the request's Idempotency-Key has made before."""
        asked = self.body(AnswerInput)
        embedding: Any = embed_query(asked["question"])
        with self.in_scope():
            taken = self.begin_once()
            if isinstance(taken, idempotency.Earlier):
                return self.replayed(taken)
            member_id = self.acting_member()
            clearance = clearance_for(member_id=member_id)
            prepared = flow.prepare(
                member_id=member_id,
                question=asked["question"],
                embedding=embedding,
                k=asked["k"],
                filters=read_filters(
                    asked, collection_ids=within(asked["collections"], clearance=clearance)
                ),
                routes=read_routes(asked, clearance=clearance),
            )
            return taken, prepared

    def _save(
        self, taken: idempotency.Slot | None, prepared: flow.Prepared, answer: Answer
    ) -> HttpResponseBase:
        with self.in_scope():
            saved = flow.save(prepared=prepared, answer=answer)
            self.made = (saved.id,)
            self.finish_once(taken, status=200)
        return _rendered(saved.id, saved.answer)

    def _free(self, taken: idempotency.Slot | None) -> None:
        if taken is not None:
            with self.in_scope():
                idempotency.give_up(taken)


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


def _rendered(answer_id: UUID, answer: Answer) -> Response:
    body = AnswerOutput(answer, context={"id": answer_id}).data
    return located(body, f"/v1/answers/{public_id('answer', answer_id)}", status=200)
