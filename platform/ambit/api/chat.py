"""Chat completions as OpenAI's clients ask for them; permissions, citations and metering as everywhere.

Taken from OpenAI's contract: the shapes of requests, completions, chunks and errors
(platform.openai.com/docs/api-reference/chat). Of a conversation that the client keeps, only its
questions are read: what was answered yesterday may hold what was revoked today.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Iterable
from functools import partial
from typing import Any
from uuid import UUID

from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from ambit.access.clearance import clearance_for
from ambit.adapters.queries import AdapterNotFound, adapters_for, usable_adapter
from ambit.answers import flow
from ambit.answers.structured import NotJson, SchemaNotMet
from ambit.answers.types import (
    DEFAULT_MAX_TOKENS,
    Answer,
    Question,
    Retrieved,
    Tell,
    Written,
    nobody,
)
from ambit.api.answers import ASKS, citations_of
from ambit.api.asking import AnswerNotKept, AskingView, Begun, ModelNotFound, read_schema
from ambit.api.chat_shapes import CompletionInput, CompletionOutput, ModelOutput, ModelsOutput, Said
from ambit.api.filters import read_filters
from ambit.api.permissions import Policy
from ambit.api.problem import as_openai_error
from ambit.api.problems import problem_body
from ambit.api.routes_input import read_routes
from ambit.api.search import within
from ambit.api.streams import KEEP_ALIVE, Failed, Made, event_stream, told, unnamed
from ambit.api.views import AmbitView
from ambit.inference.vllm import GenerationRefused, GenerationTimedOut
from ambit.metering.types import Kind
from tenants.ids import parse_id, public_id

MODEL = "ambit"
DONE = b"data: [DONE]\n\n"


NOT_AGAIN = (AnswerNotKept, GenerationRefused, GenerationTimedOut, NotJson, SchemaNotMet)


class OpenAiView(AmbitView):
    """Adds to every problem the member `error` that OpenAI's clients read."""

    def handle_exception(self, exc: Exception) -> Response:
        """Answer the problem in both shapes at once."""
        response = super().handle_exception(exc)
        body = json.loads(response.content)
        if isinstance(exc, NOT_AGAIN):
            # The official client would ask, and pay, twice more for what fails alike.
            response.headers["x-should-retry"] = "false"
        response.content = json.dumps(body | {"error": as_openai_error(body)}).encode()
        return response


class CompletionsView(OpenAiView, AskingView):
    """Chat completions."""

    policies = {"POST": ASKS}
    asks: Kind = "chat"

    @extend_schema(
        request=CompletionInput,
        responses={
            200: CompletionOutput,
            (200, "text/event-stream"): OpenApiResponse(OpenApiTypes.STR),
        },
    )
    async def post(self, request: Request) -> HttpResponseBase:
        """Answer the last question of a chat from the passages the member may see."""
        asked = await self.read(CompletionInput)
        said: Said = asked["messages"]
        is_alone = asked["retrieval"] and not (asked["conversation"] or said.earlier)
        begun = await self.begin(alone=said.question if is_alone else None)
        if isinstance(begun, HttpResponseBase):
            return begun
        if asked["stream"]:
            options = asked["stream_options"] or {}
            chunks = self._chunks(begun, asked["model"], with_usage=options.get("include_usage"))
            return event_stream(chunks, unread=partial(self.unread, begun))
        saved = await self._given(begun, nobody)
        return Response(_completion(saved.id, saved.answer, asked))

    def question(self) -> Question:
        """Read the last question, in the caller's scope; raise ModelNotFound."""
        asked = self.body(CompletionInput)
        said: Said = asked["messages"]
        clearance = clearance_for(member_id=self.acting_member())
        return Question(
            text=said.question,
            k=asked["k"],
            filters=read_filters(
                asked, collection_ids=within(asked["collections"], clearance=clearance)
            ),
            routes=read_routes(asked, clearance=clearance),
            conversation_id=asked["conversation"],
            adapter_id=_adapter_of(asked["model"]),
            retrieves=asked["retrieval"],
            instructions=said.instructions,
            schema=read_schema(asked["response_format"]),
            max_tokens=asked["max_completion_tokens"] or asked["max_tokens"] or DEFAULT_MAX_TOKENS,
        )

    def earlier_questions(self) -> tuple[str, ...]:
        """Return what the client says was asked before, oldest first."""
        said: Said = self.body(CompletionInput)["messages"]
        return said.earlier

    async def _chunks(
        self, begun: Begun, model: str, *, with_usage: bool | None
    ) -> AsyncIterator[bytes]:
        use_id = begun.prepared.use_id
        chunk = partial(_chunk, use_id=use_id, model=model, made_at=int(time.time()))
        n_shown = 0
        async for step in told(partial(self._given, begun), is_void=_is_withheld):
            match step:
                case Retrieved():
                    if not n_shown:
                        yield chunk(delta={"role": "assistant", "content": ""})
                case None:
                    yield KEEP_ALIVE
                case Written():
                    n_shown += len(step.text)
                    yield chunk(delta={"content": step.text})
                case Failed(error):
                    body = problem_body(error, request=self.request._request)  # noqa: SLF001 - DRF's wrapper
                    yield unnamed({"error": as_openai_error(body)})
                    return
                case Made(saved):
                    ending = _ending(
                        chunk,
                        saved,
                        n_shown=n_shown,
                        with_usage=bool(with_usage),
                        in_schema=begun.prepared.brief.schema is not None,
                    )
                    for piece in ending:
                        yield piece

    async def _given(self, begun: Begun, tell: Tell) -> flow.SavedAnswer:
        saved = await self.answered(begun, tell=tell)
        if saved.answer.withheld:
            raise flow.ReachChanged
        return saved


