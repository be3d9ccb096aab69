"""What an adapter wrote was made from all that it was trained on: it is shown, kept and destroyed as that is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.utils import timezone

from ambit.access.clearance import clearance_for
from ambit.access.documents import delete_document
from ambit.adapters.queries import usable_adapters
from ambit.adapters.services import retire_adapter
from ambit.answers.ages import answers_made_from, documents_behind, turns_of
from ambit.answers.conversations import (
    earlier_turns,
    get_conversation,
    start_conversation,
    still_seen,
)
from ambit.answers.flow import prepare, save
from ambit.answers.holdings import ANSWERS, answers_about
from ambit.answers.models import Exchange
from ambit.answers.queries import (
    AnswerNotFound,
    answers_asked_by,
    answers_of_others,
    get_answer,
)
from ambit.answers.services import adapters_of, made_from, save_exchange
from ambit.answers.types import Answer, Question, SavedExchange, Usage
from ambit.erasure.restrictions import place_restriction
from ambit.erasure.retention import past_time
from tenants import services
from tenants.holding import Scope
from tests.database.adapter_office import Office, make_office
from tests.database.adapting import make_live, work
from tests.database.erasures import file, keep_from_workers, receipt_of, work_on
from tests.database.readers import Begin
from tests.database.worlds import working

_ANSWER = Answer(
    text="That the boat is late.",
    abstained=False,
    generator="vllm",
    citations=(),
    unsupported=(),
    usage=Usage(),
)


@dataclass(frozen=True)
class Talk:
    """Ben's conversation: a turn of an adapter without passages, one that was told of it, one of neither."""

    office: Office
    adapter_id: UUID
    id: UUID
    written: UUID
    told: UUID
    other: UUID

    @property
    def tenant_id(self) -> UUID:
        return self.office.tenant_id

    def earlier(self) -> list[UUID]:
        """Return the turns that a next question is told of."""
        return [t.id for t in _earlier(self.office, self.id)]

    def readable(self) -> list[UUID]:
        """Return which of the answers Ben can read, asked for one by one."""
        return [one for one in (self.written, self.told, self.other) if self._reads(one)]

    def _reads(self, answer_id: UUID) -> bool:
        with working(self.tenant_id):
            clearance = clearance_for(member_id=self.office.ben)
            try:
                return get_answer(answer_id=answer_id, clearance=clearance).id == answer_id
            except AnswerNotFound:
                return False


def _earlier(office: Office, conversation_id: UUID) -> list[SavedExchange]:
    with working(office.tenant_id):
        clearance = clearance_for(member_id=office.ben)
        return earlier_turns(conversation_id=conversation_id, clearance=clearance)


def _say(
    office: Office,
    conversation_id: UUID,
    *,
    adapter_id: UUID | None = None,
    turns: list[SavedExchange] | None = None,
) -> UUID:
    with working(office.tenant_id):
        return save_exchange(
            member_id=office.ben,
            question="What did she write?",
            answer=_ANSWER,
            passages=(),
            conversation_id=conversation_id,
            earlier=made_from(turns or (), member_id=office.ben),
            adapter_ids=adapters_of(turns or (), member_id=office.ben)
            | ({adapter_id} if adapter_id else set()),
        )


@pytest.fixture
def talk() -> Talk:
    """Return a conversation whose adapter is live."""
    office = make_office()
    adapter_id = make_live(office.tenant_id, office.anna, [office.letters, office.wages])
    with working(office.tenant_id):
        keep_from_workers()
        conversation_id = start_conversation(member_id=office.ben)
    written = _say(office, conversation_id, adapter_id=adapter_id)
    told = _say(office, conversation_id, turns=_earlier(office, conversation_id))
    other = _say(office, conversation_id)
    return Talk(office, adapter_id, conversation_id, written, told, other)


def _delete(talk: Talk) -> None:
    clearance = clearance_for(member_id=talk.office.anna)
    delete_document(clearance=clearance, document_id=talk.office.wages)


def _leave(talk: Talk) -> None:
    services.remove_from_group(group_id=talk.office.group, member_id=talk.office.ben)


def _retire(talk: Talk) -> None:
    retire_adapter(adapter_id=talk.adapter_id)


@pytest.mark.parametrize("take", [_delete, _leave, _retire])
def test_whoever_may_not_use_the_adapter_any_more_reads_nothing_it_wrote(
    talk: Talk, take: Callable[[Talk], None]
) -> None:
    turns = _earlier(talk.office, talk.id)
    assert talk.readable() == talk.earlier() == [talk.written, talk.told, talk.other]

    with working(talk.tenant_id):
        take(talk)
        keep_from_workers()

    assert talk.readable() == talk.earlier() == [talk.other]
    with working(talk.tenant_id):
        clearance = clearance_for(member_id=talk.office.ben)
        read = get_conversation(conversation_id=talk.id, clearance=clearance)
        assert not still_seen(turns[1:], clearance=clearance)
        assert still_seen(turns[2:], clearance=clearance)
    assert ([t.id for t in read.turns], read.n_withheld) == ([talk.other], 2)


