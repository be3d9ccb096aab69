"""Every place where a data key lies wrapped is known to the rotation of the wrapping keys."""

from __future__ import annotations

from django.apps import apps
from django.db import models

from ambit.rotation.registry import HOLDS_NO_KEY, WRAPPED
from tests.architecture.sources import sources

# Modules that make data keys, and where each keeps them; rotation reaches only what is known.
MAKERS = {
    "ambit.corpus.vault": {"corpus_documentkey.wrapped"},
    "ambit.answers.services": {"answers_exchange.wrapped_key"},
    "ambit.export.services": {"export_export.wrapped_key"},
    "ambit.notices.services": {"notices_webhook.wrapped_key"},
    "ambit.erasure.identity": {"erasure_pendingrequest.wrapped_key"},
    "ambit.erasure.reasons": {
        "erasure_erasure.reason_sealed",
        "erasure_erasure.extension_sealed",
        "erasure_erasure.refusal_sealed",
        "erasure_restriction.reason_sealed",
        "export_export.reason_sealed",
    },
}


def test_every_binary_column_holds_wrapped_keys_or_says_why_not() -> None:
    columns = {
        (model._meta.db_table, field.column)
        for model in apps.get_models(include_auto_created=True)
        for field in model._meta.local_concrete_fields
        if isinstance(field, models.BinaryField)
    }
    wrapped = {(place.table, place.column) for place in WRAPPED}

    assert columns == wrapped | HOLDS_NO_KEY.keys(), (
        "Add the column to WRAPPED in ambit/rotation/registry.py, or say there that it holds no key."
    )
    assert wrapped & HOLDS_NO_KEY.keys() == set()
    assert all(HOLDS_NO_KEY.values())


def test_every_module_that_makes_data_keys_keeps_them_where_rotation_comes() -> None:
    makers = {s.module for s in sources() for _ in s.calls("new_data_key")}

    assert makers == set(MAKERS), "say here where it keeps them, and in ambit/rotation/registry.py"
    assert set.union(*MAKERS.values()) == {f"{p.table}.{p.column}" for p in WRAPPED}
