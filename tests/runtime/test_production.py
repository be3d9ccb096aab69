"""Production mode: a missing or weak setting stops the start with a sentence that names it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runtime.serving import run_serve

STRONG = "x" * 40
COMPLETE = {
    "AMBIT_MODE": "production",
    "AMBIT_SECRET_KEY": STRONG,
    "AMBIT_PEPPER": STRONG,
    "AMBIT_ALLOWED_HOSTS": "ambit.example.org",
    "DATABASE_URL": "postgresql://ambit_app:x@127.0.0.1:1/ambit",
    "AMBIT_OWNER_DATABASE_URL": "postgresql://ambit_owner:x@127.0.0.1:1/ambit",
    "AMBIT_OPERATOR_DATABASE_URL": "postgresql://ambit_operator:x@127.0.0.1:1/ambit",
    "AMBIT_DISPATCH_DATABASE_URL": "postgresql://ambit_dispatch:x@127.0.0.1:1/ambit",
    "AMBIT_SEQUENCER_DATABASE_URL": "postgresql://ambit_sequencer:x@127.0.0.1:1/ambit",
    "AMBIT_SCRUBBER_DATABASE_URL": "postgresql://ambit_scrubber:x@127.0.0.1:1/ambit",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "AMBIT_EMBED_URL": "http://127.0.0.1:1",
    "AMBIT_ORIGINALS_DIR": "/nonexistent/originals",
    "AMBIT_KEYRING_DIR": "/nonexistent/keyring",
    "AMBIT_AUDIT_COPIES_DIR": "/nonexistent/audit",
    "AMBIT_TOMBSTONES_DIR": "/nonexistent/tombstones",
}


def refusal(tmp_path: Path, variables: dict[str, str]) -> str:
    done = run_serve("--port=0", AMBIT_DATA_DIR=str(tmp_path / "data"), **variables)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("ambit: "), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stdout == ""
    return done.stderr


@pytest.mark.parametrize("name", [name for name in COMPLETE if name != "AMBIT_MODE"])
def test_a_missing_setting_is_named(tmp_path: Path, name: str) -> None:
    variables = {key: value for key, value in COMPLETE.items() if key != name}

    sentence = refusal(tmp_path, variables)

    assert f"Set {name}" in sentence


@pytest.mark.parametrize("name", ["AMBIT_SECRET_KEY", "AMBIT_PEPPER"])
def test_a_weak_secret_is_named_and_not_shown(tmp_path: Path, name: str) -> None:
    sentence = refusal(tmp_path, {**COMPLETE, name: "hunter2"})

    assert f"{name} is weak" in sentence
    assert "hunter2" not in sentence


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("AMBIT_MODE", "prod", "AMBIT_MODE must be embedded or production"),
        ("AMBIT_PORT", "web", "AMBIT_PORT must be a whole number"),
        ("AMBIT_VLLM_URL", "http://127.0.0.1:1", "Set AMBIT_VLLM_MODEL"),
        ("AMBIT_VLLM_URL", "http://a:1,b:2", "AMBIT_VLLM_URL must be addresses"),
        ("AMBIT_VLLM_ADMIN_URL", "http://a:1,http://a:1", "AMBIT_VLLM_ADMIN_URL names a server"),
        ("AMBIT_VLLM_TOKENIZER", "/nonexistent/tokenizer.json", "AMBIT_VLLM_TOKENIZER must be"),
        ("AMBIT_VLLM_CONTEXT", "100", "AMBIT_VLLM_CONTEXT must be at least 2048"),
        ("AMBIT_CACHE_SCOPE", "group", "AMBIT_CACHE_SCOPE must be tenant, audiences or member"),
        ("AMBIT_SECRET_KEY_FILE", "/nonexistent/file", "AMBIT_SECRET_KEY_FILE names a file"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(
    tmp_path: Path, name: str, value: str, words: str
) -> None:
    assert words in refusal(tmp_path, {**COMPLETE, name: value})


def test_replacing_one_login_of_the_database_asks_for_the_others(tmp_path: Path) -> None:
    sentence = refusal(tmp_path, {"DATABASE_URL": COMPLETE["DATABASE_URL"]})

    assert "AMBIT_OWNER_DATABASE_URL" in sentence
