"""The database keeps tenants apart even when the application's own tenant predicates are gone.

Every public read and write of the domain is called inside Mallory's tenant with the ids of
Alice's, found by the names of its parameters, while every `tenant_id = …` that it sends is made
true for every row. A function with a parameter that is not known here fails the test.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import UTC, datetime
from types import ModuleType
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from django.db import connection, models, transaction
from psycopg import sql

from ambit.access import audiences as access_audiences
from ambit.access import clearance as access_clearance
from ambit.access import documents as access_documents
from ambit.access import queries as access_queries
from ambit.access import services as access_services
from ambit.access.types import GrantSpec, PrincipalRef
from ambit.answers import conversations as answers_conversations
from ambit.answers import queries as answers_queries
from ambit.config.settings import EMBEDDED
from ambit.corpus import queries as corpus_queries
from ambit.corpus import search as corpus_search
from ambit.corpus import services as corpus_services
from ambit.corpus.types import Filters, SubjectRef, Upload
from ambit.erasure import queries as erasure_queries
from ambit.erasure import services as erasure_services
from ambit.erasure.models import Erasure
from ambit.erasure.registry import HOLDINGS
from tenants import holdings as tenants_holdings
from tenants import queries as tenants_queries
from tenants import services as tenants_services
from tenants.holding import Scope
from tenants.models import ApiKey, Member
from tenants.scope import current_tenant_id, tenant_scope
from tenants.secrets import PresentedKey
from tests.database.private import PrivateDatabase, superuser_url
from tests.database.worlds import unit, working
from tests.isolation.filled import Filled, fill_tenant, tenant_tables
from tests.isolation.left_out import LEFT_OUT, SAYS

MODULES: tuple[ModuleType, ...] = (
    tenants_queries,
    tenants_services,
    tenants_holdings,
    access_audiences,
    access_clearance,
    access_queries,
    access_services,
    access_documents,
    corpus_queries,
    corpus_search,
    corpus_services,
    answers_queries,
    answers_conversations,
    erasure_queries,
    erasure_services,
)
_PREDICATE = re.compile(r"""((?:"?\w+"?\.)?"?tenant_id"?)\s*=\s*(%\(tenant\)s|%s)""")
_ITSELF = re.compile(r"""("tenants_tenant"\."id"|(?<=WHERE )id)\s*=\s*(%s)""")
_LEFT = re.compile(r"""tenant_id"?\s*(?:=|<>|IN\b|IS\b)""", re.IGNORECASE)


class Removal:
    """Makes every tenant predicate true for every row, and counts them."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, execute: Any, statement: Any, *rest: Any) -> Any:
        """Send the statement without its predicates."""
        text = str(statement)
        text, n = _PREDICATE.subn(r"\2::text IS NOT NULL", text)
        if "tenants_tenant" in text:
            text, n_itself = _ITSELF.subn(r"\2::text IS NOT NULL", text)
            n += n_itself
        assert not _LEFT.search(text), f"a predicate was not removed: {text}"
        self.count += n
        return execute(text, *rest)


@contextmanager
def _predicates_removed() -> Iterator[Removal]:
    removal = Removal()
    with connection.execute_wrapper(removal):
        yield removal


@dataclass(frozen=True)
class Attack:
    """A function of the domain, called with the ids of somebody else's rows."""

    name: str
    function: Callable[..., Any]


def _attacks() -> list[Attack]:
    found = []
    for module in MODULES:
        for name, function in vars(module).items():
            full = f"{module.__name__}.{name}"
            if (
                inspect.isfunction(function)
                and function.__module__ == module.__name__
                and not name.startswith("_")
                and full not in LEFT_OUT
            ):
                found.append(Attack(full, function))
    for holding in HOLDINGS:
        for step in ("find", "destroy", "remains"):
            found.append(Attack(f"holding {holding.name}.{step}", getattr(holding, step)))
    return found


ATTACKS = _attacks()


@dataclass(frozen=True)
class Loot:
    """What there is of a tenant that another must never see."""

    filled: Filled
    # Digests of its rows by table, before any attack.
    rows: dict[str, str]
    arguments: dict[str, Any]
    # Every id of its rows, its people's names and its words.
    marks: frozenset[str]


