"""The written course of a case: what it covers, what was found and what became of it.

Everything here is ids and counts, and may be written again: a killed worker's successor goes on
where the rows say.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from typing import Any
from uuid import UUID

from django.utils import timezone

from ambit.erasure.models import Erasure, ErasureHolding, ErasureItem, ErasureState
from ambit.erasure.registry import HOLDINGS
from ambit.erasure.types import Remaining
from tenants.holding import HoldingFailed, Scope

logger = logging.getLogger(__name__)

BATCH_ROWS = 1000
# The kinds of things a case covers, and where a scope keeps their ids.
KINDS = {
    "document": "document_ids",
    "member": "member_ids",
    "key": "key_ids",
    "account": "account_ids",
    "answer": "answer_ids",
}
