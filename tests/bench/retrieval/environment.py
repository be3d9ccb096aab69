"""Make .venv-bench, where the peers live: `python -m tests.bench.retrieval.environment`.

They bring servers, telemetry and pins of their own, so they stay out of the platform's environment;
pyproject.toml names them in the group "bench". A second run only reads a stamp.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
GROUP = "bench"


class EnvironmentFailed(RuntimeError):
    """A step of making the environment failed; the text names the step and its exit status."""


def venv_dir() -> Path:
    """Return the environment's folder: AMBIT_BENCH_VENV, or .venv-bench in the repository."""
    return ROOT / (os.environ.get("AMBIT_BENCH_VENV") or ".venv-bench")


def python() -> Path:
    """Return the environment's interpreter, whether or not it exists yet."""
    return venv_dir() / "bin" / "python"


def requirements() -> list[str]:
    """Return what the group asks for."""
    found: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"][
        GROUP
    ]
    return found


def make() -> None:
    """Install what is missing; raise EnvironmentFailed where a step fails."""
    lock_file = venv_dir().with_name(venv_dir().name + ".lock")
    with lock_file.open("w") as lock:
        # Two benchmarks do not install into it at once.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _is_ready():
            return
        _run("creating the environment", sys.executable, "-m", "venv", "--clear", str(venv_dir()))
        pip = (str(python()), "-m", "pip", "--disable-pip-version-check", "--quiet")
        _run("installing the peers (minutes)", *pip, "install", *requirements())
        _stamp().write_text(_wanted())


def _is_ready() -> bool:
    return python().exists() and _stamp().exists() and _stamp().read_text() == _wanted()


def _stamp() -> Path:
    # Inside the environment: `venv --clear` removes it before anything is installed.
    return venv_dir() / "ambit-packages.txt"


def _wanted() -> str:
    version = ".".join(str(part) for part in sys.version_info[:2])
    return "\n".join([f"python {version}", *requirements()])


def _run(step: str, *command: str) -> None:
    print(f"{venv_dir().name}: {step}", flush=True)
    status = subprocess.run(command, check=False).returncode
    if status != 0:
        raise EnvironmentFailed(f"{step} ended with exit status {status}")


if __name__ == "__main__":
    try:
        make()
    except EnvironmentFailed as failed:
        sys.exit(f"{venv_dir().name}: {failed}")
