"""The demonstration with a model that writes: the same story, held to what the model was given."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ambit.config.runtime.processes import ROOT
from tests.vllm import environment
from tests.vllm.server import VllmServer


@pytest.mark.timeout(600)
def test_the_demonstration_tells_the_same_story_with_a_model(vllm_server: VllmServer) -> None:
    written = _play(
        AMBIT_VLLM_URL=vllm_server.url,
        AMBIT_VLLM_KEY=vllm_server.key,
        AMBIT_VLLM_MODEL=vllm_server.model,
        AMBIT_VLLM_TOKENIZER=str(environment.model_dir() / "tokenizer.json"),
    )

    assert written.returncode == 0, written.stdout[-6000:]
    assert "given to the model" in written.stdout
    assert " 0 failed" in written.stdout.strip().splitlines()[-1]


def _play(**variables: str) -> subprocess.CompletedProcess[str]:
    # Of this process' settings none: they are of the tests.
    ours = ("AMBIT_", "DJANGO_")
    inherited = {n: value for n, value in os.environ.items() if not n.startswith(ours)}
    return subprocess.run(
        [sys.executable, "-m", "ambit.config.demo"],
        cwd=ROOT,
        env=inherited | variables | {"NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=550,
        check=False,
    )
