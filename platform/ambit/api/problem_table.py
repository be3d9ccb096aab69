"""The one table: exception -> status, code and the sentences a caller reads.

In the table: expected. Not in the table: a fault of ours.
"""

from __future__ import annotations

from dataclasses import replace

from django.core.exceptions import (
    BadRequest,
    RequestDataTooBig,
    SuspiciousOperation,
    TooManyFieldsSent,
    TooManyFilesSent,
)
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import Http404
from rest_framework import exceptions as drf

from ambit.access.audiences import DuplicatePrincipal, UnknownPrincipal
from ambit.access.documents import GrantsExcludeCaller, NotAllowed
from ambit.access.queries import CollectionNotFound
from ambit.access.services import CollectionNameTaken
from ambit.answers.queries import AnswerNotFound
from ambit.answers.services import ConversationNotFound
from ambit.answers.structured import NotJson, SchemaNotMet, SchemaRefused
from ambit.api import authentication, bodies, idempotency, permissions, uploads
from ambit.api.adapter_problems import ADAPTER_PROBLEMS
from ambit.api.answer_problems import ANSWER_PROBLEMS
from ambit.api.erasure_problems import ERASURE_PROBLEMS
from ambit.api.pagination import BadCursor
from ambit.api.principals import PrincipalNotFound
from ambit.api.problem import Problem
from ambit.audit.proofs import CheckpointNotFound, EventNotProved
from ambit.corpus.queries import ContentNotReady, DocumentNotFound
from ambit.corpus.services import ExternalIdTaken, NotRetryable
from ambit.inference.embedding import EmbeddingRefused, EmbeddingUnavailable
from ambit.inference.vllm import GenerationTimedOut, GenerationUnavailable
from ambit.keys.keyring import KeyUnavailable
from ambit.metering.buckets import LimitsUnavailable
from ambit.metering.limits import QuotaSpent, RateLimited
from ambit.metering.turns import NoTurn
from tenants.queries import GroupNotFound, KeyNotFound, MemberNotFound
from tenants.services import GroupCycle, GroupTaken, MemberTaken, SlugTaken, UnknownScope
from tenants.steps import NoPlace


def _later(what: str) -> str:
    return f"{what} Nothing was changed; try again in a few seconds."


UNAUTHENTICATED = Problem(
    401,
    "unauthenticated",
    "No valid key",
    "Send a key that is neither expired nor revoked: Authorization: Bearer ambit_…",
)
_FORBIDDEN = Problem(403, "forbidden", "Not allowed", "This key may not make this call.")
_NOT_FOUND = Problem(404, "not_found", "Not found", "There is nothing at this address.")
_INVALID = Problem(
    400, "invalid", "The request is not valid", "Correct what `errors` names. Nothing was changed."
)
_MALFORMED = Problem(
    400,
    "malformed_body",
    "The body cannot be read",
    "Send one JSON object in UTF-8, or a well-formed multipart form that names each field once.",
)
_TOO_LARGE = Problem(413, uploads.TOO_LARGE_CODE, uploads.TOO_LARGE_TITLE, uploads.TOO_LARGE_DETAIL)
_FIELDS_TOO_LARGE = Problem(
    413,
    "fields_too_large",
    "The form's fields are too large",
    "Send text above 2 MiB as the form's `file`, not as a field.",
)
_DATABASE_DOWN = Problem(
    503,
    "database_unavailable",
    "The database cannot be reached",
    _later("The request was not carried out."),
    retry_after_s=2,
)
_EMBEDDING_DOWN = Problem(
    503,
    "embedding_unavailable",
    "The embedding service cannot be reached",
    _later("Searching with mode `text` works meanwhile."),
    retry_after_s=5,
)
_GENERATION_DOWN = Problem(
    503,
    "generation_unavailable",
    "The model cannot be reached",
    _later("Searching works meanwhile."),
    retry_after_s=10,
)
_UNKNOWN_PRINCIPAL = Problem(
    400,
    "unknown_principal",
    "A grant names nobody known",
    "Each principal must be `tenant`, or a group or member of this tenant. Nothing was changed.",
)
FAULT = Problem(
    500,
    "internal",
    "Something went wrong here",
    "The fault is ours and nothing was changed. Tell the operator the request_id.",
)

