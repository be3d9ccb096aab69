"""Every table and every column that can hold content is declared to erasure; nothing is forgotten."""

from __future__ import annotations

from uuid import UUID

import pytest
from django.apps import apps
from django.contrib.postgres.fields import ArrayField
from django.db import models
from pgvector.django import HalfVectorField, SparseVectorField, VectorField

from ambit.erasure.registry import HOLDINGS, TABLES
from tenants.holding import Scope

# Numbers, times, ids and switches say nothing by themselves; everything else can hold content.
HARMLESS = (
    models.UUIDField,
    models.IntegerField,
    models.BooleanField,
    models.DateTimeField,
    models.DateField,
    models.ForeignKey,
)
CONTENT = (
    models.CharField,
    models.TextField,
    models.BinaryField,
    models.JSONField,
    ArrayField,
    HalfVectorField,
    SparseVectorField,
    VectorField,
)
MODELS = {model._meta.db_table: model for model in apps.get_models(include_auto_created=True)}


@pytest.mark.parametrize("table", sorted(MODELS))
def test_every_table_is_declared(table: str) -> None:
    assert table in TABLES, (
        f"Declare {table} in ambit/erasure/registry.py: add it to a holding, or say why it is kept."
    )


@pytest.mark.parametrize("table", sorted(TABLES))
def test_a_table_is_either_held_or_kept_for_a_reason(table: str) -> None:
    declared = TABLES[table]

    assert bool(declared.held_by) != bool(declared.kept_because.strip())
    assert set(declared.held_by) <= set(HOLDINGS), "a holding that nothing destroys"


@pytest.mark.parametrize("table", sorted(MODELS))
def test_every_content_column_is_declared(table: str) -> None:
    columns = {
        field.column
        for field in MODELS[table]._meta.local_concrete_fields
        if not isinstance(field, HARMLESS)
    }

    assert table in TABLES, f"Declare {table} in ambit/erasure/registry.py."
    assert columns == set(TABLES[table].content), (
        f"Bring the content columns of {table} in ambit/erasure/registry.py up to date, and the"
        " holding that destroys them."
    )


@pytest.mark.parametrize("table", sorted(MODELS))
def test_every_column_is_of_a_known_kind(table: str) -> None:
    for field in MODELS[table]._meta.local_concrete_fields:
        assert isinstance(field, HARMLESS + CONTENT), (
            f"{table}.{field.column}: can a {type(field).__name__} hold content? Say so here."
        )


def test_every_holding_holds_a_table_or_says_where_else() -> None:
    elsewhere = {"originals", "queue", "model_cache"}

    held = {holding.name for table in TABLES.values() for holding in table.held_by}

    assert {h.name for h in HOLDINGS} == held | elsewhere


def test_holdings_have_names_of_their_own_and_words_for_a_receipt() -> None:
    names = [h.name for h in HOLDINGS]

    assert len(set(names)) == len(names)
    for holding in HOLDINGS:
        assert holding.title
        assert holding.found_by
        assert holding.destroyed_by
        assert holding.verified_by
        assert holding.found_by != holding.verified_by


def test_an_empty_scope_has_nothing_to_do() -> None:
    scope = Scope(tenant_id=UUID(int=0))

    assert not scope
    assert list(scope.parts(n_documents=10)) == []
