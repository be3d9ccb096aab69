"""Few doors: one maker of a clearance, raw SQL in listed modules, constant words in logs."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

from django.apps import apps

from tenants.base import TenantModel
from tests.architecture.sources import Source, last_name, sources

CLEARANCE_MAKER = "ambit.access.clearance"
# Modules that send SQL of their own, each with its reason.
RAW_SQL = {
    "ambit.access.audiences": "advisory locks and a shared row lock, which the ORM does not have",
    "ambit.access.clearance": "groups are followed at any depth in one statement",
    "ambit.access.holdings": "verifies an erasure by another route than the ORM",
    "ambit.access.queries": "groups are followed at any depth in one statement",
    "ambit.answers.holdings": "verifies an erasure by another route than the ORM",
    "ambit.adapters.holdings": "verifies an erasure by another route than the ORM",
    "ambit.adapters.placing": "an advisory lock",
    "ambit.adapters.queries": "shared row locks, which the ORM does not have",
    "ambit.admin.health": "asks Postgres for its version",
    "ambit.audit.closing": "the sequencer's connection lets go of values of tenants that end",
    "ambit.audit.copies": "the sequencer's connection reads every tenant's log",
    "ambit.audit.export": "events joined with their places in the tree",
    "ambit.audit.flow": "asks whether anything was ever signed",
    "ambit.audit.retention": "the sequencer's connection erases old values of every tenant",
    "ambit.audit.storing": "the sequencer's connection reads every tenant's log",
    "ambit.audit.sequence": "the sequencer's connection, in the order of transactions",
    "ambit.api.idempotency": "an advisory lock",
    "ambit.api.health": "asks whether the database answers",
    "ambit.config.isolation": "reads Postgres' catalogue",
    "ambit.corpus.calibration": "times statements over a temporary table",
    "ambit.corpus.canary": "counts what raw SQL sees",
    "ambit.corpus.graphs": "partial indexes of a tenant each, as the owner",
    "ambit.corpus.queries": "shared row locks, which the ORM does not have",
    "ambit.corpus.holdings": "verifies an erasure by another route than the ORM",
    "ambit.corpus.lexemes": "Postgres stems the words",
    "ambit.corpus.mentions": "the words of a name in one statement",
    "ambit.corpus.search": "both legs and their fusion in one statement",
    "ambit.erasure.cases": "reads the transaction's own number",
    "ambit.erasure.closing": "advisory locks",
    "ambit.erasure.ending": "verifies the end of a tenant by another route than the ORM",
    "ambit.erasure.tombstones": "the dispatcher's connection notes which lines of the ledger are known",
    "ambit.erasure.position": "asks Postgres where its log and its transactions stand",
    "ambit.erasure.rows": "rows of a whole tenant by table, in bounded parts, and the catalogue",
    "ambit.scrub.check": "reads Postgres' catalogue",
    "ambit.scrub.flow": "an advisory lock",
    "ambit.scrub.log": "goes through Postgres' log",
    "ambit.scrub.pages": "rewrites tables, and reads the catalogue",
    "ambit.export.holdings": "verifies an erasure by another route than the ORM",
    "ambit.scan.server": "reads Postgres' catalogue and statistics, as a superuser",
    "ambit.jobs.holdings": "verifies an erasure by another route than the ORM",
    "ambit.jobs.services": "the dispatcher looks for work nobody does",
    "ambit.metering.holdings": "rows become one without their member, and an erasure is verified by another route",
    "ambit.metering.services": "a use and its sums in one statement",
    "ambit.metering.upkeep": "the dispatcher looks for uses left open",
    "ambit.rotation.rewrap": "row locks that wait for nobody, and columns named by a registry",
    "tenants.holdings": "verifies an erasure by another route than the ORM",
    "tenants.rls": "the policies themselves",
    "tenants.scope": "sets what the policies read",
    "tenants.statements": "statements whose plan a connection keeps",
    "tenants.services": "groups are followed at any depth in one statement",
    "workers.erase.destroy": "bounds how long a statement may wait",
}
_LOGGING = {"debug", "info", "warning", "error", "critical", "exception", "log"}


def test_a_clearance_has_one_maker() -> None:
    made = [
        s.place(call)
        for s in sources()
        if s.module != CLEARANCE_MAKER
        for call in s.calls("Clearance")
    ]

    assert made == [], "ask ambit.access.clearance for it"


def test_a_clearance_is_never_altered_into_another() -> None:
    altered = [
        s.place(call)
        for s in sources()
        for name in ("replace", "__replace__", "__setattr__")
        for call in s.calls(name)
        if call.args and "clearance" in ast.unparse(call.args[0])
    ]

    assert altered == []


def test_the_custodians_clearance_is_asked_for_by_nobody_who_answers_people() -> None:
    users = {s.module for s in sources() for _ in s.calls("custodian_clearance")}

    assert not {m for m in users if m.startswith(("ambit.api", "ambit.admin", "ambit.answers"))}


def test_sql_of_our_own_is_in_listed_modules() -> None:
    raw = {
        s.module
        for s in sources()
        if not s.is_migration
        for name in ("execute", "executemany", "raw", "RawSQL", "copy", "extra")
        for call in s.calls(name)
        if name not in {"copy", "extra"} or call.args
    }

    assert raw <= set(RAW_SQL), "use the ORM, or list the module with its reason"


def test_no_listed_module_has_lost_its_sql() -> None:
    present = {s.module for s in sources()}

    assert set(RAW_SQL) <= present


def test_no_value_is_written_into_sql() -> None:
    written = [
        f"{s.place(call)} {ast.unparse(call.args[0])}"
        for s in sources()
        if not s.is_migration
        for call in s.calls("execute")
        if call.args and not _is_constant_sql(call.args[0], s)
    ]

    assert written == [], "pass values as parameters; names of tables come from constants"


def _is_constant_sql(node: ast.expr, source: Source) -> bool:
    """Say whether a statement is made of constants: literals, our own names in capitals, no values."""
    if isinstance(node, ast.JoinedStr):
        parts = [p.value for p in node.values if isinstance(p, ast.FormattedValue)]
        # A table's name that comes from a constant list is the one thing a parameter cannot carry.
        return all(isinstance(p, ast.Name) and p.id in {"table", "name"} for p in parts)
    if isinstance(node, ast.Call) and last_name(node.func) == "format":
        return isinstance(node.func, ast.Attribute) and _is_constant_sql(node.func.value, source)
    if isinstance(node, ast.BinOp):
        return _is_constant_sql(node.left, source) and _is_constant_sql(node.right, source)
    if isinstance(node, ast.Name):
        # A constant of the module, or the parameter of a private function that all send constants to.
        return node.id.isupper() or node.id == "statement"
    return isinstance(node, ast.Constant)


def test_no_model_is_reached_by_its_name() -> None:
    found = [
        s.place(call) for s in sources() if not s.is_migration for call in s.calls("get_model")
    ]

    assert found == [], "import what the app offers: services, queries or types"


def test_no_signal_and_no_save_of_our_own() -> None:
    receivers = [s.place(c) for s in sources() for c in s.calls("receiver")]
    saves = [
        s.place(node)
        for s in sources()
        if s.module.endswith(".models")
        for node in ast.walk(s.tree)
        if isinstance(node, ast.FunctionDef) and node.name in {"save", "delete"}
    ]

    assert (receivers, saves) == ([], [])


def _log_calls() -> Iterator[tuple[Source, ast.Call]]:
    for source in sources():
        for node in ast.walk(source.tree):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in _LOGGING
                and last_name(node.func.value) in {"logger", "logging", "log"}
            ):
                yield source, node


def test_every_log_line_is_a_constant_word() -> None:
    spoken = [
        source.place(call)
        for source, call in _log_calls()
        if not (len(call.args) == 1 and isinstance(call.args[0], ast.Constant))
    ]

    assert len(list(_log_calls())) > 10
    assert spoken == [], "log a constant name and put ids into extra="


# What a log line may carry beside it; content has none of these names.
_CONTENT = {
    "text",
    "title",
    "question",
    "query",
    "answer",
    "quote",
    "email",
    "name",
    "file_name",
    "body",
    "prompt",
    "passage",
    "passages",
    "value",
    "subject",
    "message",
}


def test_no_log_line_carries_content() -> None:
    carried = [
        f"{source.place(call)} {key.value}"
        for source, call in _log_calls()
        for keyword in call.keywords
        for node in ast.walk(keyword.value)
        if isinstance(node, ast.Dict)
        for key in node.keys
        if isinstance(key, ast.Constant) and key.value in _CONTENT
    ]
    tracebacks = [
        source.place(call)
        for source, call in _log_calls()
        if last_name(call.func) == "exception" or any(k.arg == "exc_info" for k in call.keywords)
    ]

    assert (carried, tracebacks) == ([], []), "an exception's words may quote a document"


def test_a_row_is_named_without_its_content() -> None:
    content = {"external_id", "email", "title", "text", "sign_in", "secret_hash", "place_hash"}
    for model in apps.get_models():
        if not model.__module__.startswith(("ambit.", "tenants.")):
            continue
        word = "quux"
        values: dict[str, Any] = {f.attname: word for f in model._meta.fields if f.name in content}
        if issubclass(model, TenantModel):
            values["tenant_id"] = uuid4()
        row = model(**values)

        assert word not in str(row), model
        assert word not in repr(row), model


def test_nothing_prints() -> None:
    printed = [
        s.place(call)
        for s in sources()
        for call in s.calls("print")
        if isinstance(call.func, ast.Name)
    ]

    assert printed == []
