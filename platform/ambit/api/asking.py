"""How a question comes in, however it is asked: the steps that answers and chat completions share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext, suppress
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.http.response import HttpResponseBase
from rest_framework.exceptions import ErrorDetail, ValidationError

from ambit.access.clearance import clearance_for
from ambit.adapters.queries import usable_adapter
from ambit.answers import flow
from ambit.answers.counting import NOTHING, close_now
from ambit.answers.recall import Recalled, condense, recall, still_recalled
from ambit.answers.structured import check_schema
from ambit.answers.types import Answer, Question, Tell
from ambit.api import idempotency
from ambit.api.views import AsyncAmbitView
from ambit.inference.embedding import QUERY_DEADLINE_S, EmbeddingUnavailable, embed_query
from ambit.inference.types import Vector
from ambit.metering.limits import Admission, admit
from ambit.metering.types import Kind
from tenants.queries import get_tenant
from tenants.statements import give_up_after
from tenants.steps import in_step, places_for

T = TypeVar("T")
# Who holds a document for longer must not keep the places of the others: each statement ends by then.
STEP_MS = 10_000
# Not the loop's own, in which long answers are compared with their passages.
EMBEDDED_AT_ONCE = 8
_EMBEDDING = ThreadPoolExecutor(max_workers=EMBEDDED_AT_ONCE, thread_name_prefix="ambit-embed")
# Undoes what a step made for somebody who had left; a request's own thread may be gone with it.
_LATE = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ambit-undo")


class ModelNeeded(ValueError):
    """What was asked for takes a language model, and none is configured."""


class AnswerNotKept(RuntimeError):
    """The answer was written and counted, but the database did not take it; what is not kept is not given."""


class ModelNotFound(LookupError):
    """There is no such model, or the asker may not use it: not told apart."""


@dataclass(frozen=True, slots=True)
class _Taken:
    """A question that was read, with the place of its Idempotency-Key."""

    slot: idempotency.Slot | None
    question: Question
    recalled: Recalled | None
    # The tenant's, from before the caller is let in again to have it answered.
    epoch: int


class _Vector:
    """A question's vector, computed in a thread, so that no transaction waits for the embedding service."""

    def __init__(self, ahead: str | None, *, of: UUID) -> None:
        """Begin with the text that will probably be asked for; of: the tenant, in whose line it waits."""
        self._tenant_id = of
        self._text = ahead
        self._found = None if ahead is None else self._embed(ahead)

    async def of(self, text: str) -> Vector:
        """Return the vector of a text within the time of a query, its wait for a place too; raises as embed_query."""
        if self._found is None or text != self._text:
            self.forget()
            self._found = self._embed(text)
        try:
            async with asyncio.timeout(QUERY_DEADLINE_S):
                return await self._found
        except TimeoutError:
            raise EmbeddingUnavailable(reason="slow") from None

    def forget(self) -> None:
        """Begin no more with what nobody waits for."""
        if self._found is not None:
            self._found.cancel()

    def _embed(self, text: str) -> asyncio.Future[Vector]:
        found = asyncio.ensure_future(_embedded(text, of=self._tenant_id))
        # Of what nobody asks for any more, a failure is nobody's.
        found.add_done_callback(lambda done: done.cancelled() or done.exception())
        return found


async def _embedded(text: str, *, of: UUID) -> Vector:
    """Embed a text in a thread, once there is a place: one that was given up is not free before it is done."""
    loop = asyncio.get_running_loop()
    places = places_for("embedding", n_places=EMBEDDED_AT_ONCE)
    await places.take(of)

    def give_back(_: Future[Vector]) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(places.give_back, of)

    working = _EMBEDDING.submit(copy_context().run, embed_query, text)
    working.add_done_callback(give_back)
    return await asyncio.wrap_future(working)


@dataclass(slots=True)
class Begun:
    """A question that was prepared, and whether its answer is being written."""

    slot: idempotency.Slot | None
    prepared: flow.Prepared
    is_under_way: bool = False