def test_what_is_erased_with_its_weights_is_not_shown_again(talk: Talk) -> None:
    with working(talk.tenant_id):
        _retire(talk)
        keep_from_workers()
    work(talk.tenant_id, talk.adapter_id)

    assert talk.readable() == [talk.other]


def test_an_erased_training_document_takes_what_was_written_and_what_was_told_of_it(
    talk: Talk,
) -> None:
    case_id = file(talk.tenant_id, documents=[talk.office.wages]).id
    assert case_id is not None

    assert work_on(talk.tenant_id, case_id).state == "closed"

    (said,) = (h for h in receipt_of(talk.tenant_id, case_id)["holdings"] if h["name"] == "answers")
    assert (said["found"], said["destroyed"], said["remaining"]) == (2, 2, 0)
    with working(talk.tenant_id, custody=True):
        left = set(Exchange.objects.values_list("pk", flat=True))
    assert left == {talk.other}


def test_the_holding_finds_and_counts_them_by_the_document_alone(talk: Talk) -> None:
    scope = Scope(talk.tenant_id, document_ids=(talk.office.letters,))
    elsewhere = Scope(talk.tenant_id, document_ids=(uuid4(),))

    with working(talk.tenant_id, custody=True):
        assert (ANSWERS.find(scope), ANSWERS.remains(scope)) == (2, 2)
        assert (ANSWERS.find(elsewhere), ANSWERS.remains(elsewhere)) == (0, 0)
        assert answers_about(document_ids=scope.document_ids, member_ids=()) == {
            talk.written,
            talk.told,
        }
        ANSWERS.destroy(scope)
        assert (ANSWERS.find(scope), ANSWERS.remains(scope)) == (0, 0)


def test_they_are_told_and_kept_as_made_from_its_training_documents(talk: Talk) -> None:
    office, trained = talk.office, {talk.office.letters, talk.office.wages}
    with working(talk.tenant_id, custody=True):
        made = {exchange.id: set(documents) for exchange, documents in answers_asked_by(office.ben)}
        assert made == {talk.written: trained, talk.told: trained, talk.other: set()}
        assert len(answers_of_others([office.wages], member_id=office.anna)) == 2
        assert answers_of_others([office.wages], member_id=office.ben) == []
        assert set(answers_made_from([office.wages])) == {talk.written, talk.told}
        behind = documents_behind(turns_of(talk.id))
        assert (set(behind), len(behind)) == (trained, 2)


def test_what_a_restriction_is_on_keeps_them_past_their_time(talk: Talk) -> None:
    now = timezone.now()
    with working(talk.tenant_id, custody=True):
        assert set(past_time("answers", before=now)) == {talk.written, talk.told, talk.other}
        assert len(past_time("documents", before=now)) == 2
        place_restriction(subject=None, document_ids=[talk.office.wages], reason="disputed")
        keep_from_workers()

        assert set(past_time("answers", before=now)) == {talk.other}
        # The other document would take along what is kept.
        assert list(past_time("documents", before=now)) == []


def test_who_retires_it_waits_for_what_is_being_saved(talk: Talk, begin: Begin) -> None:
    with working(talk.tenant_id):
        clearance = clearance_for(member_id=talk.office.ben)
        wanted = {talk.adapter_id}
        assert usable_adapters(adapter_ids=wanted, clearance=clearance) == wanted
        deleting = begin(talk.tenant_id, lambda: _delete(talk))
        assert deleting.waits()
    deleting.result()

    with working(talk.tenant_id):
        keep_from_workers()
        assert usable_adapters(adapter_ids=wanted, clearance=clearance) == set()


def test_answers_without_an_adapter_name_none(talk: Talk) -> None:
    with working(talk.tenant_id, custody=True), connection.cursor() as cursor:
        cursor.execute("SELECT id FROM answers_exchange WHERE adapter_ids IS NULL")
        assert cursor.fetchall() == [(talk.other,)]


@pytest.mark.parametrize("take", [None, _delete, _retire])
def test_an_answer_names_the_adapter_it_was_asked_of_or_is_withheld(
    talk: Talk, take: Callable[[Talk], None] | None
) -> None:
    question = Question("What did she write?", adapter_id=talk.adapter_id, retrieves=False)
    with working(talk.tenant_id):
        prepared = prepare(member_id=talk.office.ben, question=question, embedding=None)
    with working(talk.tenant_id):
        if take is not None:
            take(talk)
            keep_from_workers()
    with working(talk.tenant_id):
        saved = save(prepared=prepared, answer=_ANSWER)

    with working(talk.tenant_id, custody=True):
        behind = Exchange.objects.get(pk=saved.id).adapter_ids
    # One that is withheld says nothing of what the adapter learnt, and stays its asker's to read.
    assert (saved.answer.withheld, behind) == (
        (False, [talk.adapter_id]) if take is None else (True, None)
    )
