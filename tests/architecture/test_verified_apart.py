"""A second look is another look: nothing that verifies an erasure goes through what found it."""

from __future__ import annotations

import ast
from collections.abc import Callable

import pytest

from ambit.corpus import holdings as corpus_holdings
from ambit.corpus.holdings import versions_of
from ambit.erasure.registry import HOLDINGS
from tenants.holding import Holding, Scope
from tests.architecture.reach import reached
from tests.architecture.sources import Source, sources
from workers.erase.find import find, find_document
from workers.erase.verify import verify

# What both ways of looking may use: these find nothing by themselves.
TOOLS = {
    "_SET_LOCAL",
    "ambit.files.holdings._n_files",
    "ambit.jobs.holdings._items",
    "ambit.jobs.holdings._reach",
    "django.contrib.sessions.backends.db.SessionStore",
    "pathlib.Path",
    "redis.client.Redis",
    "redis.exceptions.RedisError",
    "tenants.holding.HoldingFailed",
}
# The key is found by its document, and verified by being tried.
_KEY_TRIED = {"document_keys": {"ambit.corpus.models.DocumentKey"}}
# The case's own row and lease; what it covers is not looked for again.
_OF_THE_CASE = {
    "_SET_LOCAL",
    "ambit.erasure.models.Erasure",
    "ambit.erasure.models.ErasureItem",
    "ambit.jobs.models.Job",
    "datetime.timedelta",
    "tenants.holding.HoldingFailed",
}
_SCOPES = ("tenants.scope.", "ambit.jobs.services.")


def shared(one: Callable[..., object], other: Callable[..., object]) -> set[str]:
    """Return what two functions both go through, beside naming the tenant and keeping the lease."""
    return {name for name in reached(one) & reached(other) if not name.startswith(_SCOPES)}


@pytest.mark.parametrize("holding", HOLDINGS, ids=lambda h: h.name)
def test_a_holding_is_verified_by_another_route_than_it_finds_by(holding: Holding) -> None:
    both = shared(holding.find, holding.remains) - TOOLS - _KEY_TRIED.get(holding.name, set())

    assert both == set(), (
        f"{holding.name}: `remains` goes through {sorted(both)} like `find`; a fault there would hide itself."
        " Count another way."
    )


@pytest.mark.parametrize("step", [find, find_document])
def test_the_second_look_goes_through_nothing_of_the_first(step: Callable[..., object]) -> None:
    assert shared(step, verify) - _OF_THE_CASE == set(), "verify must not trust what find found by"


def test_the_second_look_asks_holdings_what_remains_and_nothing_else() -> None:
    (source,) = (s for s in sources() if s.module == "workers.erase.verify")

    assert asked_of_holdings(source) == {"remains"}


def asked_of_holdings(source: Source) -> set[str]:
    """Return which of a holding's functions a module calls or names."""
    names = {n.attr for n in ast.walk(source.tree) if isinstance(n, ast.Attribute)}
    words = {n.value for n in ast.walk(source.tree) if isinstance(n, ast.Constant)}
    return (names | {w for w in words if isinstance(w, str)}) & {"find", "destroy", "remains"}


_STATEMENT = "SELECT count(*) FROM corpus_chunk"


def _look(scope: Scope) -> int:
    return len(versions_of(scope.document_ids))


def _by_statement(scope: Scope) -> int:
    return len(_STATEMENT) + len(scope.document_ids)


def _indirectly(scope: Scope) -> int:
    return _look(scope)


@pytest.mark.parametrize(
    ("found_by", "verified_by", "seen"),
    [
        (_look, _look, "ambit.corpus.holdings.versions_of"),
        (_look, lambda scope: _indirectly(scope), "ambit.corpus.holdings.versions_of"),
        (_look, lambda scope: corpus_holdings.versions_of(scope), "ambit.corpus.holdings.versions_of"),
        (_by_statement, lambda scope: _by_statement(scope), "_STATEMENT"),
        (lambda scope: _STATEMENT, lambda scope: [_STATEMENT], "_STATEMENT"),
    ],
)  # fmt: skip
def test_a_shared_way_of_looking_is_seen(
    found_by: Callable[..., object], verified_by: Callable[..., object], seen: str
) -> None:
    assert seen in shared(found_by, verified_by)


def test_asking_what_was_found_is_seen() -> None:
    text = (
        "def verify(scope):\n    return [h.find(scope) or getattr(h, 'remains') for h in HOLDINGS]"
    )
    planted = Source("workers/erase/verify.py", "workers.erase.verify", text, ast.parse(text))

    assert asked_of_holdings(planted) == {"find", "remains"}
