"""Read saved answers: the asker's own, and only while it may still see what they were made from."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from ambit.answers.models import Exchange, ExchangePassage
from ambit.answers.services import FIELD
from ambit.answers.types import Answer, Citation, Usage
from ambit.corpus.queries import visible_documents
from ambit.corpus.types import Clearance
from ambit.keys.sealing import open_data_key, open_text
from tenants.scope import current_tenant_id, member_scope


class AnswerNotFound(LookupError):
    """There is no such answer, it is another's, or what it was made from is out of reach."""


@dataclass(frozen=True, slots=True)
class SavedExchange:
    """A question and its answer as they were given."""

    id: UUID
    asked_at: datetime
    question: str = field(repr=False)
    answer: Answer


def get_answer(*, answer_id: UUID, clearance: Clearance) -> SavedExchange:
    """Return the asker's saved answer; raise AnswerNotFound.

    A document revoked, deleted or erased since takes every answer made from it along.
    """
    if clearance.member_id is None:
        raise AnswerNotFound(answer_id)
    with member_scope(clearance.member_id):
        found = Exchange.objects.filter(pk=answer_id, member_id=clearance.member_id).first()
        passages = ExchangePassage.objects.filter(exchange_id=answer_id)
        documents = set(passages.values_list("document_id", flat=True))
    if found is None:
        raise AnswerNotFound(answer_id)
    if not documents <= visible_documents(document_ids=documents, clearance=clearance):
        raise AnswerNotFound(answer_id)
    return _open(found)


def _open(exchange: Exchange) -> SavedExchange:
    tenant_id = current_tenant_id()
    key = open_data_key(bytes(exchange.wrapped_key), tenant_id=tenant_id, object_id=exchange.pk)
    body = json.loads(
        open_text(
            key,
            bytes(exchange.body_sealed),
            tenant_id=tenant_id,
            object_id=exchange.pk,
            field=FIELD,
        )
    )
    return SavedExchange(exchange.pk, exchange.asked_at, body["question"], _answer(body["answer"]))


def _answer(values: dict[str, Any]) -> Answer:
    ids = ("document_id", "version_id", "chunk_id")
    citations = tuple(
        Citation(**(citation | {name: UUID(citation[name]) for name in ids}))
        for citation in values["citations"]
    )
    return Answer(
        text=values["text"],
        abstained=values["abstained"],
        generator=values["generator"],
        citations=citations,
        unsupported=tuple(values["unsupported"]),
        usage=Usage(**values["usage"]),
    )