def _loot(filled: Filled, look: psycopg.Connection) -> Loot:
    with tenant_scope(filled.tenant_id, member_id=filled.alice, custody=True):
        member = Member.objects.get(pk=filled.alice)
        key = ApiKey.objects.filter(member_id=None).first()
        erasure = Erasure.objects.first()
        assert key is not None
        assert erasure is not None
        clearance = access_clearance.clearance_for(member_id=filled.alice)
        document = corpus_queries.get_document(document_id=filled.document_id, clearance=clearance)
        turns = answers_conversations.earlier_turns(
            conversation_id=filled.conversation_id, clearance=clearance
        )
        assert turns
        assert answers_conversations.still_seen(turns, clearance=clearance)
    marks = {filled.tenant_id.hex, filled.word, member.email, member.external_id}
    for table in tenant_tables():
        statement = sql.SQL("SELECT id FROM {} WHERE tenant_id = %s").format(sql.Identifier(table))
        marks |= {row_id.hex for (row_id,) in look.execute(statement, [filled.tenant_id])}
    return Loot(
        filled,
        _fingerprint(filled.tenant_id, look),
        {
            "member_id": filled.alice,
            "member_ids": [filled.alice],
            "created_by_id": filled.alice,
            "group_id": filled.group_id,
            "parent_id": filled.group_id,
            "child_id": filled.group_id,
            "key_id": key.pk,
            "presented": PresentedKey("svc", filled.tenant_id, key.secret_hash),
            "text": member.email,
            "value": member.email,
            "kind": "email",
            "subject": SubjectRef("email", member.email),
            "collection_id": filled.collection_id,
            "document_id": filled.document_id,
            "document_ids": [filled.document_id],
            "document": document,
            "audience_id": filled.audience_ids[0],
            "audience_ids": list(filled.audience_ids),
            "answer_id": filled.answer_id,
            "conversation_id": filled.conversation_id,
            "turns": turns,
            "erasure_id": erasure.pk,
            "case_id": erasure.pk,
            "object_id": filled.document_id,
            "grants": [GrantSpec(PrincipalRef(member_id=filled.alice), "owner")],
            "member": tenants_holdings.MemberTrace(
                filled.alice, member.email, member.external_id, member.name, (key.pk,), ()
            ),
            "scope": Scope(
                tenant_id=filled.tenant_id,
                document_ids=(filled.document_id,),
                member_ids=(filled.alice,),
                key_ids=(key.pk,),
                answer_ids=(filled.answer_id,),
            ),
        },
        frozenset(marks),
    )


def _values(attack: Attack, loot: Loot, attacker: Filled) -> dict[str, Any]:
    """Return what to call a function with: its own clearance, and everything else stolen."""
    unset = ("after", "since", "action", "actor_id", "state", "expires_at")
    known = (
        loot.arguments
        | dict.fromkeys(unset)
        | {
            "clearance": access_clearance.clearance_for(member_id=attacker.alice),
            "filters": Filters(created_after=datetime.min.replace(tzinfo=UTC)),
            "limit": 100,
            "k": 50,
            "query": loot.filled.word,
            "embedding": unit(0).tolist(),
            "mode": "hybrid",
            "role": "reader",
            "name": f"n{uuid4().hex}",
            "external_id": uuid4().hex,
            "email": f"{uuid4().hex}@example.org",
            "scopes": ["search"],
            "suspended": True,
            "own_grants": True,
            "upload": Upload("t", "t.txt", "text/plain", [b"words"]),
            "reason": "asked to",
            "dry_run": False,
        }
    )
    if attack.name == "ambit.erasure.services.request_erasure":
        known["subject"] = None
    known["role"] = "member" if "member" in attack.name else known["role"]
    known["kind"] = "original" if attack.name.endswith(".read_content") else known["kind"]
    # A holding takes its scope as its one positional argument.
    names = inspect.signature(attack.function).parameters
    if attack.name.startswith("holding "):
        return {next(iter(names)): replace(known["scope"], tenant_id=current_tenant_id())}
    missing = {n for n, p in names.items() if p.default is p.empty} - known.keys()
    assert not missing, f"{attack.name} takes {missing}: say in this test what to attack it with"
    return {n: known[n] for n in names if n in known}


def _call(attack: Attack, values: dict[str, Any]) -> str:
    """Call it and return everything that came back as text; of a refusal its kind."""
    try:
        with transaction.atomic():
            kinds = {p.kind for p in inspect.signature(attack.function).parameters.values()}
            if inspect.Parameter.POSITIONAL_OR_KEYWORD in kinds and len(values) == 1:
                return _told(attack.function(*values.values()))
            return _told(attack.function(**values))
    except (AssertionError, AttributeError, TypeError):
        raise
    except Exception as error:  # noqa: BLE001 - any refusal is an answer
        return f"refused: {type(error).__name__}"


def _told(value: Any) -> str:
    if isinstance(value, models.Model):
        return " ".join(_told(getattr(value, f.attname)) for f in value._meta.concrete_fields)
    if is_dataclass(value):
        return " ".join(_told(getattr(value, f.name)) for f in fields(value))
    if isinstance(value, UUID):
        return value.hex
    if isinstance(value, bytes | memoryview):
        return bytes(value).decode(errors="replace")
    if isinstance(value, dict):
        return " ".join(_told(v) for pair in value.items() for v in pair)
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        return str(value)
    return " ".join(_told(v) for v in value)


