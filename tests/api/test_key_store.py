"""What callers are told while the key store is down or a tenant's key is lost, and what goes on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings as current
from django.utils import timezone
from pytest_django import Settings

from ambit.admin.health import parts
from ambit.api import health
from ambit.config.runtime.supervisor import Stack
from ambit.corpus.models import Document
from ambit.jobs.models import Job
from ambit.keys import chosen, protected
from ambit.keys.keyring import destroy_tenant_keys
from tenants.models import Tenant
from tenants.queries import OPERATOR
from tenants.scope import tenant_scope
from tests.cast import (
    NOT_FOR_WORKERS,
    Api,
    Cast,
    ingest_jobs,
    make_cast,
    publish,
    upload_unseen,
)
from tests.keys.bao import Bao, running
from workers.tasks import run_job

TEXT = {"query": "annual leave", "mode": "text"}
PROBE = Api("")


@pytest.fixture
def bao(
    request: pytest.FixtureRequest, settings: Settings, tmp_path: Path, database: Stack
) -> Iterator[Bao]:
    """Protect a keyring of our own by a real OpenBao."""
    server = running(request.config)
    settings.AMBIT_KEYRING_DIR = tmp_path / "keyring"
    (tmp_path / "keyring").mkdir()
    settings.AMBIT_KEY_STORE = "openbao"
    settings.AMBIT_OPENBAO_URL = server.url
    settings.AMBIT_OPENBAO_TOKEN_FILE = str(server.token_file)
    _begin_anew()
    yield server
    _begin_anew()


def _begin_anew() -> None:
    """Remember nothing, as a process that just started."""
    protected._held.clear()
    chosen._said.clear()
    health._last["at"] = 0.0


def _probe() -> dict[str, str]:
    health._last["at"] = 0.0
    answer = PROBE.get("/readyz")
    found: dict[str, str] = answer.json()["parts"] | {"status": str(answer.status_code)}
    return found


def _body(cast: Cast) -> dict[str, Any]:
    return {"collection": cast.here.collection, "title": "Leave", "text": "27 days of leave."}


def _n_documents(cast: Cast) -> int:
    with tenant_scope(cast.here.id, custody=True):
        return Document.objects.count()


def test_with_the_store_down_what_is_in_memory_goes_on_and_the_probe_tells(
    bao: Bao, embeddings: Stack
) -> None:
    cast = make_cast()
    publish(cast.alice, cast.here)
    before = _probe()

    with bao.sealed():
        found = cast.alice.post("/v1/search", TEXT)
        accepted = cast.alice.post("/v1/documents", _body(cast))
        chosen._said.clear()
        probe = _probe()
        (shown,) = (part for part in parts() if part.title == "Keys")

    assert (found.status_code, len(found.json()["results"])) == (200, 1)
    assert accepted.status_code == 202
    assert (before["key_store"], probe["key_store"]) == ("ready", "not_ready")
    assert (probe["keyring"], probe["status"]) == ("ready", "200")
    assert (shown.ok, shown.words) == (False, "does not answer")


def test_with_nothing_in_memory_it_is_503_and_nothing_is_stored_or_lost(bao: Bao) -> None:
    cast = make_cast()
    publish(cast.alice, cast.here)
    n_before = _n_documents(cast)

    with bao.sealed():
        _begin_anew()
        answers = [
            cast.alice.post("/v1/search", TEXT),
            cast.alice.post("/v1/documents", _body(cast)),
            cast.alice.get("/v1/documents"),
        ]
        n_stored = _n_documents(cast)
    _begin_anew()

    assert {(a.status_code, a.json()["code"]) for a in answers} == {(503, "keyring_unavailable")}
    assert all(int(a.headers["Retry-After"]) > 0 for a in answers)
    assert n_stored == n_before
    assert len(cast.alice.post("/v1/search", TEXT).json()["results"]) == 1
    assert cast.alice.post("/v1/documents", _body(cast)).status_code == 202


def test_with_the_store_down_no_tenant_is_made_without_keys(bao: Bao) -> None:
    cast = make_cast()

    with bao.sealed():
        _begin_anew()
        refused = cast.operator.post("/v1/tenants", {"name": "New", "slug": "new-without-keys"})
    _begin_anew()

    assert (refused.status_code, refused.json()["code"]) == (503, "keyring_unavailable")
    assert not Tenant.objects.using(OPERATOR).filter(slug="new-without-keys").exists()


def test_work_waits_for_a_tenants_keys_and_counts_no_attempt(
    cast: Cast, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    document_id = upload_unseen(cast.alice, cast.here)
    with tenant_scope(cast.here.id, custody=True):
        job = ingest_jobs(document_id).get()
    # Due in this process alone: a worker of the session would be quicker now and then.
    now = NOT_FOR_WORKERS + timedelta(seconds=1)
    monkeypatch.setattr(timezone, "now", lambda: now)
    keyring = _keys_of(cast.here.id)
    aside = keyring.rename(keyring.with_suffix(".aside"))
    try:
        run_job(tenant_id=str(cast.here.id), job_id=str(job.pk))
    finally:
        aside.rename(keyring)

    assert "jobs.waiting" in caplog.text
    with tenant_scope(cast.here.id):
        waiting = Job.objects.get(pk=job.pk)
    assert (waiting.attempts, waiting.lease) == (0, None)
    assert waiting.run_after > now + timedelta(seconds=2)


def test_a_destroyed_key_is_told_and_no_door_opens_any_more(cast: Cast, embeddings: Stack) -> None:
    publish(cast.alice, cast.here)
    assert cast.alice.post("/v1/search", TEXT).status_code == 200

    assert destroy_tenant_keys(cast.here.id) is True

    answers = [
        cast.alice.post("/v1/search", TEXT),
        cast.alice.post("/v1/answers", {"question": "How many days of leave?"}),
        cast.alice.get("/v1/documents"),
        cast.alice.post("/v1/documents", _body(cast)),
    ]
    assert {(a.status_code, a.json()["code"]) for a in answers} == {(503, "keyring_unavailable")}


def test_without_the_keyrings_folder_the_server_is_not_ready(
    database: Stack, settings: Settings, tmp_path: Path
) -> None:
    settings.AMBIT_KEYRING_DIR = tmp_path / "not mounted"

    assert _probe()["keyring"] == "not_ready"
    health._last["at"] = 0.0
    assert PROBE.get("/readyz").status_code == 503
    health._last["at"] = 0.0
    (shown,) = (part for part in parts() if part.title == "Keys")
    assert shown.ok is False


def _keys_of(tenant_id: UUID) -> Path:
    return Path(current.AMBIT_KEYRING_DIR) / f"{tenant_id}.json"
