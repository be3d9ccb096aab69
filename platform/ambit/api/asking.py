"""How a question comes in, however it is asked: the steps that answers and chat completions share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.conf import settings
from django.http.response import HttpResponseBase

from ambit.access.clearance import clearance_for
from ambit.adapters.queries import usable_adapter
from ambit.answers import flow
from ambit.answers.recall import Recalled, condense, recall
from ambit.answers.structured import check_schema
from ambit.answers.types import Answer, Question
from ambit.api import idempotency
from ambit.api.views import AsyncAmbitView
from ambit.inference.embedding import embed_query
from ambit.metering.limits import Admission, admit
from ambit.metering.types import Kind


class ModelNeeded(ValueError):
    """What was asked for takes a language model, and none is configured."""


class ModelNotFound(LookupError):
    """There is no such model, or the asker may not use it: not told apart."""


class AskingView(AsyncAmbitView):
    """A view that answers a question; its steps, each in a transaction of its own."""

    asks: Kind = "answer"
    admission: Admission | None = None

    def question(self) -> Question:
        """Read the question, in the caller's scope; raise what is wrong with it."""
        raise NotImplementedError

    async def begin(self) -> HttpResponseBase | tuple[idempotency.Slot | None, flow.Prepared]:
        """Prepare an answer, or show what the request's Idempotency-Key has made before."""
        caller = self.caller
        member_id = self.acting_member()
        assert caller is not None and caller.tenant_id is not None  # noqa: S101 - acting_member made sure
        self.admission = await admit(
            tenant_id=caller.tenant_id,
            member_id=member_id,
            key_id=caller.key_id,
            takes_tokens=bool(settings.AMBIT_VLLM_URL),
        )
        begun = await sync_to_async(self._take)()
        if isinstance(begun, HttpResponseBase):
            return begun
        taken, question, recalled = begun
        try:
            looked_for = await condense(question.text, recalled) if recalled else question.text
            return taken, await sync_to_async(self._prepare_answer)(question, recalled, looked_for)
        except BaseException:
            await self.free(taken)
            raise

    def earlier_questions(self) -> tuple[str, ...]:
        """Return what the caller says was asked before, where it keeps the conversation itself."""
        return ()

    def save(
        self, taken: idempotency.Slot | None, prepared: flow.Prepared, answer: Answer
    ) -> flow.SavedAnswer:
        """Keep the answer, asking for key, member and clearance again."""
        with self.in_scope():
            saved = flow.save(prepared=prepared, answer=answer)
            self.made = (saved.id,)
            self.finish_once(taken, status=200)
        return saved

    def stands(self, prepared: flow.Prepared) -> bool:
        """Say whether the caller may still see all that the answer is made from."""
        with self.in_scope():
            return flow.still_covered(prepared)

    def _finish(self, response: HttpResponseBase) -> HttpResponseBase:
        final = super()._finish(response)
        for name, value in (self.admission.headers if self.admission else {}).items():
            final.headers.setdefault(name, value)
        return final

    async def free(self, taken: idempotency.Slot | None) -> None:
        """Let go of the request's Idempotency-Key: whoever repeats it need not wait for what is over."""
        if taken is not None:
            await sync_to_async(self._free)(taken)

    def _take(
        self,
    ) -> HttpResponseBase | tuple[idempotency.Slot | None, Question, Recalled | None]:
        with self.in_scope():
            taken = self.begin_once()
            if isinstance(taken, idempotency.Earlier):
                return self.replayed(taken)
            question = self.question()
            _refuse_what_needs_a_model(question)
            return taken, question, self._recalled(question)

    def _recalled(self, question: Question) -> Recalled | None:
        earlier = self.earlier_questions()
        if question.conversation_id is None and not earlier:
            return None
        member_id = self.acting_member()
        if question.adapter_id is not None:
            # Before a model is asked for the question anew: what is refused costs nothing, and leaves nothing.
            clearance = clearance_for(member_id=member_id)
            usable_adapter(adapter_id=question.adapter_id, clearance=clearance)
        return recall(
            member_id=member_id,
            key_id=self._key_id(),
            conversation_id=question.conversation_id,
            asked_before=earlier,
        )

    def _prepare_answer(
        self, question: Question, recalled: Recalled | None, looked_for: str
    ) -> flow.Prepared:
        # Before the scope is open: no transaction waits for the embedding service.
        embedding: Any = embed_query(looked_for) if question.retrieves else None
        with self.in_scope():
            return flow.prepare(
                member_id=self.acting_member(),
                key_id=self._key_id(),
                kind=self.asks,
                question=question,
                embedding=embedding,
                recalled=recalled,
                looked_for=looked_for,
            )

    def _key_id(self) -> UUID | None:
        return self.caller.key_id if self.caller else None

    def _free(self, taken: idempotency.Slot) -> None:
        with self.in_scope():
            idempotency.give_up(taken)


def read_schema(schema: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return the JSON schema of an answer; raise SchemaRefused."""
    if schema is not None:
        check_schema(schema)
    return schema


def _refuse_what_needs_a_model(question: Question) -> None:
    if settings.AMBIT_VLLM_URL:
        return
    if question.schema is not None or question.adapter_id is not None or not question.retrieves:
        raise ModelNeeded
