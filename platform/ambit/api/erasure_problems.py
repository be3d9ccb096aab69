"""The part of the one table that is about erasures, holds and restrictions."""

from __future__ import annotations

from ambit.api.problem import Problem
from ambit.corpus.holdings import DocumentsUnknown
from ambit.corpus.identifiers import CannotBeLookedFor
from ambit.corpus.mentions import LookedTooLong
from ambit.erasure.clock import AlreadyExtended, ErasureOver, ExtensionTooLate, NoClock
from ambit.erasure.identity import NotPending
from ambit.erasure.members import MemberBeingErased
from ambit.erasure.offboarding import HoldsOpen, NotOffboarded, SlugMismatch
from ambit.erasure.queries import ErasureNotFound, ReceiptNotReady
from ambit.erasure.reasons import ReasonMissing
from ambit.erasure.restrictions import (
    AlreadyLifted,
    BeingErased,
    HoldNotFound,
    NothingToRestrict,
    RestrictionNotFound,
    ReviewNotAhead,
    UnknownBasis,
)
from ambit.erasure.retention import DaysOutOfRange
from ambit.erasure.subjects import NothingNamed, TooMuchNamed
from ambit.export.queries import ExportNotFound, ExportNotReady, ExportOver
from ambit.notices.addresses import BadWebhookUrl
from ambit.notices.queries import WebhookNotFound
from ambit.notices.services import TooManyWebhooks, UnknownEvent
from tenants.holdings import SubjectAmbiguous
from tenants.queries import TenantNotFound

