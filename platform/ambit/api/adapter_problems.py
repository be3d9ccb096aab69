"""Refusals about adapters: exception -> status, code and the sentences a caller reads."""

from __future__ import annotations

from ambit.adapters.queries import AdapterNotFound
from ambit.adapters.services import (
    NotPromotable,
    NotStored,
    TrainingDocumentsUnknown,
    TrainingDocumentTwice,
)
from ambit.adapters.store import AdaptersOff
from ambit.adapters.weights import AdapterFileRefused
from ambit.api.problem import Problem

ADAPTER_PROBLEMS: dict[type[BaseException], Problem] = {
    AdapterNotFound: Problem(
        404,
        "adapter_not_found",
        "No such adapter",
        "There is no such adapter that the member may use.",
    ),
    AdapterFileRefused: Problem(
        422,
        "adapter_file_refused",
        "The file is no adapter that is served here",
        "In `{error.file}`: {error.words} Nothing was stored.",
    ),
    TrainingDocumentsUnknown: Problem(
        400,
        "training_documents_unknown",
        "Training documents are not to be seen",
        "Each must be a document that the member sees, in its current version; one that has new content needs another"
        " training. Nothing was stored.",
    ),
    TrainingDocumentTwice: Problem(
        400,
        "training_document_twice",
        "A document is named twice",
        "Name each training document once. Nothing was stored.",
    ),
    NotPromotable: Problem(
        409,
        "adapter_not_promotable",
        "The adapter cannot go live",
        "Only a candidate whose weights are stored can; this one is `{error.state}`. What is retired stays so:"
        " register a new one.",
    ),
    AdaptersOff: Problem(
        409,
        "adapters_off",
        "Adapters are not served here",
        "The operator sets AMBIT_ADAPTERS_DIR and a model: deploy/adapters.md.",
    ),
    NotStored: Problem(
        503,
        "adapter_not_stored",
        "The weights could not be stored",
        "The folder of weights is full or not there: tell the operator, and register the adapter again. What was"
        " registered is retired.",
        retry_after_s=60,
    ),
}