class AskingView(AsyncAmbitView):
    """A view that answers a question; its steps, each in a transaction of its own."""

    asks: Kind = "answer"
    admission: Admission | None = None

    def question(self) -> Question:
        """Read the question, in the caller's scope; raise what is wrong with it."""
        raise NotImplementedError

    async def begin(self, *, alone: str | None = None) -> HttpResponseBase | Begun:
        """Prepare an answer, or show what the request's Idempotency-Key has made before.

        alone: the question, where it is looked for as it stands: then it is embedded while it is read.
        Each step that writes is seen to its end, also where the asker leaves meanwhile, and undone then:
        no use stays open for what no model was asked, and no key for what is over.
        """
        caller = self.caller
        member_id = self.acting_member()
        assert caller is not None and caller.tenant_id is not None  # noqa: S101 - acting_member made sure
        self.admission = await admit(
            tenant_id=caller.tenant_id,
            member_id=member_id,
            key_id=caller.key_id,
            takes_tokens=bool(settings.AMBIT_VLLM_URL),
        )
        tenant_id = caller.tenant_id
        vector = _Vector(alone, of=tenant_id)
        try:
            taken = await _to_its_end(self._take, of=tenant_id, undo=self._untake)
        except BaseException:
            vector.forget()
            raise
        if isinstance(taken, HttpResponseBase):
            vector.forget()
            return taken
        try:
            looked_for = taken.question.text
            if taken.recalled:
                looked_for = await condense(
                    looked_for,
                    taken.recalled,
                    stands=partial(self._recalled_stands, taken.recalled),
                    epoch=taken.epoch,
                )
            embedding = await vector.of(looked_for) if taken.question.retrieves else None
            prepare = partial(self._prepare_answer, taken, looked_for, embedding)
            return Begun(taken.slot, await _to_its_end(prepare, of=tenant_id, undo=flow.give_up))
        except BaseException:
            vector.forget()
            await asyncio.shield(self._free(taken.slot))
            raise

    async def answered(self, begun: Begun, *, tell: Tell) -> flow.SavedAnswer:
        """Let the answer be written and keep it; what it cost is counted also where it cannot be kept."""
        prepared = begun.prepared
        begun.is_under_way = True
        try:
            answer = await flow.generate(prepared, tell=tell, stands=partial(self.stands, prepared))
            try:
                return await in_step(
                    partial(self.save, begun.slot, prepared, answer),
                    of=prepared.tenant_id,
                    patient=True,
                )
            except BaseException as error:
                is_away = isinstance(error, OperationalError | InterfaceError)
                # Where that cannot be counted either, its open use is by what its prompt was estimated to take.
                with suppress(OperationalError, InterfaceError) if is_away else nullcontext():
                    await flow.count_unsaved(prepared, answer)
                if is_away:
                    raise AnswerNotKept from error
                raise
        except BaseException:
            await asyncio.shield(self._free(begun.slot))
            raise

    def unread(self, begun: Begun) -> None:
        """Give up what was prepared for a stream that nobody began to read."""
        if not begun.is_under_way:
            flow.give_up(begun.prepared)
            self._free_now(begun.slot)

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
            return flow.still_covered(prepared, locking=False)

    def _finish(self, response: HttpResponseBase) -> HttpResponseBase:
        final = super()._finish(response)
        for name, value in (self.admission.headers if self.admission else {}).items():
            final.headers.setdefault(name, value)
        return final

    def _take(self) -> HttpResponseBase | _Taken:
        with self.in_scope():
            slot = self.begin_once()
            if isinstance(slot, idempotency.Earlier):
                return self.replayed(slot)
            give_up_after(STEP_MS)
            question = self.question()
            _refuse_what_cannot_be(question)
            epoch = get_tenant().salt_epoch
            return _Taken(slot, question, self._recalled(question), epoch)

    def _untake(self, taken: HttpResponseBase | _Taken) -> None:
        if isinstance(taken, _Taken):
            self._free_now(taken.slot)
            if taken.recalled and taken.recalled.use_id:
                close_now(
                    taken.recalled.tenant_id, taken.recalled.use_id, NOTHING, outcome="cancelled"
                )

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

    def _recalled_stands(self, recalled: Recalled) -> bool:
        with self.in_scope():
            return still_recalled(recalled, member_id=self.acting_member())

    def _prepare_answer(
        self, taken: _Taken, looked_for: str, embedding: Vector | None
    ) -> flow.Prepared:
        with self.in_scope():
            give_up_after(STEP_MS)
            return flow.prepare(
                member_id=self.acting_member(),
                key_id=self._key_id(),
                kind=self.asks,
                question=taken.question,
                embedding=embedding,
                recalled=taken.recalled,
                looked_for=looked_for,
                epoch=taken.epoch,
            )

    def _key_id(self) -> UUID | None:
        return self.caller.key_id if self.caller else None

    async def _free(self, slot: idempotency.Slot | None) -> None:
        if slot is not None:
            tenant_id = self.caller and self.caller.tenant_id
            await in_step(partial(self._free_now, slot), of=tenant_id, patient=True)

    def _free_now(self, slot: idempotency.Slot | None) -> None:
        """Let go of the request's Idempotency-Key: whoever repeats it need not wait for what is over."""
        if slot is not None:
            with self.in_scope():
                idempotency.give_up(slot)


async def _to_its_end(step: Callable[[], T], *, of: UUID, undo: Callable[[T], None]) -> T:
    """Do a step off the loop; where its asker leaves meanwhile, let it end and undo it."""
    task = asyncio.ensure_future(in_step(step, of=of))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:

        def forget(done: asyncio.Future[T]) -> None:
            if not done.cancelled() and done.exception() is None:
                _LATE.submit(undo, done.result())

        task.add_done_callback(forget)
        raise


def read_schema(schema: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return the JSON schema of an answer; raise SchemaRefused."""
    if schema is not None:
        check_schema(schema)
    return schema


def _refuse_what_cannot_be(question: Question) -> None:
    if not question.retrieves and question.adapter_id is None:
        words = "Without passages only an adapter answers: name one."
        raise ValidationError({"retrieval": [ErrorDetail(words, code="adapter_required")]})
    if settings.AMBIT_VLLM_URL:
        return
    if question.schema is not None or question.adapter_id is not None or not question.retrieves:
        raise ModelNeeded