ERASURE_PROBLEMS: dict[type[BaseException], Problem] = {
    ErasureNotFound: Problem(
        404, "erasure_not_found", "No such erasure", "There is no such erasure in this tenant."
    ),
    HoldNotFound: Problem(
        404, "hold_not_found", "No such hold", "There is no such hold in this tenant."
    ),
    RestrictionNotFound: Problem(
        404,
        "restriction_not_found",
        "No such restriction",
        "There is no such restriction in this tenant.",
    ),
    ReceiptNotReady: Problem(
        404,
        "receipt_not_ready",
        "No receipt yet",
        "It is written when the case is `closed`, `incomplete` or `refused`: poll the erasure or off-boarding.",
    ),
    ExportNotFound: Problem(
        404, "export_not_found", "No such export", "There is no such export in this tenant."
    ),
    ExportNotReady: Problem(
        404,
        "export_not_ready",
        "The archive is not ready",
        "It is still being made: poll the export until it is `ready`.",
    ),
    ExportOver: Problem(
        410,
        "export_over",
        "The archive is gone",
        "Its days are over, something in it was erased, or it could not be made: the export says which."
        " Ask for a new one.",
    ),
    WebhookNotFound: Problem(
        404, "webhook_not_found", "No such webhook", "There is no such webhook in this tenant."
    ),
    BadWebhookUrl: Problem(
        400,
        "bad_webhook_url",
        "The URL cannot be told anything",
        "Send an https:// URL with a host and without a password. Nothing was made.",
    ),
    TooManyWebhooks: Problem(
        409,
        "too_many_webhooks",
        "The tenant has as many webhooks as it may have",
        "Remove one that is not needed any more, then make this one. Nothing was made.",
    ),
    UnknownEvent: Problem(
        400, "unknown_event", "No such event", "Name at least one event there is. Nothing was made."
    ),
    DocumentsUnknown: Problem(
        404,
        "document_not_found",
        "No such document",
        "Some of the documents do not exist in this tenant. Nothing was changed.",
    ),
    NothingNamed: Problem(
        400,
        "nothing_named",
        "Nothing is named",
        "Name a `subject`, or at least one id in `documents`; `also_documents` goes with a `subject` and"
        " names at least one. Nothing was changed.",
    ),
    TooMuchNamed: Problem(
        400,
        "too_much_named",
        "Two things are named",
        "Send `subject` or `documents`, one request for each; documents that are about the subject too"
        " are `also_documents`. Nothing was changed.",
    ),
    LookedTooLong: Problem(
        503,
        "looked_too_long",
        "The names could not be looked for in time",
        "Ask for fewer names at once, or again when less is going on. Nothing was found or kept.",
    ),
    CannotBeLookedFor: Problem(
        400,
        "cannot_be_looked_for",
        "An identifier cannot be looked for",
        "That at place {error.place}, counted from 0: an e-mail address, a telephone number of 6 to 15 digits, an"
        " identifier with a number in it, or two to eight words of a name.",
    ),
    ReasonMissing: Problem(
        400, "reason_missing", "The reason is missing", "Send a `reason`. Nothing was changed."
    ),
    SubjectAmbiguous: Problem(
        409,
        "subject_ambiguous",
        "Several members answer to this",
        'Name the member by id: `{{"type": "member", "value": "mem_…"}}`. Nothing was changed.',
    ),
    NothingToRestrict: Problem(
        409,
        "nothing_to_restrict",
        "Nothing is here of this person",
        "No member and no document declares the person: there is nothing to hold or restrict.",
    ),
    BeingErased: Problem(
        409,
        "being_erased",
        "Something named is deleted or covered by an erasure",
        "What came first stands: it cannot be held or restricted any more. Nothing was changed.",
    ),
    AlreadyLifted: Problem(
        409,
        "already_lifted",
        "It is over already",
        "The hold or restriction was ended before. Nothing was changed.",
    ),
    UnknownBasis: Problem(
        400,
        "unknown_basis",
        "No such legal basis",
        "Name a letter of Art. 17(3) GDPR: a, b, c, d or e. Nothing was changed.",
    ),
    ReviewNotAhead: Problem(
        400,
        "review_not_ahead",
        "The review is not in the future",
        "Say when a person looks again whether the hold is needed. Nothing was changed.",
    ),
    NotPending: Problem(
        409,
        "erasure_not_pending",
        "The identity check is over",
        "Only a `received` erasure is verified or refused: of this one something was hidden, or it is over.",
    ),
    ErasureOver: Problem(
        409,
        "erasure_over",
        "The erasure is over",
        "A `closed` or `refused` erasure needs no more time. Nothing was changed.",
    ),
    NoClock: Problem(
        409,
        "erasure_without_clock",
        "The erasure has no time to extend",
        "Nobody asked for it: what it covers was older than it is kept. Nothing was changed.",
    ),
    DaysOutOfRange: Problem(
        400,
        "days_out_of_range",
        "That is no number of days",
        "Send a whole number from 1 to 36525, or null: kept until erased. Nothing was changed.",
    ),
    AlreadyExtended: Problem(
        409,
        "already_extended",
        "The time was extended before",
        "Art. 12(3) GDPR gives two further months once. Nothing was changed.",
    ),
    ExtensionTooLate: Problem(
        409,
        "extension_too_late",
        "The first month is over",
        "The time is extended inside the first month or not at all. Nothing was changed.",
    ),
    TenantNotFound: Problem(404, "tenant_not_found", "No such tenant", "There is no such tenant."),
    NotOffboarded: Problem(
        404,
        "not_offboarded",
        "No off-boarding was begun",
        "The tenant is not being off-boarded: POST its slug here to begin.",
    ),
    SlugMismatch: Problem(
        409,
        "slug_mismatch",
        "That is not the tenant's slug",
        "Send the slug of the tenant whose id stands in the address. Nothing was changed.",
    ),
    HoldsOpen: Problem(
        409,
        "holds_open",
        "Holds are open",
        "{error.n} holds of the tenant are not released: what they keep may not be destroyed. The tenant's privacy"
        " officers release them. Nothing was changed.",
    ),
    MemberBeingErased: Problem(
        409,
        "member_being_erased",
        "The member is being erased",
        "An erasure covers this member: it cannot be resumed. Nothing was changed.",
    ),
}
