"""Take the values about people from events older than is kept; what was signed of them stays and is proved.

The values are not taken when a person is erased: who read what is evidence, which the person who read may be the
first to want gone (Art. 17(3)(b), (e) GDPR). They go when their time has come.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any

from django.conf import settings
from django.db import connections, transaction
from django.utils import timezone

from ambit.audit.sequence import SEQUENCER

ERASED_AT_ONCE = 1000
_OLDEST = """
SELECT e.xact::text, e.id, e.tenant_id, e.at
FROM tenants_auditevent e, audit_watermark erased, audit_watermark numbered
WHERE erased.task = 'erase' AND numbered.task = 'number'
  AND (e.xact, e.id) > (erased.xact, erased.event_id)
  AND (e.xact, e.id) <= (numbered.xact, numbered.event_id)
ORDER BY e.xact, e.id LIMIT %s
"""
_ERASE = """
UPDATE tenants_auditevent e
SET actor_id = NULL, member_id = NULL, request_id = NULL, who_salt = NULL,
    object_id = NULL, document_ids = '{}', chunk_ids = '{}', what_salt = NULL
FROM unnest(%s::uuid[], %s::uuid[]) AS due (tenant_id, id)
WHERE e.tenant_id = due.tenant_id AND e.id = due.id
  AND (e.who_salt IS NOT NULL OR e.what_salt IS NOT NULL)
"""
_ERASED = "UPDATE audit_watermark SET xact = %s::xid8, event_id = %s WHERE task = 'erase'"


def kept_since() -> datetime:
    """Return from when on values are kept."""
    return timezone.now() - timedelta(days=settings.AMBIT_AUDIT_VALUES_DAYS)


def erase_old_values(*, before: datetime) -> int:
    """Erase the values of events before a moment, and return of how many events."""
    n_erased = 0
    while True:
        done, more = _erase_some(before)
        n_erased += done
        if not more:
            return n_erased


def _erase_some(before: datetime) -> tuple[int, bool]:
    with transaction.atomic(using=SEQUENCER), connections[SEQUENCER].cursor() as cursor:
        cursor.execute(_OLDEST, [ERASED_AT_ONCE])
        due: list[Any] = list(takewhile(lambda row: row[3] < before, cursor.fetchall()))
        if not due:
            return 0, False
        cursor.execute(_ERASE, [[row[2] for row in due], [row[1] for row in due]])
        n_erased = cursor.rowcount
        cursor.execute(_ERASED, [due[-1][0], due[-1][1]])
        return n_erased, len(due) == ERASED_AT_ONCE
