"""Keep adapters' weights where model servers can read them: open, a folder for each under its served name.

Weights are learnt from documents and are personal data as these are. In the place of an erased adapter's folder
stays an empty file: a late writer finds no folder there and cannot make one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from uuid import UUID

from django.conf import settings

from ambit.files.holdings import bury
from tenants.holding import HoldingFailed

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
# Says whose a folder is, for who looks through the folders and not through the tables.
OWNER = "ambit.json"


class AdaptersOff(RuntimeError):
    """This installation has no folder for adapters, or serves no model they could be for."""


def require_store() -> None:
    """Raise AdaptersOff where no adapter can be taken."""
    if not settings.AMBIT_ADAPTERS_DIR or not settings.AMBIT_LORA_BASE:
        raise AdaptersOff


def write_adapter(
    *, served_name: str, tenant_id: UUID, config: bytes, weights: Iterable[bytes]
) -> None:
    """Write an adapter's files durably; raise OSError, where it was erased meanwhile too."""
    root = _root()
    folder = root / served_name
    # The group is the operator's to choose: that of the model server, by the root's setgid bit.
    folder.mkdir(mode=0o750)
    for name, chunks in (
        (OWNER, [json.dumps({"tenant": str(tenant_id)}).encode()]),
        (CONFIG, [config]),
        (WEIGHTS, weights),
    ):
        _write(folder / name, chunks)
    # Whatever the umask. Only now: it takes the setgid bit, by which the files got their group.
    folder.chmod(0o750)
    _sync(folder)
    _sync(root)


def remove_adapter(served_name: str) -> None:
    """Put an empty file where an adapter's folder was; raise HoldingFailed where the store is not there."""
    try:
        root = _root()
        bury(root / served_name)
        _sync(root)
    except OSError as error:
        raise HoldingFailed("adapters") from error


def has_files(served_name: str) -> bool:
    """Say whether an adapter's files are there."""
    folder = Path(settings.AMBIT_ADAPTERS_DIR) / served_name
    return (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file()


def served_path(served_name: str) -> str:
    """Return an adapter's folder as model servers see it."""
    return f"{settings.AMBIT_VLLM_ADAPTERS_DIR.rstrip('/')}/{served_name}"


def _root() -> Path:
    """Return the store's folder: below the data directory it is made; elsewhere it must be there.

    One that is missing elsewhere is not mounted: FileNotFoundError.
    """
    if not settings.AMBIT_ADAPTERS_DIR:
        raise FileNotFoundError
    root = Path(settings.AMBIT_ADAPTERS_DIR)
    if Path(settings.AMBIT_DATA_DIR) in root.parents:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not root.is_dir():
        raise FileNotFoundError
    return root


def _write(path: Path, chunks: Iterable[bytes]) -> None:
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o640)
    with os.fdopen(handle, "wb") as file:
        os.fchmod(handle, 0o640)
        for chunk in chunks:
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