def _seen(answer: str, loot: Loot, values: dict[str, Any]) -> set[str]:
    """Return the marks of the other tenant that an answer holds and the question did not."""
    asked = _told({n: v for n, v in values.items() if n not in {"clearance"}})
    return {mark for mark in loot.marks if mark in answer and mark not in asked}


def _fingerprint(tenant_id: UUID, look: psycopg.Connection) -> dict[str, str]:
    """Return a digest of all rows of a tenant, by table."""
    each = sql.SQL(
        "SELECT {0}, md5(string_agg(md5(t::text), '' ORDER BY id)) FROM {1} t WHERE tenant_id = {2}"
    )
    tables = [
        each.format(sql.Literal(table), sql.Identifier(table), sql.Literal(tenant_id))
        for table in tenant_tables()
    ]
    return dict(look.execute(sql.SQL(" UNION ALL ").join(tables)).fetchall())


@pytest.fixture(scope="module")
def look(_database: None) -> Iterator[psycopg.Connection]:
    """Connect as the superuser, to look at what no policy hides."""
    with psycopg.connect(superuser_url(EMBEDDED), autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="module")
def victim(look: psycopg.Connection) -> Loot:
    """Return the tenant that is attacked, of which nothing may change."""
    return _loot(fill_tenant(), look)


@pytest.fixture(scope="module")
def attacker(_database: None) -> Filled:
    """Return the tenant of the attacker."""
    return fill_tenant()


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_nothing_of_another_tenant_is_seen_or_changed(
    look: psycopg.Connection, victim: Loot, attacker: Filled, attack: Attack
) -> None:
    with _predicates_removed(), working(attacker.tenant_id, member_id=attacker.alice):
        values = _values(attack, victim, attacker)
        answer = _call(attack, values)

    assert _seen(answer, victim, values) == set(), answer
    assert answer == SAYS.get(attack.name, answer)
    assert _fingerprint(victim.filled.tenant_id, look) == victim.rows


def test_the_predicates_were_really_removed(attacker: Filled) -> None:
    with _predicates_removed() as removal, working(attacker.tenant_id):
        tenants_queries.list_members(after=None, limit=10)
        assert removal.count == 1
        tenants_queries.get_tenant()
        assert removal.count == 2
        clearance = access_clearance.clearance_for(member_id=attacker.alice)
        assert removal.count > 6
        before = removal.count
        corpus_search.search(clearance=clearance, query="harbor", embedding=unit(0).tolist(), k=5)
        assert removal.count - before > 6


def test_what_is_ones_own_is_found_the_same_without_the_predicates(attacker: Filled) -> None:
    def ask() -> str:
        with working(attacker.tenant_id, member_id=attacker.alice):
            clearance = access_clearance.clearance_for(member_id=attacker.alice)
            return _told(
                [
                    clearance,
                    tenants_queries.list_members(after=None, limit=100),
                    access_queries.list_collections(clearance=clearance),
                    corpus_queries.list_documents(clearance=clearance, after=None, limit=10),
                    corpus_search.search(
                        clearance=clearance, query="harbor", embedding=unit(0).tolist(), k=5
                    ),
                ]
            )

    expected = ask()
    with _predicates_removed():
        found = ask()

    assert attacker.word in found
    assert found == expected


def test_these_attacks_succeed_where_the_database_does_not_defend(private: PrivateDatabase) -> None:
    with private.in_use(), private.superuser() as superuser:
        loot, mallory = _loot(fill_tenant(), superuser), fill_tenant()
        superuser.execute("ALTER ROLE ambit_app BYPASSRLS")
        try:
            seen = {a.name for a in ATTACKS if _steals(a, loot, mallory, keep=False)}
            for attack in ATTACKS:
                _steals(attack, loot, mallory, keep=True)
        finally:
            superuser.execute("ALTER ROLE ambit_app NOBYPASSRLS")
        after = _fingerprint(loot.filled.tenant_id, superuser)

    assert seen >= {
        "tenants.queries.get_member",
        "tenants.queries.list_members",
        "tenants.queries.key_holder",
        "ambit.access.queries.list_collections_as_custodian",
        "ambit.access.clearance.clearance_for",
        "ambit.access.clearance.readers_of",
        "ambit.erasure.queries.get_erasure",
    }
    changed = {table for table, digest in loot.rows.items() if after.get(table) != digest}
    assert changed >= {
        "tenants_member",
        "tenants_apikey",
        "corpus_document",
        "corpus_documentkey",
        "access_grant",
    }


def _steals(attack: Attack, loot: Loot, mallory: Filled, *, keep: bool) -> bool:
    with _predicates_removed(), working(mallory.tenant_id, member_id=mallory.alice):
        values = _values(attack, loot, mallory)
        answer = _call(attack, values)
        transaction.set_rollback(not keep)
    return bool(_seen(answer, loot, values))
