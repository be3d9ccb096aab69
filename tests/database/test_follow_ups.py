"""A question that follows on turns: what goes out of reach meanwhile is not sent, looked for nor kept."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from uuid import UUID, uuid4

import pytest
from pytest_django.fixtures import Settings
from redis import Redis

from ambit.access.clearance import clearance_for
from ambit.answers import flow
from ambit.answers.conversations import earlier_turns
from ambit.answers.models import Exchange
from ambit.answers.queries import open_exchange
from ambit.answers.recall import Recalled, condense, recall, still_recalled
from ambit.answers.types import Answer, Question, SavedExchange, Usage
from ambit.config.runtime.supervisor import Stack
from ambit.metering.places import KEYS
from ambit.metering.turns import turn
from tests.database.erasures import ask
from tests.database.revoking import Scene, make_scene
from tests.database.streams import in_thread, run
from tests.database.worlds import unit, working
from tests.vllm.scripted import DONE, STREAM, USAGE, ScriptedServer, delta

ANSWER = Answer(
    text="Here.", abstained=False, generator="vllm", citations=(), unsupported=(), usage=Usage()
)
ASKED = "And in winter?"
REWRITTEN = "Where does Alice Lind live in winter?"


@dataclass(frozen=True)
class Talk:
    """A conversation of Bob's with one turn, made from a document that only he and Alice read."""

    scene: Scene
    id: UUID

    @property
    def bob(self) -> UUID:
        return self.scene.office.bob

    def recall(self) -> Recalled:
        with working(self.scene.tenant_id):
            return recall(member_id=self.bob, key_id=None, conversation_id=self.id)

    def stands(self, recalled: Recalled) -> bool:
        with working(self.scene.tenant_id):
            return still_recalled(recalled, member_id=self.bob)

    def take_it_away(self) -> None:
        """Let Bob read the document no more."""
        with working(self.scene.tenant_id):
            self.scene.share(self.scene.own)

    def prepare(self, recalled: Recalled | None, *, text: str = ASKED) -> flow.Prepared:
        with working(self.scene.tenant_id):
            return flow.prepare(
                member_id=self.bob,
                question=Question(text, conversation_id=self.id),
                embedding=unit(0),
                recalled=recalled,
                looked_for=REWRITTEN,
            )

    def saved(self, prepared: flow.Prepared) -> SavedExchange:
        """Save an answer; return what is kept of it."""
        with working(self.scene.tenant_id):
            kept = flow.save(prepared=prepared, answer=ANSWER)
        with working(self.scene.tenant_id, member_id=self.bob):
            return open_exchange(Exchange.objects.get(pk=kept.id))


@pytest.fixture
def model(database: Stack, settings: Settings) -> Iterator[ScriptedServer]:
    """Return a model server that rewrites questions, asked by one at a time."""
    server = ScriptedServer((STREAM, delta(REWRITTEN, "stop"), USAGE, DONE))
    settings.AMBIT_VLLM_URL, settings.AMBIT_VLLM_MODEL = server.url, "m"
    settings.AMBIT_VLLM_CONCURRENCY, settings.AMBIT_VLLM_QUEUE_S = 1, 20
    with Redis.from_url(settings.REDIS_URL) as client:
        client.delete(*KEYS)
    yield server
    server.stop()


@pytest.fixture
def talk() -> Talk:
    scene = make_scene()
    turn_id = ask(scene.tenant_id, scene.office.bob, {scene.own}, in_conversation=True)
    with working(scene.tenant_id, member_id=scene.office.bob):
        conversation_id = Exchange.objects.get(pk=turn_id).conversation_id
    assert conversation_id is not None
    return Talk(scene, conversation_id)


@pytest.mark.parametrize("is_taken", [True, False])
def test_what_goes_out_of_reach_in_the_queue_is_not_sent(
    talk: Talk, model: ScriptedServer, *, is_taken: bool
) -> None:
    epoch = talk.scene.epoch()
    recalled = talk.recall()

    async def of() -> None:
        async with turn(uuid4()):
            stands = partial(talk.stands, recalled)
            asking = asyncio.create_task(condense(ASKED, recalled, stands=stands, epoch=epoch))
            await asyncio.sleep(0.3)
            if is_taken:
                await in_thread(talk.take_it_away)
                done, _ = await asyncio.wait({asking}, timeout=5)
                assert done, "it waits for a place to send what is out of reach"
        assert await asking == (ASKED if is_taken else REWRITTEN)

    run(of)
    assert len(model.requests) == (0 if is_taken else 1)


def test_what_lost_turns_said_is_looked_for_no_more(talk: Talk) -> None:
    recalled = talk.recall()
    assert talk.prepare(recalled).passages, "found by the vector"

    talk.take_it_away()
    prepared = talk.prepare(recalled)

    assert prepared.has_lost_turns
    assert (prepared.turns, prepared.brief.turns, prepared.passages) == ((), (), ())
    assert talk.prepare(recalled, text="harbor").passages, "found by its own words"


def test_of_a_question_that_followed_on_what_was_lost_nothing_is_kept(talk: Talk) -> None:
    recalled = talk.recall()
    in_time, too_late = talk.prepare(recalled), talk.prepare(recalled)
    alone = talk.prepare(None)

    kept = talk.saved(in_time)
    talk.take_it_away()
    lost = talk.saved(too_late)
    lost_before = talk.saved(talk.prepare(recalled, text="harbor"))
    own_words = talk.saved(alone)

    assert (kept.question, kept.answer.withheld) == (ASKED, False)
    assert (lost.question, lost.answer.withheld) == ("", True)
    assert (lost_before.question, lost_before.answer.withheld) == ("", False)
    assert (own_words.question, own_words.answer.withheld) == (ASKED, True)


def test_what_was_not_kept_is_told_to_no_model(talk: Talk) -> None:
    recalled = talk.recall()
    prepared = talk.prepare(recalled)
    talk.take_it_away()
    talk.saved(prepared)

    with working(talk.scene.tenant_id):
        clearance = clearance_for(member_id=talk.bob)
        (seen,) = earlier_turns(conversation_id=talk.id, clearance=clearance)

    assert seen.question == ""
    assert talk.recall().turns == ()
