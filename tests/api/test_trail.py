"""The proof of the audit trail over HTTP: what a tenant's application keeps and checks itself."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

from ambit.audit.copies import folder_of
from ambit.audit.flow import NAME
from ambit.audit.verify import (
    Key,
    check_consistency,
    check_inclusion,
    leaf_hash,
    read_note,
)
from ambit.keys.signing import make_signing_key
from tests.audit.trails import sign_all
from tests.cast import Cast

PROOF_BYTES = 1000


@pytest.fixture(autouse=True)
def _key(database: object) -> None:
    # Other tests sign with keys of their own, so that none is made here as after a fresh start.
    make_signing_key()


@pytest.fixture
def signed(cast: Cast) -> Cast:
    """Return the cast with some events that are signed."""
    for _ in range(3):
        cast.alice.get("/v1/documents")
    sign_all(cast.here.id)
    return cast


def of_olivia(cast: Cast, path: str, query: dict[str, Any] | None = None) -> Any:
    response = cast.olivia.get(f"/v1/audit/{path}", query or {})
    assert response.status_code == 200, response.content
    return response.json()


def test_an_event_is_proved_by_what_the_application_kept(signed: Cast) -> None:
    key = Key.read(of_olivia(signed, "key")["key"])
    assert key.name == NAME
    listed = of_olivia(signed, "events", {"action": "document.listed"})["results"]

    for event in listed:
        found = of_olivia(signed, f"events/{event['id']}/proof")
        checkpoint = read_note(found["checkpoint"]["note"], key)
        check_inclusion(
            leaf_hash(found["line"]["entry"]),
            number=found["number"],
            size=checkpoint.size,
            root=checkpoint.root,
            proof=[b64decode(step) for step in found["proof"]],
        )
        assert found["line"]["entry"]["action"] == "document.listed"
        assert found["line"]["who"]["value"]["actor_id"] is not None
    assert len(listed) == 3


def test_a_later_checkpoint_begins_with_the_one_that_was_kept(signed: Cast) -> None:
    key = Key.read(of_olivia(signed, "key")["key"])
    sign_all(signed.here.id)
    newest, *_, oldest = of_olivia(signed, "checkpoints")["results"]

    found = of_olivia(signed, "consistency", {"older": oldest["size"], "newer": newest["size"]})

    older, newer = read_note(oldest["note"], key), read_note(newest["note"], key)
    check_consistency(
        older=older.size,
        older_root=older.root,
        newer=newer.size,
        newer_root=newer.root,
        proof=[b64decode(step) for step in found["proof"]],
    )
    assert newest["copied"] is True
    assert (folder_of(signed.here.id)).is_dir()


def test_checkpoints_are_paged_newest_first(signed: Cast) -> None:
    for _ in range(3):
        signed.alice.get("/v1/documents")
        sign_all(signed.here.id)

    first = of_olivia(signed, "checkpoints", {"limit": 2})
    rest = of_olivia(signed, "checkpoints", {"limit": 200, "cursor": first["next"]})

    sizes = [checkpoint["size"] for checkpoint in first["results"] + rest["results"]]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == len(sizes) >= 4


def test_the_export_checks_itself_where_there_is_nothing_of_ours(
    signed: Cast, tmp_path: Path
) -> None:
    response = signed.olivia.get("/v1/audit/export")
    assert response["Content-Type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(response.getvalue())) as file:
        file.extractall(tmp_path)

    command = [sys.executable, "-I", "ambit_verify.pyz"]
    kept = ["--checkpoints", str(folder_of(signed.here.id))]
    done = subprocess.run(
        [*command, *kept], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "signed and whole: the first " in done.stdout
    # That it was asked for.
    assert "not signed yet: 1" in done.stdout


def test_what_is_not_signed_yet_or_somebody_elses_is_refused_alike(signed: Cast) -> None:
    signed.alice.get("/v1/documents")
    newest = of_olivia(signed, "events", {"action": "document.listed"})["results"][0]["id"]
    signed_one = of_olivia(signed, "events", {"action": "document.listed"})["results"][-1]["id"]

    answers = [
        signed.olivia.get(f"/v1/audit/events/{newest}/proof"),
        signed.there.service.get(f"/v1/audit/events/{signed_one}/proof"),
        signed.olivia.get("/v1/audit/events/evt_0123/proof"),
    ]

    assert {(a.status_code, a.json()["code"]) for a in answers[:2]} == {(404, "event_not_proved")}
    assert answers[2].status_code == 404
    gone = signed.olivia.get("/v1/audit/consistency", {"older": 1, "newer": 2**40})
    assert gone.json()["code"] == "checkpoint_not_found"
    assert signed.alice.get("/v1/audit/export").json()["code"] == "role_missing"