TABLE: dict[type[BaseException], Problem] = {
    # Who calls, and what it may.
    permissions.Unauthenticated: UNAUTHENTICATED,
    drf.NotAuthenticated: UNAUTHENTICATED,
    drf.AuthenticationFailed: UNAUTHENTICATED,
    permissions.OperatorOnly: Problem(
        403, "operator_only", "For the operator", "Use an operator's key: ambit_op_…"
    ),
    permissions.OperatorHasNoContent: Problem(
        403,
        "operator_has_no_content",
        "Not for the operator",
        "An operator's key reaches tenants and never what is in them: use a tenant's key.",
    ),
    permissions.ScopeMissing: Problem(
        403,
        "scope_missing",
        "The key lacks a scope",
        "Use a key with the scope `{error.scope}`.",
    ),
    permissions.RoleMissing: Problem(
        403,
        "role_missing",
        "The member lacks a role",
        "This takes one of these roles: {error.roles}.",
    ),
    permissions.MemberRequired: Problem(
        400,
        "member_required",
        "For whom is not said",
        "A service's key says for whom it acts: send Ambit-Member with a member's id,"
        " external_id or e-mail address.",
    ),
    authentication.MemberUnknown: Problem(
        403,
        "member_unknown",
        "No such member",
        "Ambit-Member names no active member of this tenant.",
    ),
    authentication.MemberMismatch: Problem(
        400,
        "member_mismatch",
        "A member's key acts for that member",
        "Leave Ambit-Member out, or use a service's key.",
    ),
    drf.PermissionDenied: _FORBIDDEN,
    DjangoPermissionDenied: _FORBIDDEN,
    NotAllowed: Problem(
        403,
        "grant_missing",
        "The member's grant is too low",
        "This takes the grant `{error.needed}` on the document or collection.",
    ),
    # What was asked for.
    Http404: _NOT_FOUND,
    drf.NotFound: _NOT_FOUND,
    DocumentNotFound: Problem(
        404, "document_not_found", "No such document", "There is no such document to be seen."
    ),
    ContentNotReady: Problem(
        404,
        "content_not_ready",
        "No such content yet",
        "Wait until the document is `ready`; an older version's content is not kept.",
    ),
    CollectionNotFound: Problem(
        404, "collection_not_found", "No such collection", "There is no such collection to be seen."
    ),
    AnswerNotFound: Problem(
        404, "answer_not_found", "No such answer", "There is no such answer to be seen."
    ),
    ConversationNotFound: Problem(
        404,
        "conversation_not_found",
        "No such conversation",
        "There is no such conversation to be seen.",
    ),
    MemberNotFound: Problem(
        404, "member_not_found", "No such member", "There is no such member in this tenant."
    ),
    GroupNotFound: Problem(
        404, "group_not_found", "No such group", "There is no such group in this tenant."
    ),
    KeyNotFound: Problem(
        404, "key_not_found", "No such key", "There is no such key in this tenant."
    ),
    EventNotProved: Problem(
        404,
        "event_not_proved",
        "No proof of this event",
        "There is no such event in this tenant, or none is signed at this size yet: events are"
        " signed some seconds after they happen.",
    ),
    CheckpointNotFound: Problem(
        404,
        "checkpoint_not_found",
        "No such checkpoint",
        "The tenant's audit log was never signed at this size, or the sizes are out of order: list"
        " the checkpoints.",
    ),
    # How it was asked.
    drf.MethodNotAllowed: Problem(
        405, "method_not_allowed", "No such method here", "The Allow header names the methods."
    ),
    drf.UnsupportedMediaType: Problem(
        415,
        "unsupported_media_type",
        "This kind of body is not taken",
        "Send Content-Type: application/json, or multipart/form-data for an upload.",
    ),
    drf.ParseError: _MALFORMED,
    bodies.MalformedBody: _MALFORMED,
    TooManyFieldsSent: _MALFORMED,
    TooManyFilesSent: _MALFORMED,
    BadRequest: _MALFORMED,
    SuspiciousOperation: Problem(
        400, "bad_request", "The request is not valid", "The server refused to read this request."
    ),
    RequestDataTooBig: _FIELDS_TOO_LARGE,
    uploads.BodyTooLarge: _TOO_LARGE,
    uploads.QuestionTooLarge: replace(_TOO_LARGE, detail=uploads.QUESTION_TOO_LARGE_DETAIL),
    drf.ValidationError: _INVALID,
    BadCursor: Problem(
        400,
        "bad_cursor",
        "The cursor is not one of ours",
        "Send `cursor` as `next` gave it, or leave it out to start again.",
    ),
    PrincipalNotFound: _UNKNOWN_PRINCIPAL,
    UnknownPrincipal: _UNKNOWN_PRINCIPAL,
    DuplicatePrincipal: Problem(
        400,
        "duplicate_principal",
        "A principal is named twice",
        "Give each principal one role. Nothing was changed.",
    ),
    UnknownScope: Problem(
        400, "unknown_scope", "No such scope", "GET /v1/schema lists the scopes."
    ),
    GrantsExcludeCaller: Problem(
        400,
        "grants_exclude_caller",
        "The grants leave out the member who gives them",
        "Keep a grant for yourself: at least `editor` to upload, `reader` to share. Nothing was done.",
    ),
    # What stands in the way.
    SlugTaken: Problem(409, "slug_taken", "The slug is taken", "Choose another slug."),
    MemberTaken: Problem(
        409,
        "member_taken",
        "There is such a member",
        "A member has this external_id or e-mail address.",
    ),
    GroupTaken: Problem(
        409, "group_taken", "There is such a group", "A group has this external_id."
    ),
    GroupCycle: Problem(
        409, "group_cycle", "The group would contain itself", "Take the other way round out first."
    ),
    CollectionNameTaken: Problem(
        409, "collection_name_taken", "The name is taken", "A collection has this name."
    ),
    ExternalIdTaken: Problem(
        409,
        "external_id_taken",
        "There is such a document",
        "The collection has a document of this external_id: PUT its content to replace it.",
    ),
    NotRetryable: Problem(
        409, "not_retryable", "There is nothing to retry", "Only a `failed` document is retried."
    ),
    idempotency.BadIdempotencyKey: Problem(
        400,
        "bad_idempotency_key",
        "The Idempotency-Key is not valid",
        "Send 1 to 200 visible ASCII characters.",
    ),
    idempotency.IdempotencyMismatch: Problem(
        422,
        "idempotency_mismatch",
        "The Idempotency-Key belongs to another request",
        "Use a fresh key for a new request. Nothing was changed.",
    ),
    idempotency.IdempotencyBusy: Problem(
        409,
        "idempotency_busy",
        "The first request is still under way",
        "Repeat this request in a moment to see its outcome.",
        retry_after_s=1,
    ),
    idempotency.KeyShownOnce: Problem(
        409,
        "key_shown_once",
        "The key was made and shown before",
        "A key's text is kept nowhere: revoke that key and make another.",
    ),
    # What a question asks for.
    **ANSWER_PROBLEMS,
    # What is refused about adapters.
    **ADAPTER_PROBLEMS,
    # What erasures, holds and restrictions refuse.
    **ERASURE_PROBLEMS,
    # What is limited; when to come again is the exception's to say.
    RateLimited: Problem(
        429,
        "rate_limited",
        "Too many requests",
        "{error.who} asked more often than its limit allows. Ask again in {error.retry_after_s} s; the headers"
        " RateLimit and RateLimit-Policy say how much is allowed. Searching is not limited.",
    ),
    QuotaSpent: Problem(
        429,
        "quota_spent",
        "This month's tokens are spent",
        "The tenant's quota begins anew on {error.renews_on} (UTC). The operator can raise it. Searching works"
        " meanwhile.",
    ),
    NoTurn: Problem(
        503,
        "no_turn",
        "The model is busy",
        _later("No place became free in time; places are shared fairly between tenants."),
    ),
    NoPlace: Problem(
        503,
        "busy",
        "Too many questions at once",
        _later(
            "The server had no room for this one in time; room is shared fairly between tenants."
        ),
        retry_after_s=5,
    ),
    # What is down.
    LimitsUnavailable: Problem(
        503,
        "limits_unavailable",
        "Limits cannot be looked up",
        _later("Redis, which counts requests, cannot be reached, so nobody is let past a limit."),
        retry_after_s=5,
    ),
    OperationalError: _DATABASE_DOWN,
    InterfaceError: _DATABASE_DOWN,
    EmbeddingUnavailable: _EMBEDDING_DOWN,
    EmbeddingRefused: _EMBEDDING_DOWN,
    GenerationUnavailable: _GENERATION_DOWN,
    GenerationTimedOut: _GENERATION_DOWN,
    SchemaRefused: Problem(
        400,
        "schema_refused",
        "The schema cannot be used",
        "{error.why} Place in the schema: {error.at}. The model was not asked.",
    ),
    NotJson: Problem(
        502,
        "answer_not_json",
        "The model wrote no JSON",
        "What it wrote breaks off or is no JSON. It is not kept. Ask again, with a simpler schema or more tokens.",
    ),
    SchemaNotMet: Problem(
        502,
        "answer_not_of_schema",
        "The model's JSON does not meet the schema",
        "It fails at {error.at} of the schema, and is not kept. Ask again, or make the schema simpler.",
    ),
    KeyUnavailable: Problem(
        503,
        "keyring_unavailable",
        "The tenant's keys cannot be reached",
        _later("Nothing of this tenant can be opened."),
        retry_after_s=30,
    ),
}