class ModelsView(OpenAiView):
    """What may be named as `model`."""

    policies = {"GET": Policy("answers")}
    reads = "models.listed"

    @extend_schema(responses=ModelsOutput)
    def get(self, request: Request) -> Response:
        """List the models the member may ask: Ambit itself, and adapters trained on what the member may see."""
        clearance = clearance_for(member_id=self.acting_member())
        adapters = [public_id("adapter", a.id) for a in adapters_for(clearance=clearance)]
        return Response({"object": "list", "data": [_model(id) for id in (MODEL, *adapters)]})


class ModelView(OpenAiView):
    """One of them."""

    policies = {"GET": Policy("answers")}
    reads = "models.listed"

    @extend_schema(responses=ModelOutput)
    def get(self, request: Request, id: str) -> Response:
        """Show a model that the member may ask."""
        adapter_id = _adapter_of(id)
        if adapter_id is not None:
            clearance = clearance_for(member_id=self.acting_member())
            try:
                usable_adapter(adapter_id=adapter_id, clearance=clearance)
            except AdapterNotFound as error:
                raise ModelNotFound from error
        return Response(_model(id))


def _is_withheld(end: Made[flow.SavedAnswer] | Failed) -> bool:
    return isinstance(end, Failed) and isinstance(end.error, flow.ReachChanged)


def _adapter_of(model: str) -> UUID | None:
    if model == MODEL:
        return None
    adapter_id = parse_id("adapter", model)
    if adapter_id is None:
        raise ModelNotFound
    return adapter_id


def _completion(answer_id: UUID, answer: Answer, asked: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{answer_id.hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": asked["model"],
        "choices": [
            {
                "index": 0,
                "message": _message(answer, in_schema=asked["response_format"] is not None),
                "finish_reason": _finish_reason(answer),
                "logprobs": None,
            }
        ],
        "usage": _usage(answer),
        "ambit": _extension(answer_id, answer),
    }


def _message(answer: Answer, *, in_schema: bool) -> dict[str, Any]:
    """Return the answer; of an abstention from a schema the words, which are no JSON, as a refusal."""
    if in_schema and answer.abstained:
        return {"role": "assistant", "content": None, "refusal": answer.text}
    return {"role": "assistant", "content": answer.text, "refusal": None}


def _chunk(
    *,
    use_id: UUID,
    model: str,
    made_at: int,
    delta: dict[str, Any] | None = None,
    **more: Any,
) -> bytes:
    finish_reason = more.pop("finish_reason", None)
    choices = [] if delta is None else [
        {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
    ]  # fmt: skip
    return unnamed(
        {
            "id": f"chatcmpl-{use_id.hex}",
            "object": "chat.completion.chunk",
            "created": made_at,
            "model": model,
            "choices": choices,
            **more,
        }
    )


def _ending(
    chunk: Any, saved: flow.SavedAnswer, *, n_shown: int, with_usage: bool, in_schema: bool
) -> Iterable[bytes]:
    """Yield what ends a stream; what was not shown in pieces, such as JSON, is shown whole."""
    answer = saved.answer
    if n_shown == 0:
        part = "refusal" if in_schema and answer.abstained else "content"
        yield chunk(delta={part: answer.text})
    extension = _extension(saved.id, answer)
    yield chunk(delta={}, finish_reason=_finish_reason(answer), ambit=extension)
    if with_usage:
        yield chunk(usage=_usage(answer))
    yield DONE


def _finish_reason(answer: Answer) -> str:
    return "length" if answer.cut_short else "stop"


def _usage(answer: Answer) -> dict[str, Any]:
    usage = answer.usage
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }


def _extension(answer_id: UUID, answer: Answer) -> dict[str, Any]:
    return {
        "answer": public_id("answer", answer_id),
        "abstained": answer.abstained,
        "withheld": answer.withheld,
        "groundedness": answer.groundedness,
        "unsupported": list(answer.unsupported),
        "citations": citations_of(answer),
    }


def _model(id: str) -> dict[str, Any]:
    return {"id": id, "object": "model", "created": 0, "owned_by": "ambit"}
