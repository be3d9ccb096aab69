"""The one table: exception -> status, code and the sentences a caller reads (RFC 9457).

In the table: expected. Not in the table: a fault of ours, 500, logged by its place and never its
words, which may quote content.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import (
    BadRequest,
    RequestDataTooBig,
    SuspiciousOperation,
    TooManyFieldsSent,
    TooManyFilesSent,
)
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from rest_framework import exceptions as drf
from rest_framework.request import Request

from ambit.access.documents import GrantsExcludeUploader, NotAllowed
from ambit.access.queries import CollectionNotFound
from ambit.access.services import CollectionNameTaken, DuplicatePrincipal, UnknownPrincipal
from ambit.answers.queries import AnswerNotFound
from ambit.api import authentication, bodies, idempotency, permissions
from ambit.api.pagination import BadCursor
from ambit.api.principals import PrincipalNotFound
from ambit.api.requests import request_id_of
from ambit.api.uploads import BodyTooLarge
from ambit.corpus.queries import ContentNotReady, DocumentNotFound
from ambit.corpus.services import ExternalIdTaken, NotRetryable
from ambit.inference.embedding import EmbeddingRefused, EmbeddingUnavailable
from ambit.inference.vllm import GenerationRefused, GenerationTimedOut, GenerationUnavailable
from ambit.keys.keyring import KeyUnavailable
from tenants.queries import GroupNotFound, KeyNotFound, MemberNotFound
from tenants.services import GroupCycle, GroupTaken, MemberTaken, SlugTaken, UnknownScope

logger = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"
PAGE = "/docs/problems"


@dataclass(frozen=True, slots=True)
class Problem:
    """What a caller is told; {error.…} in the detail is filled from the exception."""

    status: int
    code: str
    title: str
    detail: str
    retry_after_s: int | None = None
