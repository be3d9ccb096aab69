"""What saved answers hold: those made from covered documents, and those the member asked for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Q, QuerySet

from ambit.answers.models import Conversation, Exchange
from ambit.answers.queries import exchanges_made_from
from tenants.holding import Holding, Scope
from tenants.scope import current_tenant_id

# Compared as text, so that every row is read and no index that found them is trusted.
_LEFT = """
SELECT count(*) FROM (
    SELECT id FROM answers_exchange
    WHERE tenant_id = %(tenant)s AND id::text = ANY (%(answers)s)
  UNION
    SELECT exchange_id FROM answers_exchangepassage
    WHERE tenant_id = %(tenant)s
      AND (exchange_id::text = ANY (%(answers)s) OR document_id::text = ANY (%(documents)s))
  UNION
    SELECT id FROM answers_exchange
    WHERE tenant_id = %(tenant)s AND adapter_ids::text[] && ARRAY (
        SELECT adapter_id::text FROM adapters_trainingdocument
        WHERE tenant_id = %(tenant)s AND document_id::text = ANY (%(documents)s))
) AS left_over
"""


def answers_about(*, document_ids: Iterable[UUID], member_ids: Iterable[UUID]) -> set[UUID]:
    """Return the saved answers made from these documents or asked for by these members, in custody."""
    made = exchanges_made_from(list(document_ids))
    asked = Exchange.objects.filter(member_id__in=list(member_ids))
    return set(made.values_list("pk", flat=True)) | set(asked.values_list("pk", flat=True))


def answers_here(answer_ids: Iterable[UUID]) -> set[UUID]:
    """Return those of the answers that this tenant has, hidden ones too, in custody."""
    return set(Exchange.objects.filter(pk__in=list(answer_ids)).values_list("pk", flat=True))


def _answers(scope: Scope) -> QuerySet[Exchange]:
    made = exchanges_made_from(scope.document_ids)
    return Exchange.objects.filter(
        Q(pk__in=scope.answer_ids) | Q(pk__in=made.values("pk")) | Q(member_id__in=scope.member_ids)
    )


def _destroy(scope: Scope) -> None:
    """Delete the answers, and the conversations whose last turn or whose member goes."""
    answers = _answers(scope)
    turns = answers.filter(conversation_id__isnull=False)
    touched = list(turns.values_list("conversation_id", flat=True).distinct())
    answers.delete()
    found = Conversation.objects.filter(Q(pk__in=touched) | Q(member_id__in=scope.member_ids))
    # Behind a turn that is being saved: then it is not empty.
    locked = list(found.select_for_update().order_by("pk").values_list("pk", flat=True))
    with_turns = Exchange.objects.filter(conversation_id__in=locked)
    Conversation.objects.filter(pk__in=locked).exclude(
        pk__in=with_turns.values("conversation_id")
    ).delete()


def _left(scope: Scope) -> int:
    """Count answers by the ids noted before, and by the passages and adapters of every answer of the tenant."""
    values: dict[str, Any] = {
        "tenant": current_tenant_id(),
        "answers": [str(a) for a in scope.answer_ids],
        "documents": [str(d) for d in scope.document_ids],
    }
    with connection.cursor() as cursor:
        cursor.execute(_LEFT, values)
        (n,) = cursor.fetchone()
    return int(n)


ANSWERS = Holding(
    name="answers",
    title="Saved answers with their questions: made from the documents, asked for by the member, or past their time",
    found_by="the passages each answer was made from, its adapters' training documents, its asker, or its age",
    destroyed_by="deletion of the rows, each with the key that opens its text",
    verified_by="the answers' own ids, noted before, and the passages and adapters of every answer of the tenant",
    find=lambda scope: _answers(scope).count(),
    destroy=_destroy,
    remains=_left,
)
