"""What one tenant's looks wait for ends nobody else's answer, nor its own; and what a saved answer waits for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from django.db import OperationalError, connection

from ambit.access.clearance import clearance_for
from ambit.answers import flow, watch
from ambit.answers.conversations import earlier_turns, get_conversation, still_seen
from ambit.answers.holdings import ANSWERS
from ambit.answers.models import Exchange, ExchangePassage
from ambit.answers.queries import AnswerNotFound, get_answer
from ambit.answers.recall import Recalled
from ambit.answers.types import Answer, Question, SavedExchange, Usage
from ambit.answers.watch import revoked
from ambit.api import asking
from ambit.api.asking import AskingView
from ambit.api.permissions import Caller
from ambit.config.settings import EMBEDDED
from ambit.corpus.types import Clearance
from tenants.holding import Scope
from tenants.queries import get_tenant
from tenants.services import bump_salt_epoch
from tenants.statements import give_up_after
from tests.database.erasures import ask
from tests.database.private import superuser_url
from tests.database.readers import Begin
from tests.database.revoking import Scene, make_scene
from tests.database.streams import LONG_AGO, run
from tests.database.streams import begin as begin_stream
from tests.database.worlds import unit, working

ANSWER = Answer(
    text="Here.", abstained=False, generator="vllm", citations=(), unsupported=(), usage=Usage()
)


@pytest.fixture(scope="module")
def scenes(_database: None) -> list[Scene]:
    """Return two tenants."""
    return [make_scene() for _ in range(2)]


@pytest.fixture
def held(scenes: list[Scene]) -> Iterator[psycopg.Connection]:
    """Hold the first tenant's documents, as a long change of them does."""
    with psycopg.connect(superuser_url(EMBEDDED)) as long:
        statement = "SELECT id FROM corpus_document WHERE tenant_id = %s FOR NO KEY UPDATE"
        assert long.execute(statement, [scenes[0].tenant_id]).fetchall()
        yield long
        long.rollback()


def prepared_for(
    scene: Scene, member_id: UUID, turns: tuple[SavedExchange, ...] = ()
) -> flow.Prepared:
    """Prepare an answer that was told of these turns."""
    recalled = Recalled(scene.tenant_id, "", asked_before=(), kept=turns, use_id=None)
    with working(scene.tenant_id):
        return flow.prepare(
            member_id=member_id,
            question=Question("harbor"),
            embedding=unit(0).tolist(),
            recalled=recalled,
        )


def turn_of(scene: Scene, member_id: UUID, document_id: UUID) -> SavedExchange:
    """Save a turn made from a document, and return it."""
    answer_id = ask(scene.tenant_id, member_id, {document_id}, in_conversation=True)
    with working(scene.tenant_id, member_id=member_id):
        conversation_id = Exchange.objects.get(pk=answer_id).conversation_id
        assert conversation_id is not None
        clearance = clearance_for(member_id=member_id)
        (turn,) = earlier_turns(conversation_id=conversation_id, clearance=clearance)
    return turn


def destroy(scene: Scene, answer_id: UUID) -> None:
    """Destroy a saved answer as a worker does."""
    with working(scene.tenant_id, custody=True):
        ANSWERS.destroy(Scope(scene.tenant_id, answer_ids=(answer_id,)))


class Asking(AskingView):
    """A view whose caller is let in already."""

    tenant_id: UUID

    @contextmanager
    def in_scope(self) -> Iterator[Caller]:
        """Open the tenant's scope alone."""
        with working(self.tenant_id):
            yield None  # type: ignore[misc]  # nobody asks who it is


def test_a_look_waits_for_nobody_and_saving_does(
    scenes: list[Scene], held: psycopg.Connection, begin: Begin
) -> None:
    scene = scenes[0]
    held.rollback()
    turn = turn_of(scene, scene.office.bob, scene.own)
    prepared = prepared_for(scene, scene.office.bob, (turn,))
    assert prepared.passages
    statement = "SELECT id FROM corpus_document WHERE tenant_id = %s FOR NO KEY UPDATE"
    held.execute(statement, [scene.tenant_id])

    async def of() -> None:
        view = Asking()
        view.tenant_id = scene.tenant_id
        streams = [
            asyncio.create_task(revoked(stands, tenant_id=scene.tenant_id, epoch=LONG_AGO))
            for stands in [partial(flow._stands, prepared), partial(view.stands, prepared)] * 6
        ]
        await asyncio.sleep(watch.STANDS_S + 0.4)
        assert not any(task.done() for task in streams)
        for task in streams:
            task.cancel()
        await asyncio.gather(*streams, return_exceptions=True)

    run(of)
    saving = begin(scene.tenant_id, lambda: flow.save(prepared=prepared, answer=ANSWER))
    assert saving.waits(), "what is kept must not be hidden at the same moment"
    held.rollback()
    assert not saving.result().answer.withheld


