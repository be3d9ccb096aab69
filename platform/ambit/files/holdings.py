"""What the file store holds: originals and extracted texts, sealed.

In the place of an erased document's folder stays an empty file of the same name. A worker that is
late finds no folder there and cannot make one, so that no file of the document can come back.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from uuid import UUID

from django.conf import settings

from ambit.files.store import folder_of, list_files
from tenants.holding import Holding, HoldingFailed, Scope

NAME = "originals"
_ID = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)
_TRIES = 10


def _find(scope: Scope) -> int:
    return sum(
        len(list_files(tenant_id=scope.tenant_id, document_id=document_id))
        + _n_files(_grave(_folder(scope, document_id)))
        for document_id in scope.document_ids
    )


def _destroy(scope: Scope) -> None:
    _require_store(scope)
    try:
        for document_id in scope.document_ids:
            bury(_folder(scope, document_id))
        for tenant in {_folder(scope, document_id).parent for document_id in scope.document_ids}:
            _sync(tenant)
    except OSError as error:
        raise HoldingFailed(NAME) from error


def _require_store(scope: Scope) -> None:
    """Raise HoldingFailed where the tenant's folder is missing: nothing there is no proof of nothing.

    A tenant with documents has one, unless the store is not mounted or the setting points elsewhere.
    """
    if scope.document_ids and not _folder(scope, scope.document_ids[0]).parent.is_dir():
        raise HoldingFailed(NAME)


def bury(folder: Path) -> None:
    """Put an empty file where a folder was, then remove what was in it; raise HoldingFailed.

    Whoever is late finds no folder there and cannot make one.
    """
    grave = _grave(folder)
    for _ in range(_TRIES):
        if grave.is_dir():
            shutil.rmtree(grave)
        if folder.is_dir():
            folder.rename(grave)
        try:
            os.close(os.open(folder, os.O_CREAT | os.O_WRONLY, 0o600))
        except IsADirectoryError:
            # A late writer made the folder anew in between.
            continue
        break
    else:
        raise HoldingFailed(NAME)
    if grave.is_dir():
        shutil.rmtree(grave)


def count_tenants_files(tenant_id: UUID) -> int:
    """Count all files of a tenant, of documents and archives; tombstones hold nothing and do not count."""
    folder = Path(settings.AMBIT_ORIGINALS_DIR) / str(tenant_id)
    return sum(_n_full(place) for place in (folder, _grave(folder)))


def bury_tenant(tenant_id: UUID, *, had_files: bool) -> None:
    """Put an empty file where a tenant's folder was, then remove what was in it; raise HoldingFailed.

    had_files: whether it must have had a folder; a missing one is then no proof of nothing.
    """
    folder = Path(settings.AMBIT_ORIGINALS_DIR) / str(tenant_id)
    if had_files and not (folder.exists() or _grave(folder).exists()):
        raise HoldingFailed(NAME)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        bury(folder)
        _sync(folder.parent)
    except OSError as error:
        raise HoldingFailed(NAME) from error


def count_tenants_files_left(tenant_id: UUID) -> int:
    """Count files with anything in them under names that spell a tenant's id, listed from the root.

    Raises HoldingFailed.
    """
    try:
        found = _entries(Path(settings.AMBIT_ORIGINALS_DIR))
        if str(tenant_id) not in {entry.name for entry in found}:
            # What bars the place stands in it: without that this is not the store that was emptied.
            raise HoldingFailed(NAME)
        return sum(_n_files(Path(e.path)) for e in found if tenant_id.hex in _ids(e.name))
    except OSError as error:
        raise HoldingFailed(NAME) from error


def _n_full(folder: Path) -> int:
    return sum(
        os.stat(os.path.join(place, name)).st_size > 0
        for place, _, names in os.walk(folder)
        for name in names
    )


def _remains(scope: Scope) -> int:
    """Count files under names that hold a covered id, in any tenant's folder, listed from the root."""
    if not scope.document_ids:
        return 0
    wanted = {one.hex for one in (*scope.document_ids, *scope.version_ids)}
    try:
        tenants = _entries(Path(settings.AMBIT_ORIGINALS_DIR))
        if str(scope.tenant_id) not in {tenant.name for tenant in tenants}:
            raise HoldingFailed(NAME)
        return sum(_n_files(path) for path in _named(tenants, wanted))
    except OSError as error:
        raise HoldingFailed(NAME) from error


def _named(tenants: Iterable[os.DirEntry[str]], wanted: set[str]) -> Iterator[Path]:
    for tenant in tenants:
        if _ids(tenant.name) & wanted:
            yield Path(tenant.path)
        elif tenant.is_dir(follow_symlinks=False):
            for entry in _entries(Path(tenant.path)):
                if _ids(entry.name) & wanted:
                    yield Path(entry.path)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return list(entries)


def _ids(name: str) -> set[str]:
    return {text.replace("-", "").lower() for text in _ID.findall(name)}


def _n_files(path: Path) -> int:
    """Count the files at and below a path; an empty file is a tombstone and holds nothing."""
    if not path.is_dir():
        return int(path.exists() and path.stat().st_size > 0)
    return sum(len(names) for _, _, names in os.walk(path))


def _folder(scope: Scope, document_id: UUID) -> Path:
    return folder_of(tenant_id=scope.tenant_id, document_id=document_id)


def _grave(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.gone")


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


ORIGINALS = Holding(
    name=NAME,
    title="Original files and extracted texts, half-written ones included",
    found_by="the document's folder",
    destroyed_by="deletion of the files; an empty file stands in the folder's place",
    verified_by="a listing of the file store from its root, for names that hold a document's id",
    find=_find,
    destroy=_destroy,
    remains=_remains,
)
