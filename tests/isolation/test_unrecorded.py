"""What cannot be recorded does not happen: no answer is given and no row is changed.

In a Postgres of its own the application loses the right to add audit events; then everybody who may
asks for everything.
"""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tenants.ids import parse_id, public_id
from tests.database.adapting import register
from tests.database.private import PrivateDatabase
from tests.isolation.routes import Call, calls
from tests.isolation.stage import Stage, fingerprint, make_stage

pytestmark = pytest.mark.usefixtures("embeddings", "model")
LOGINS = "ambit_app, ambit_operator"
# Refused in any case, because the sample in routes.py does not fit what there is.
_NOT_VALID = {
    "POST v1/members",
    "POST v1/groups",
    "POST v1/keys",
    "POST v1/documents/<str:id>/retry",
    "POST v1/erasures/<str:id>/identity",
    "POST v1/erasures/<str:id>/refusal",
    "POST v1/erasures/<str:id>/extension",
    "GET v1/audit/consistency",
}
PROMOTES = "POST v1/adapters/<str:id>/promote"
# Answers for each of its documents, each in a transaction of its own.
_ANSWERS_IN_PARTS = {"POST v1/documents/batch"}


@pytest.fixture(scope="module")
def stage(private: PrivateDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Return everybody with what is theirs, in a database that may be broken."""
    with private.in_use(), private.superuser() as look:
        yield make_stage(look)


@pytest.fixture(scope="module")
def candidate(stage: Stage) -> str:
    """Return an adapter that can still be promoted: the stage's own is live."""
    document_id = parse_id("document", stage.alices["document"])
    assert document_id is not None
    made = register(stage.cast.here.id, stage.cast.alice.id, [document_id])
    return public_id("adapter", made)


@pytest.fixture
def unrecorded(
    private: PrivateDatabase, stage: Stage, candidate: str
) -> Iterator[psycopg.Connection]:
    """Take the right to record away until the test ends."""
    with private.superuser() as superuser:
        superuser.execute(f"REVOKE INSERT ON tenants_auditevent FROM {LOGINS}".encode())
        try:
            yield superuser
        finally:
            superuser.execute(f"GRANT INSERT ON tenants_auditevent TO {LOGINS}".encode())


@pytest.mark.parametrize(
    "call", [c for c in calls() if c.name not in _NOT_VALID and not c.policy.operator], ids=lambda c: c.name
)  # fmt: skip
def test_without_its_event_nothing_is_done(
    stage: Stage, candidate: str, unrecorded: psycopg.Connection, call: Call
) -> None:
    before = fingerprint(unrecorded, stage.cast.here.id)
    ids = stage.alices | ({"adapter": candidate} if call.name == PROMOTES else {})
    statuses = set()

    for api in (stage.cast.olivia, stage.cast.alice, stage.registrar, stage.cast.here.service):
        response = (
            api.get(call.path(ids), call.body(ids))
            if call.method == "GET"
            else call.sent_by(api, ids)
        )
        if response.streaming:
            response.getvalue()
        statuses.add(response.status_code)

    if call.name not in _ANSWERS_IN_PARTS:
        assert min(statuses) >= 400, "it was answered although it was not recorded"
        assert 500 in statuses, "nobody got as far as the event"
    assert fingerprint(unrecorded, stage.cast.here.id) == before