def test_what_is_revoked_before_the_caller_is_let_in_again_is_seen_by_the_watch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene = make_scene()
    view = Asking()
    view.tenant_id = scene.tenant_id
    monkeypatch.setattr(view, "begin_once", lambda: None)
    monkeypatch.setattr(view, "question", lambda: Question("harbor"))
    monkeypatch.setattr(view, "acting_member", lambda: scene.office.bob)

    taken = view._take()
    assert isinstance(taken, asking._Taken)
    with working(scene.tenant_id):
        before = get_tenant().salt_epoch
        bump_salt_epoch()
    prepared = view._prepare_answer(taken, "harbor", unit(0))

    assert prepared.salt_epoch == taken.epoch == before


def test_saving_does_not_wait_for_ever(
    scenes: list[Scene], held: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    held.rollback()
    scene = scenes[0]
    prepared = prepared_for(scene, scene.office.bob)
    statement = "SELECT id FROM corpus_document WHERE tenant_id = %s FOR NO KEY UPDATE"
    held.execute(statement, [scene.tenant_id])
    monkeypatch.setattr(flow, "SAVE_MS", 200)

    with pytest.raises(OperationalError), working(scene.tenant_id):
        flow.save(prepared=prepared, answer=ANSWER)


def test_looks_that_hang_are_their_tenants_alone(
    scenes: list[Scene], held: psycopg.Connection
) -> None:
    # All look at once, as after a revocation.
    blocked = replace(begin_stream(scenes[0], scenes[0].office.alice), locking=True, epoch=LONG_AGO)
    other = replace(begin_stream(scenes[1], scenes[1].office.alice), epoch=LONG_AGO)

    async def of() -> None:
        # More than there are threads, and as many again once these were given up.
        hanging = [asyncio.create_task(blocked.ends()) for _ in range(12)]
        await asyncio.sleep(0.2)
        staying = [asyncio.create_task(other.ends())]
        await asyncio.wait(hanging, timeout=watch.STANDS_S + 1)
        assert all(task.done() for task in hanging), "in doubt it is a no"
        hanging = [asyncio.create_task(blocked.ends()) for _ in range(12)]
        staying += [asyncio.create_task(other.ends()) for _ in range(4)]
        await asyncio.wait(hanging, timeout=watch.STANDS_S + 1)
        assert all(task.done() for task in hanging)
        assert not any(task.done() for task in staying)
        for task in staying:
            task.cancel()
        await asyncio.gather(*staying, return_exceptions=True)
        # Its own go on once nothing is held.
        held.rollback()
        again = asyncio.create_task(blocked.ends())
        await asyncio.sleep(watch.STANDS_S + 0.3)
        assert not again.done()
        again.cancel()
        await asyncio.gather(again, return_exceptions=True)

    run(of)


@pytest.fixture
def unknown_tenants(scenes: list[Scene], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every tenant that is made up have an epoch."""
    real, ask = {scene.tenant_id for scene in scenes}, watch._epoch_of
    monkeypatch.setattr(watch, "_epoch_of", lambda tenant: ask(tenant) if tenant in real else 1)


@pytest.mark.usefixtures("unknown_tenants")
def test_a_poll_waits_for_no_look(scenes: list[Scene]) -> None:
    stream = begin_stream(scenes[1], scenes[1].office.alice)
    over = threading.Event()

    async def of() -> None:
        staying = asyncio.create_task(stream.ends())
        await asyncio.sleep(0.3)
        for tenant_id in [uuid4() for _ in range(8)] * watch.LOOKS_OF_ONE:
            looks.append(asyncio.create_task(revoked(hangs, tenant_id=tenant_id, epoch=LONG_AGO)))
        await asyncio.sleep(watch.SILENT_S + 0.5)
        assert not staying.done()
        staying.cancel()
        await asyncio.gather(staying, *looks, return_exceptions=True)

    def hangs() -> bool:
        return over.wait(20)

    looks: list[asyncio.Task[None]] = []
    try:
        run(of)
    finally:
        over.set()


@pytest.mark.usefixtures("unknown_tenants")
def test_a_look_given_up_still_counts_until_its_thread_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watch, "STANDS_S", 0.1)
    tenant_id, over, begun = uuid4(), threading.Event(), []

    def hangs() -> bool:
        begun.append(1)
        return over.wait(20)

    async def of() -> None:
        for _ in range(5):
            await revoked(hangs, tenant_id=tenant_id, epoch=LONG_AGO)

    try:
        run(of)
    finally:
        over.set()
    assert len(begun) == watch.LOOKS_OF_ONE


def test_a_look_ends_in_the_database_too(scenes: list[Scene]) -> None:
    prepared = prepared_for(scenes[0], scenes[0].office.bob)
    with working(scenes[0].tenant_id), connection.cursor() as cursor:
        assert flow.still_covered(prepared)
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("0",)
        assert flow.still_covered(prepared, locking=False)
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("1s",)
    with (
        pytest.raises(OperationalError),
        working(scenes[0].tenant_id),
        connection.cursor() as cursor,
    ):
        give_up_after(50)
        cursor.execute("SELECT pg_sleep(5)")
    with working(scenes[0].tenant_id), connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("0",)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_turn_destroyed_while_an_answer_is_saved_is_known_to_it_or_it_is_withheld(
    scenes: list[Scene], begin: Begin, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    scene = scenes[0]
    bob = scene.office.bob
    turn = turn_of(scene, bob, scene.own)
    prepared = prepared_for(scene, bob, (turn,))
    prepared = replace(prepared, brief=replace(prepared.brief, passages=()))
    asked = still_seen

    def destroyed_meanwhile(*args: object, **kwargs: object) -> bool:
        if when == "before":
            begin(scene.tenant_id, partial(destroy, scene, turn.id)).result()
        seen = asked(*args, **kwargs)  # type: ignore[arg-type]  # as it was called
        if when == "after":
            begin(scene.tenant_id, partial(destroy, scene, turn.id)).result()
        return seen

    monkeypatch.setattr(flow, "still_seen", destroyed_meanwhile)
    with working(scene.tenant_id):
        saved = flow.save(prepared=prepared, answer=ANSWER)

    assert saved.answer.withheld == (when == "before")
    with working(scene.tenant_id, member_id=bob):
        made = ExchangePassage.objects.filter(exchange_id=saved.id)
        assert set(made.values_list("document_id", flat=True)) == (
            set() if when == "before" else {scene.own}
        )


def test_a_turn_destroyed_while_it_is_looked_at_is_not_shown(
    scenes: list[Scene], begin: Begin
) -> None:
    scene, bob = scenes[0], scenes[0].office.bob

    def destroyed_meanwhile(look: Callable[[SavedExchange, Clearance], Any]) -> Any:
        turn = turn_of(scene, bob, scene.own)
        done: list[bool] = []

        def destroying(execute: Any, statement: Any, *rest: Any) -> Any:
            if 'FROM "answers_exchangepassage"' in str(statement) and not done:
                done.append(True)
                begin(scene.tenant_id, partial(destroy, scene, turn.id)).result()
            return execute(statement, *rest)

        with working(scene.tenant_id):
            clearance = clearance_for(member_id=bob)
            with connection.execute_wrapper(destroying):
                found = look(turn, clearance)
        assert done
        return found

    def conversation(turn: SavedExchange) -> UUID:
        assert turn.conversation_id is not None
        return turn.conversation_id

    def told(turn: SavedExchange, clearance: Clearance) -> list[SavedExchange]:
        return earlier_turns(conversation_id=conversation(turn), clearance=clearance)

    def shown(turn: SavedExchange, clearance: Clearance) -> tuple[SavedExchange, ...]:
        return get_conversation(conversation_id=conversation(turn), clearance=clearance).turns

    assert destroyed_meanwhile(told) == []
    assert destroyed_meanwhile(shown) == ()
    assert not destroyed_meanwhile(lambda turn, clearance: still_seen([turn], clearance=clearance))
    with pytest.raises(AnswerNotFound):
        destroyed_meanwhile(lambda turn, own: get_answer(answer_id=turn.id, clearance=own))
