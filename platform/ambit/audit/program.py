"""The verifier as one file that anybody can run: a zipapp (PEP 441) of the modules that stand alone.

The same source gives the same bytes: what a server hands out can be compared with what one's own source makes.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import ambit
from ambit import audit
from ambit.audit import receipts, verifier, verify

NAME = "ambit_verify.pyz"
MODULES = (ambit, audit, verify, receipts, verifier)
_SHEBANG = b"#!/usr/bin/env python3\n"
_START = "import sys\n\nfrom ambit.audit.verifier import main\n\nsys.exit(main())\n"
# The earliest that a ZIP can say: when it was made says nothing.
_NO_TIME = (1980, 1, 1, 0, 0, 0)


def verifier_program() -> bytes:
    """Return the program; its modules keep the paths that they have in the source."""
    made = io.BytesIO()
    made.write(_SHEBANG)
    root = Path(str(ambit.__file__)).parent.parent
    with zipfile.ZipFile(made, "w") as file:
        for module in MODULES:
            path = Path(str(module.__file__))
            _add(file, path.relative_to(root).as_posix(), path.read_text(encoding="utf-8"))
        _add(file, "__main__.py", _START)
    return made.getvalue()


def _add(file: zipfile.ZipFile, name: str, content: str) -> None:
    # Stored, not packed: compressors differ from one version of zlib to the next.
    info = zipfile.ZipInfo(name, _NO_TIME)
    info.external_attr = 0o644 << 16
    info.create_system = 3
    file.writestr(info, content)
