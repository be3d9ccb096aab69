"""What differs under test: a data directory of its own, made before the settings are read."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

# A pytest plugin reads the settings before any conftest.py: they must find their place already set.
_FOREIGN = ("DATABASE_URL", "REDIS_URL")
# Where the vLLM tests find their server, and whether they may skip without one.
_KEPT = ("AMBIT_VLLM_REQUIRED", "AMBIT_VLLM_VENV")
_ours = [n for n in os.environ if n.startswith("AMBIT_") and n not in _KEPT]
for _name in [*_ours, *(n for n in _FOREIGN if n in os.environ)]:
    del os.environ[_name]
os.environ["AMBIT_DATA_DIR"] = os.environ["AMBIT_TEST_DATA_DIR"] = str(
    Path(tempfile.mkdtemp(prefix="ambit-test-")).resolve()
)
# No server serves it, but adapters may say that they were trained for it.
os.environ["AMBIT_LORA_BASE"] = "base-model"
(Path(os.environ["AMBIT_DATA_DIR"]) / "static").mkdir()
atexit.register(shutil.rmtree, os.environ["AMBIT_DATA_DIR"], ignore_errors=True)

from ambit.config.settings import *  # noqa: E402, F403 - with the place set above
