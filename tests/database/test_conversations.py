"""A conversation is its member's alone, shows what may be seen now, and is destroyed like any saved answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from ambit.access.clearance import clearance_for
from ambit.access.documents import delete_document
from ambit.answers import conversations
from ambit.answers.conversations import (
    delete_conversation,
    earlier_turns,
    get_conversation,
    list_conversations,
    start_conversation,
)
from ambit.answers.holdings import ANSWERS
from ambit.answers.models import Conversation, Exchange, ExchangePassage
from ambit.answers.queries import AnswerNotFound, get_answer
from ambit.answers.services import ConversationNotFound, made_from, save_exchange
from ambit.answers.types import Answer, SavedExchange, Usage
from ambit.corpus.types import SubjectRef
from ambit.erasure.restrictions import lift, place_hold, place_restriction
from ambit.jobs.kinds import REMOVE_CONVERSATION
from ambit.jobs.models import Job
from ambit.jobs.services import claim
from tenants import services as directory
from tenants.audit import Actor, acting_as
from tenants.holding import Scope
from tenants.models import AuditEvent
from tests.database.erasures import file, keep_from_workers, work_on
from tests.database.readers import Begin
from tests.database.revoking import Scene, make_scene
from tests.database.worlds import make_member, working
from workers.erase.forget import HELD_DELAY_S, forget


@dataclass(frozen=True)
class Talk:
    """A conversation of one member of a tenant."""

    scene: Scene
    member_id: UUID
    id: UUID

    def say(self, question: str, *documents: UUID, turns: tuple[SavedExchange, ...] = ()) -> UUID:
        """Ask, and have it answered from these documents; in the transaction in scope or in its own."""
        with working(self.scene.tenant_id):
            found = self.scene.office.ask(self.member_id, "harbor", k=50)
            return save_exchange(
                member_id=self.member_id,
                question=question,
                answer=answer(f"To {question}"),
                passages=[p for p in found if p.document_id in documents],
                conversation_id=self.id,
                earlier=made_from(turns, member_id=self.member_id),
            )

    def earlier(self, n: int = 6) -> list[str]:
        """Return the questions that a next one is told of."""
        with working(self.scene.tenant_id):
            clearance = clearance_for(member_id=self.member_id)
            turns = earlier_turns(conversation_id=self.id, clearance=clearance, n=n)
        assert all(t.answer.text == f"To {t.question}" for t in turns)
        assert {t.conversation_id for t in turns} <= {self.id}
        return [t.question for t in turns]

    def read(self) -> tuple[list[str], int]:
        """Return the questions that are shown, and how many turns are not."""
        with working(self.scene.tenant_id):
            clearance = clearance_for(member_id=self.member_id)
            found = get_conversation(conversation_id=self.id, clearance=clearance)
        return [t.question for t in found.turns], found.n_withheld

    def delete(self) -> None:
        """Delete it as its member."""
        with working(self.scene.tenant_id):
            delete_conversation(conversation_id=self.id, member_id=self.member_id)
            keep_from_workers()

    def rows(self) -> tuple[int, int, int]:
        """Return how many rows there are: conversations, turns, passages of all answers."""
        with working(self.scene.tenant_id, custody=True):
            return (
                Conversation.objects.filter(pk=self.id).count(),
                Exchange.objects.filter(conversation_id=self.id).count(),
                ExchangePassage.objects.count(),
            )

    def work(self) -> Job | None:
        """Do what waits to be destroyed, as a worker does; return the job where it is not over."""
        with working(self.scene.tenant_id):
            job = Job.objects.get(name=REMOVE_CONVERSATION.name, object_id=self.id)
            Job.objects.filter(pk=job.pk).update(run_after=timezone.now(), lease=None)
            held = claim(tenant_id=self.scene.tenant_id, job_id=job.pk)
        assert held is not None
        with acting_as(Actor("worker", None)):
            forget(held)
        with working(self.scene.tenant_id):
            return Job.objects.filter(pk=job.pk).first()


def answer(text: str) -> Answer:
    """Return a model's answer without citations."""
    return Answer(
        text=text,
        abstained=False,
        generator="vllm",
        citations=(),
        unsupported=(),
        usage=Usage(),
    )


@pytest.fixture
def scene() -> Scene:
    """Return a fresh tenant."""
    return make_scene()


@pytest.fixture
def talk(scene: Scene) -> Talk:
    """Return a conversation of Bob's, with a turn for each document that he reads."""
    made = talk_of(scene, scene.office.bob)
    made.say("collection", scene.of_collection)
    made.say("own", scene.own)
    made.say("nothing")
    return made


def talk_of(scene: Scene, member_id: UUID) -> Talk:
    """Begin a conversation."""
    with working(scene.tenant_id):
        return Talk(scene, member_id, start_conversation(member_id=member_id))


