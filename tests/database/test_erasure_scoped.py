"""A case is scoped when every place has counted what it covers, before anything of it is destroyed."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest

from ambit.erasure import cases
from ambit.erasure.models import ErasureHolding
from ambit.erasure.registry import HOLDINGS
from ambit.erasure.services import take_up
from tenants.audit import Actor, acting_as
from tenants.holding import HoldingFailed, Scope
from tenants.models import AuditEvent
from tenants.scope import tenant_scope
from tests.database.erasures import Town, file_for, inhabit, receipt_of, view_of, work_on


def _take_up(town: Town, case_id: UUID) -> None:
    with acting_as(Actor("worker", None)), tenant_scope(town.tenant_id, custody=True):
        take_up(case_id)


def _scoped(town: Town, case_id: UUID) -> list[dict[str, int]]:
    with tenant_scope(town.tenant_id):
        found = AuditEvent.objects.filter(object_id=case_id, action="erasure.scoped")
        return list(found.values_list("counts", flat=True))


def test_what_is_covered_is_counted_dated_and_audited_before_anything_is_destroyed() -> None:
    town = inhabit()
    case_id = file_for(town)
    assert view_of(town.tenant_id, case_id).state == "hidden"

    _take_up(town, case_id)

    view = view_of(town.tenant_id, case_id)
    assert view.state == "scoped"
    counted = {h.name: h.found for h in view.holdings if h.found}
    assert len(counted) > 15
    assert _scoped(town, case_id) == [counted]
    assert not any(h.destroyed for h in view.holdings)
    again = view.at("scoped")
    _take_up(town, case_id)
    assert view_of(town.tenant_id, case_id).at("scoped") == again

    closed = work_on(town.tenant_id, case_id)

    assert closed.at("hidden") <= closed.at("scoped") < closed.at("shredded")  # type: ignore[operator]  # all are there
    assert len(_scoped(town, case_id)) == 1
    receipt = receipt_of(town.tenant_id, case_id)
    assert "scoped" in [one["state"] for one in receipt["states"]]
    assert {h["name"]: h["found"] for h in receipt["holdings"] if h["found"]} == counted


def test_a_case_of_which_a_place_did_not_answer_was_never_scoped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_scope: Scope) -> int:
        raise HoldingFailed("queue")

    town = inhabit()
    case_id = file_for(town)
    silent = tuple(replace(h, find=fail) if h.name == "queue" else h for h in HOLDINGS)
    with monkeypatch.context() as patched:
        patched.setattr(cases, "HOLDINGS", silent)
        _take_up(town, case_id)
    assert view_of(town.tenant_id, case_id).state == "hidden"
    # As if a worker had gone on and died after it had destroyed something.
    with tenant_scope(town.tenant_id):
        ErasureHolding.objects.filter(erasure_id=case_id, name="vectors").update(destroyed=1)

    closed = work_on(town.tenant_id, case_id)

    assert closed.state == "closed"
    assert closed.at("scoped") is None
    assert _scoped(town, case_id) == []
