"""The README's commands, run as printed: what comes out is what it shows."""

from __future__ import annotations

import re
import subprocess
import sys

from ambit.config.runtime.processes import ROOT
from tests.flows.service import Service

_BLOCK = re.compile(r"```(sh|text)\n(.*?)```", re.S)


def test_the_readme_shows_what_its_commands_print(service: Service) -> None:
    text = (ROOT / "README.md").read_text()
    section = text.partition("\n## Ask it something\n")[2].partition("\n## ")[0]
    blocks = _BLOCK.findall(section)
    commands = "".join(block for kind, block in blocks if kind == "sh")
    shown = "".join(block for kind, block in blocks if kind == "text")
    # The only things that are others here than for a reader.
    for printed, here in (
        ("http://127.0.0.1:8000", service.stack.url),
        (".venv/bin/python", sys.executable),
    ):
        assert printed in commands
        commands = commands.replace(printed, here)

    done = subprocess.run(
        ["bash", "-c", commands],
        cwd=ROOT,
        env=service.environment(),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )

    assert done.stderr == ""
    assert done.stdout == shown