def test_a_next_question_is_told_of_the_latest_turns_oldest_first(talk: Talk) -> None:
    assert talk.earlier() == ["collection", "own", "nothing"]
    assert talk.earlier(n=2) == ["own", "nothing"]
    assert talk.read() == (["collection", "own", "nothing"], 0)


def test_a_turn_out_of_reach_is_left_out_whole_and_counted(talk: Talk, scene: Scene) -> None:
    with working(scene.tenant_id):
        scene.share(scene.own)
    assert talk.earlier() == ["collection", "nothing"]
    assert talk.read() == (["collection", "nothing"], 1)

    with working(scene.tenant_id):
        scene.share(scene.own, scene.office.bob)
        delete_document(clearance=scene.alices(), document_id=scene.of_collection)
        keep_from_workers()
    assert talk.earlier() == ["own", "nothing"]
    assert talk.read() == (["own", "nothing"], 1)


def test_a_turn_of_two_documents_needs_both(talk: Talk, scene: Scene) -> None:
    talk.say("both", scene.own, scene.of_collection)
    with working(scene.tenant_id):
        scene.share(scene.own)

    assert talk.earlier() == ["collection", "nothing"]


def test_what_was_told_of_an_earlier_turn_goes_with_it(talk: Talk, scene: Scene) -> None:
    with working(scene.tenant_id):
        clearance = clearance_for(member_id=talk.member_id)
        turns = earlier_turns(conversation_id=talk.id, clearance=clearance)
    talk.say("later", scene.of_collection, turns=tuple(turns))
    with working(scene.tenant_id):
        scene.share(scene.own)

    assert talk.earlier() == ["collection", "nothing"]


def test_a_suspended_member_is_told_nothing_of_its_own_turns(talk: Talk, scene: Scene) -> None:
    with working(scene.tenant_id):
        directory.set_member_suspended(member_id=talk.member_id, suspended=True)

    assert talk.earlier() == ["nothing"]


def _everything(scene: Scene, member_id: UUID, conversation_id: UUID) -> list[Callable[[], object]]:
    clearance = clearance_for(member_id=member_id)
    return [
        lambda: earlier_turns(conversation_id=conversation_id, clearance=clearance),
        lambda: get_conversation(conversation_id=conversation_id, clearance=clearance),
        lambda: delete_conversation(conversation_id=conversation_id, member_id=member_id),
        lambda: save_exchange(
            member_id=member_id,
            question="?",
            answer=answer(""),
            passages=(),
            conversation_id=conversation_id,
        ),
    ]


def test_anothers_a_deleted_and_a_made_up_one_are_not_told_apart(talk: Talk, scene: Scene) -> None:
    other, deleted = make_scene(), talk_of(scene, scene.office.bob)
    deleted.delete()
    tried = [
        (scene, scene.office.alice, talk.id),
        (scene, scene.office.bob, deleted.id),
        (scene, scene.office.bob, uuid4()),
        (other, other.office.bob, talk.id),
    ]
    for place, member_id, conversation_id in tried:
        with working(place.tenant_id):
            for attempt in _everything(place, member_id, conversation_id):
                with pytest.raises(ConversationNotFound), transaction.atomic():
                    attempt()
    assert talk.earlier() == ["collection", "own", "nothing"]


def test_a_turn_in_anothers_conversation_cannot_be_written(talk: Talk, scene: Scene) -> None:
    alice = scene.office.alice
    with pytest.raises(IntegrityError), working(scene.tenant_id, member_id=alice):
        Exchange.objects.create(
            member_id=alice,
            conversation_id=talk.id,
            wrapped_key=b"",
            body_sealed=b"",
            generator="vllm",
            abstained=True,
        )


def test_a_member_lists_its_own_newest_first(talk: Talk, scene: Scene) -> None:
    newer = talk_of(scene, scene.office.bob)
    talk_of(scene, scene.office.alice)
    with working(scene.tenant_id):
        listed = list_conversations(member_id=scene.office.bob, after=None, limit=10)
        rest = list_conversations(member_id=scene.office.bob, after=newer.id, limit=10)

    assert [(one.id, one.n_turns) for one in listed] == [(newer.id, 0), (talk.id, 3)]
    assert rest == listed[1:]


def test_a_deleted_one_is_hidden_at_once_and_then_destroyed(talk: Talk, scene: Scene) -> None:
    kept = talk_of(scene, scene.office.bob)
    kept.say("kept", scene.own)
    answer_id = talk.say("last", scene.own)
    talk.delete()

    with working(scene.tenant_id):
        clearance = clearance_for(member_id=scene.office.bob)
        listed = list_conversations(member_id=scene.office.bob, after=None, limit=10)
        with pytest.raises(AnswerNotFound):
            get_answer(answer_id=answer_id, clearance=clearance)
    assert [one.id for one in listed] == [kept.id]
    assert talk.rows()[:2] == (1, 4)

    assert talk.work() is None
    assert talk.rows() == (0, 0, 1)
    assert kept.earlier() == ["kept"]
    with working(scene.tenant_id):
        events = AuditEvent.objects.filter(object_id=talk.id).order_by("id")
        actions = list(events.values_list("action", flat=True))
    assert [a for a in actions if "read" not in a] == [
        "conversation.created",
        "conversation.deleted",
        "conversation.destroyed",
    ]


