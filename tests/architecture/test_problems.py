"""Every exception that a call can meet has its answer in the one table."""

from __future__ import annotations

import inspect
from importlib import import_module

import pytest

from ambit.api.problem_table import FAULT, TABLE
from tests.architecture.sources import sources

# Exceptions of ours that mean a fault of ours (500) or never reach a call, each with its reason.
NOT_ANSWERED = {
    "tenants.scope.NoTenantScope": "a fault",
    "tenants.scope.WrongTenantScope": "a fault",
    "tenants.audit.NoActor": "a fault",
    "tenants.queries.KeyRefused": "answered as Unauthenticated",
    "tenants.holding.HoldingFailed": "of the workers",
    "ambit.corpus.queries.WrongClearance": "a fault",
    "ambit.corpus.ingest.NothingToDo": "of the workers",
    "ambit.erasure.tombstones.TombstoneBlocked": "of the workers",
    "ambit.export.packing.NothingToPack": "of the workers",
    "ambit.notices.services.NothingToTell": "of the workers",
    "ambit.notices.addresses.AddressRefused": "of the workers",
    "ambit.notices.addresses.HostUnknown": "of the workers",
    "ambit.jobs.services.ClaimLost": "of the workers",
    "ambit.erasure.rows.TableMissing": "of the workers",
    "ambit.corpus.graphs.AlreadyArranging": "of the workers and of a command",
    "ambit.keys.sealing.CannotOpen": "a fault: something was altered",
    "ambit.keys.durable.ChangedByAnother": "of commands",
    "ambit.keys.keyring.KeyInUse": "a fault",
    "ambit.files.store.FileMissing": "answered as ContentNotReady",
    "ambit.inference.http.InvalidServerUrl": "a fault of the settings",
    "ambit.inference.salts.InvalidCacheSalt": "a fault",
    "ambit.inference.wire.InvalidAdapterName": "a fault: names are made by our database",
    "ambit.inference.wire.NotYetAnswered": "tried again, or answered as GenerationUnavailable",
    "ambit.inference.replicas.ServersNotConfigured": "answered as GenerationUnavailable",
    "ambit.inference.operating.ReplicaFailed": "of the workers",
    "ambit.inference.lora.AdapterNotLoaded": "of the workers",
    "ambit.inference.tokens.TokenizerUnusable": "a fault of the settings",
    "ambit.answers.watch.ReachLost": "told as an answer that is withheld",
    "ambit.answers.policies.PolicyRefused": "the API's shapes and the page's form refuse it before",
    "ambit.answers.prompt.NoPassages": "a fault: an answer from nothing is never asked for",
    "ambit.audit.bucket.BucketFailed": "of keep_audit, which no request runs",
    "ambit.audit.bucket.BucketUnfit": "of keep_audit, which no request runs",
    "ambit.audit.check.TooMany": "of an admin page, which says it",
    "ambit.audit.verify.InvalidProof": "of the verifier, which no request runs",
    "ambit.audit.verify.Unreadable": "of the verifier, which no request runs",
    "ambit.metering.places.QueueFull": "answered as NoTurn",
    "ambit.inference.lanes.LanesFull": "of the embedding service",
    "ambit.api.permissions.PolicyUndeclared": "a fault",
}
REACHED = (
    "tenants.",
    "ambit.access",
    "ambit.adapters",
    "ambit.answers",
    "ambit.api",
    "ambit.audit",
    "ambit.corpus",
    "ambit.erasure",
    "ambit.export",
    "ambit.files",
    "ambit.inference",
    "ambit.jobs",
    "ambit.keys",
    "ambit.metering",
    "ambit.notices",
)
# Loads a model when it is imported.
OF_ANOTHER_PROCESS = ("ambit.inference.server", "ambit.inference.asgi")


def _exceptions() -> dict[str, type[BaseException]]:
    found = {}
    for source in sources():
        if not source.module.startswith(REACHED) or source.is_migration:
            continue
        if source.module in OF_ANOTHER_PROCESS:
            continue
        for name, value in vars(import_module(source.module)).items():
            if (
                inspect.isclass(value)
                and issubclass(value, BaseException)
                and value.__module__ == source.module
                and not name.startswith("_")
            ):
                found[f"{value.__module__}.{value.__qualname__}"] = value
    return found


def test_every_exception_is_answered_or_says_why_not() -> None:
    answered = {
        name
        for name, kind in _exceptions().items()
        if any(parent in TABLE for parent in kind.__mro__ if parent.__module__ != "builtins")
    }

    assert set(_exceptions()) - answered == set(NOT_ANSWERED) & set(_exceptions())
    assert answered & set(NOT_ANSWERED) == set()


def test_every_reason_is_of_an_exception_there_is() -> None:
    assert set(NOT_ANSWERED) <= set(_exceptions())


def test_a_fault_gives_nothing_away() -> None:
    assert FAULT.status == 500
    assert "{" not in FAULT.detail


@pytest.mark.parametrize(
    "problem", {p.code: p for p in TABLE.values()}.values(), ids=lambda p: p.code
)
def test_every_problem_is_a_refusal_in_sentences(problem: object) -> None:
    status, title, detail = problem.status, problem.title, problem.detail  # type: ignore[attr-defined]

    assert 400 <= status < 600
    assert title
    assert not title.endswith(".")
    assert detail.strip().endswith((".", "…"))
