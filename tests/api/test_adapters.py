"""Adapters through the API: who registers what, what is refused, and who sees which."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import override_settings

from ambit.access.types import GrantSpec, PrincipalRef
from tenants.ids import public_id
from tests.cast import Cast, Person, publish
from tests.database.adapting import CONFIG, PREFIX, RANK, row_of, tensors, weights
from tests.database.erasures import keep_from_workers
from tests.database.worlds import working

PICKLE = b"\x80\x02}q\x00X\x04\x00\x00\x00testq\x01cos\nsystem\nq\x02."


def form(
    documents: list[dict[str, Any]],
    *,
    data: bytes | None = None,
    config: dict[str, Any] | bytes | None = None,
) -> dict[str, Any]:
    said = CONFIG if config is None else config
    text = said if isinstance(said, bytes) else json.dumps(said).encode()
    return {
        "name": "Letters",
        "documents": json.dumps(documents),
        "config": SimpleUploadedFile("adapter_config.json", text),
        "weights": SimpleUploadedFile(
            "adapter_model.safetensors", weights() if data is None else data
        ),
    }


def of(document_id: UUID, version: int = 1) -> dict[str, Any]:
    return {"document": public_id("document", document_id), "version": version}


def send(who: Person, body: dict[str, Any], **extra: Any) -> Any:
    return who.post("/v1/adapters", body, format="multipart", **extra)


@pytest.fixture
def handbook(cast: Cast) -> UUID:
    """Publish a document that Alice, Bob and Adam see, and nobody else."""
    readers = [
        GrantSpec(PrincipalRef(member_id=cast.alice.id), "owner"),
        GrantSpec(PrincipalRef(member_id=cast.bob.id), "reader"),
        GrantSpec(PrincipalRef(member_id=cast.adam.id), "reader"),
    ]
    return publish(cast.alice, cast.here, grants=readers)


def test_the_folders_group_reads_the_weights_whatever_the_umask(cast: Cast, handbook: UUID) -> None:
    before = os.umask(0o077)
    try:
        made = send(cast.adam, form([of(handbook)])).json()
    finally:
        os.umask(before)

    folder = (
        Path(settings.AMBIT_ADAPTERS_DIR)
        / row_of(cast.here.id, UUID(made["id"].partition("_")[2])).served_name
    )
    files = {file.name: file.stat().st_mode & 0o777 for file in folder.iterdir()}
    assert folder.stat().st_mode & 0o777 == 0o750
    assert len(files) == 3 and set(files.values()) == {0o640}, files


def test_an_administrator_registers_promotes_and_retires(cast: Cast, handbook: UUID) -> None:
    made = send(cast.adam, form([of(handbook)]))
    assert made.status_code == 201, made.content
    body, path = made.json(), made.headers["Location"]
    assert path == f"/v1/adapters/{body['id']}"
    assert (body["state"], body["rank"], body["documents"]) == ("candidate", RANK, 1)
    assert cast.bob.get(path).status_code == 404, "no candidate is a member's"

    live = cast.adam.post(f"{path}/promote")
    assert (live.status_code, live.json()["state"]) == (200, "live")
    assert cast.adam.post(f"{path}/promote").json()["code"] == "adapter_not_promotable"
    assert cast.bob.get(path).json()["state"] == "live"
    assert [one["id"] for one in cast.bob.get("/v1/adapters").json()["results"]] == [body["id"]]
    assert cast.carol.get(path).json() | {"request_id": ""} == cast.mallory.get(path).json() | {
        "request_id": ""
    }
    assert cast.carol.get("/v1/adapters").json()["results"] == []

    retired = cast.adam.post(f"{path}/retire").json()
    assert (retired["state"], retired["retired_because"]) == ("retired", "by_hand")
    assert cast.bob.get(path).status_code == 404
    assert cast.adam.post(f"{path}/promote").status_code == 409
    shown = cast.adam.get("/v1/adapters").json()["results"]
    assert [one["state"] for one in shown] == ["retired"]
    row = row_of(cast.here.id, UUID(body["id"].partition("_")[2]))
    assert row.served_name not in json.dumps(shown), "what servers call it is nobody's to know"
    with working(cast.here.id):
        keep_from_workers()


def test_only_an_administrator_may(cast: Cast, handbook: UUID) -> None:
    assert send(cast.alice, form([of(handbook)])).json()["code"] == "role_missing"
    assert send(cast.olivia, form([of(handbook)])).json()["code"] == "role_missing"
    made = send(cast.adam, form([of(handbook)])).json()["id"]
    for act in ("promote", "retire"):
        assert cast.alice.post(f"/v1/adapters/{made}/{act}").json()["code"] == "role_missing"


def test_what_the_administrator_cannot_see_is_as_unknown_as_what_is_not_there(
    cast: Cast, handbook: UUID
) -> None:
    hers = publish(cast.alice, cast.here)
    theirs = publish(cast.mallory, cast.there)
    answers = [
        send(cast.adam, form([of(handbook), of(one, version)]))
        for one, version in ((hers, 1), (theirs, 1), (UUID(int=7), 1))
    ]

    bodies = [answer.json() | {"request_id": ""} for answer in answers]
    assert bodies[0] == bodies[1] == bodies[2]
    assert bodies[0]["code"] == "training_documents_unknown"
    assert [e["field"] for e in bodies[0]["errors"]] == ["documents.1"]
    old = send(cast.adam, form([of(handbook, 2)])).json()
    assert (old["code"], old["errors"][0]["field"]) == ("training_documents_unknown", "documents.0")
    assert cast.adam.get("/v1/adapters").json()["results"] == []


def _tensors(**changed: Any) -> dict[str, Any]:
    return tensors() | changed


_Q = f"{PREFIX}.q_proj.lora_A.weight"
_HUGE = (1 << 40).to_bytes(8, "little")


@pytest.mark.parametrize(
    "data",
    [
        b"", b"abc", PICKLE, _HUGE + weights()[8:], weights()[:-1], weights() + b"x", weights({"a": {}}, n_bytes=0),
        weights(tensors(rank=4)), weights(tensors(dtype="F16")), weights(tensors(dtype="I8")),
        weights(_tensors(**{"base_model.model.lm_head.weight": tensors()[_Q]})),
        weights(_tensors(**{f"{PREFIX}.k_proj.lora_A.weight": tensors()[_Q]})),
        weights(_tensors(**{_Q: tensors()[_Q] | {"data_offsets": [-128, 0]}})),
        weights(_tensors(**{_Q: tensors()[_Q] | {"shape": [RANK, 4, 1]}})),
        weights(_tensors(**{_Q: tensors()[_Q] | {"shape": [True, 4]}})),
        (8).to_bytes(8, "little") + b"[1,2,3 ]", (2).to_bytes(8, "little") + b"{}",
    ],
)  # fmt: skip
def test_weights_that_are_no_adapter_are_refused(cast: Cast, handbook: UUID, data: bytes) -> None:
    answer = send(cast.adam, form([of(handbook)], data=data))

    assert (answer.status_code, answer.json()["code"]) == (422, "adapter_file_refused")
    assert answer.json()["detail"].startswith("In `weights`: ")
    assert cast.adam.get("/v1/adapters").json()["results"] == []


@pytest.mark.parametrize(
    "config",
    [
        b"", b"[]", b"{", b"{" * 90_000, CONFIG | {"peft_type": "LOHA"}, CONFIG | {"r": 17}, CONFIG | {"r": 0},
        CONFIG | {"r": True}, CONFIG | {"r": "8"}, CONFIG | {"base_model_name_or_path": "another"},
        CONFIG | {"lora_alpha": -1}, CONFIG | {"target_modules": ".*"}, CONFIG | {"target_modules": []},
        CONFIG | {"target_modules": ["../x"]}, CONFIG | {"modules_to_save": ["lm_head"]}, CONFIG | {"use_dora": True},
        CONFIG | {"bias": "all"}, CONFIG | {"auto_mapping": {"base_model_class": "x"}},
    ],
)  # fmt: skip
def test_a_configuration_that_is_not_served_is_refused(
    cast: Cast, handbook: UUID, config: dict[str, Any] | bytes
) -> None:
    answer = send(cast.adam, form([of(handbook)], config=config))

    assert (answer.status_code, answer.json()["code"]) == (422, "adapter_file_refused")
    assert answer.json()["detail"].startswith("In `config`: ")


@pytest.mark.parametrize("documents", ["[]", "{}", "x", '[{"document": "doc_1"}]'])
def test_a_manifest_that_is_none_is_refused(cast: Cast, documents: str) -> None:
    assert send(cast.adam, form([]) | {"documents": documents}).json()["code"] == "invalid"


def test_a_document_named_twice_is_refused(cast: Cast, handbook: UUID) -> None:
    answer = send(cast.adam, form([of(handbook), of(handbook)]))
    assert answer.json()["code"] == "training_document_twice"


def test_without_a_model_or_a_folder_none_is_taken(cast: Cast, handbook: UUID) -> None:
    for broken in ({"AMBIT_LORA_BASE": ""}, {"AMBIT_ADAPTERS_DIR": ""}):
        with override_settings(**broken):
            assert send(cast.adam, form([of(handbook)])).json()["code"] == "adapters_off"


def test_weights_that_cannot_be_stored_leave_a_retired_adapter(
    cast: Cast, handbook: UUID, tmp_path: Path
) -> None:
    with override_settings(AMBIT_ADAPTERS_DIR=str(tmp_path / "not-mounted")):
        answer = send(cast.adam, form([of(handbook)]))

    assert (answer.status_code, answer.json()["code"]) == (503, "adapter_not_stored")
    (left,) = cast.adam.get("/v1/adapters").json()["results"]
    assert (left["state"], left["retired_because"]) == ("retired", "not_stored")
    with working(cast.here.id):
        keep_from_workers()


def test_a_repeated_request_registers_once(cast: Cast, handbook: UUID) -> None:
    key = {"Idempotency-Key": "once"}
    first = send(cast.adam, form([of(handbook)]), headers=key)
    again = send(cast.adam, form([of(handbook)]), headers=key)

    assert first.json()["id"] == again.json()["id"]
    assert again.headers["Idempotency-Replayed"] == "true"
    assert len(cast.adam.get("/v1/adapters").json()["results"]) == 1


def test_the_configuration_on_disk_is_ours_and_the_weights_are_theirs(
    cast: Cast, handbook: UUID
) -> None:
    said = CONFIG | {"lora_dropout": 0.5, "revision": "x", "init_lora_weights": "y"}
    made = send(cast.adam, form([of(handbook)], config=said)).json()
    row = row_of(cast.here.id, UUID(made["id"].partition("_")[2]))
    folder = Path(settings.AMBIT_ADAPTERS_DIR) / row.served_name

    assert (folder / "adapter_model.safetensors").read_bytes() == weights()
    kept = json.loads((folder / "adapter_config.json").read_text())
    assert {"lora_dropout", "revision", "init_lora_weights"}.isdisjoint(kept)
    assert (kept["r"], kept["target_modules"]) == (RANK, ["q_proj", "v_proj"])
    assert oct(folder.stat().st_mode)[-3:] == "750"


def test_the_list_has_pages(cast: Cast, handbook: UUID) -> None:
    made = [send(cast.adam, form([of(handbook)])).json()["id"] for _ in range(3)]
    for one in made:
        cast.adam.post(f"/v1/adapters/{one}/promote")
    for who in (cast.adam, cast.bob):
        first = who.get("/v1/adapters", {"limit": 2}).json()
        rest = who.get("/v1/adapters", {"limit": 2, "cursor": first["next"]}).json()
        assert [one["id"] for one in first["results"] + rest["results"]] == made[::-1]
    with working(cast.here.id):
        keep_from_workers()