def _hold_bob(scene: Scene) -> tuple[str, UUID]:
    held = place_hold(
        subject=SubjectRef("member", str(scene.office.bob)),
        document_ids=None,
        basis="e",
        review_at=timezone.now() + timedelta(days=1),
        reason="a claim",
    )
    return "hold", held.id


def _hold_document(scene: Scene) -> tuple[str, UUID]:
    held = place_hold(
        subject=None,
        document_ids=[scene.own],
        basis="e",
        review_at=timezone.now() + timedelta(days=1),
        reason="a claim",
    )
    return "hold", held.id


def _restrict(scene: Scene) -> tuple[str, UUID]:
    found = place_restriction(subject=None, document_ids=[scene.own], reason="disputed")
    return "restriction", found.id


@pytest.mark.parametrize(("keep", "left"), [(_hold_bob, 3), (_hold_document, 1), (_restrict, 1)])
def test_what_is_held_of_it_stays_hidden_until_that_is_over(
    talk: Talk, scene: Scene, keep: Callable[[Scene], tuple[str, UUID]], left: int
) -> None:
    with working(scene.tenant_id):
        kind, restriction_id = keep(scene)
    talk.delete()

    job = talk.work()
    assert job is not None
    assert job.run_after > timezone.now() + timedelta(seconds=HELD_DELAY_S / 2)
    assert talk.rows()[:2] == (1, left)
    with pytest.raises(ConversationNotFound):
        talk.earlier()

    with working(scene.tenant_id):
        lift(kind=kind, restriction_id=restriction_id)  # type: ignore[arg-type]  # one of two words
        keep_from_workers()
    assert talk.work() is None
    assert talk.rows()[:2] == (0, 0)


def test_an_erased_document_takes_its_turns_and_the_last_its_conversation(
    talk: Talk, scene: Scene
) -> None:
    alone = talk_of(scene, scene.office.bob)
    alone.say("own", scene.own)
    empty = talk_of(scene, scene.office.bob)
    case_id = file(scene.tenant_id, documents=[scene.own]).id
    assert case_id is not None

    assert work_on(scene.tenant_id, case_id).state == "closed"

    assert talk.earlier() == ["collection", "nothing"]
    assert alone.rows()[:2] == (0, 0)
    assert empty.rows()[:2] == (1, 0)


def test_an_erased_member_takes_all_of_them(talk: Talk, scene: Scene) -> None:
    empty, alices = talk_of(scene, scene.office.bob), talk_of(scene, scene.office.alice)
    alices.say("own", scene.own)
    subject = SubjectRef("member", str(scene.office.bob))
    case_id = file(scene.tenant_id, subject=subject).id
    assert case_id is not None

    assert work_on(scene.tenant_id, case_id).state == "closed"

    assert (talk.rows()[:2], empty.rows()[:2]) == ((0, 0), (0, 0))
    assert alices.earlier() == ["own"]


def test_a_turn_under_way_is_saved_before_the_deletion_or_refused(
    talk: Talk, scene: Scene, begin: Begin
) -> None:
    with working(scene.tenant_id):
        talk.say("late", scene.own)
        deleting = begin(
            scene.tenant_id,
            lambda: delete_conversation(conversation_id=talk.id, member_id=talk.member_id),
        )
        assert deleting.waits()
    deleting.result()
    with working(scene.tenant_id):
        keep_from_workers()

    with pytest.raises(ConversationNotFound):
        talk.say("later")
    assert talk.work() is None
    assert talk.rows()[:2] == (0, 0)


def test_a_last_turn_that_is_destroyed_leaves_one_that_is_being_saved(
    talk: Talk, scene: Scene, begin: Begin
) -> None:
    alone = talk_of(scene, scene.office.bob)
    last = alone.say("own", scene.own)

    def destroy() -> None:
        with working(scene.tenant_id, custody=True):
            ANSWERS.destroy(Scope(scene.tenant_id, answer_ids=(last,)))

    with working(scene.tenant_id):
        alone.say("next", scene.of_collection)
        destroying = begin(scene.tenant_id, destroy)
        assert destroying.waits()
    destroying.result()

    assert alone.earlier() == ["next"]


def test_a_long_one_shows_its_latest_turns(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversations, "MAX_TURNS", 2)

    assert talk.read() == (["own", "nothing"], 0)


def test_a_stranger_without_a_name_has_none(scene: Scene) -> None:
    with working(scene.tenant_id):
        stranger = make_member("stranger")
        assert list_conversations(member_id=stranger, after=None, limit=10) == []
