"""When this process is root: the account that Postgres runs as, and its way to its files."""

from __future__ import annotations

import fcntl
import os
import pwd
import stat
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ACCOUNT = "pgserver"
_ACL = "system.posix_acl_access"
_ACL_VERSION = 2
_USER_OBJ, _USER, _GROUP_OBJ, _GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_NO_ID = 0xFFFFFFFF


class AccountMissing(RuntimeError):
    """Root may not run Postgres and no other account could be made; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Account:
    """Whom a process runs as."""

    uid: int
    gid: int


def postgres_account(postgres_dir: Path) -> Account | None:
    """Return whom Postgres must run as, or None when this process need not change its user.

    Raises AccountMissing. Only root changes the user: to the directory's owner, else to `pgserver`.
    """
    if os.geteuid() != 0:
        return None
    if postgres_dir.exists():
        present = postgres_dir.stat()
        if present.st_uid != 0:
            return Account(present.st_uid, present.st_gid)
    entry = _entry() or _create_account()
    return Account(entry.pw_uid, entry.pw_gid)


def _entry() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(ACCOUNT)
    except KeyError:
        return None


def _create_account() -> pwd.struct_passwd:
    command = ["useradd", "--system", "--no-create-home", "--shell", "/bin/false", ACCOUNT]
    try:
        with _one_at_a_time():
            if (made_meanwhile := _entry()) is not None:
                return made_meanwhile
            subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)
            return pwd.getpwnam(ACCOUNT)
    except (OSError, subprocess.CalledProcessError, KeyError) as error:
        raise AccountMissing(
            f"Postgres refuses to run as root, and the account {ACCOUNT!r} could not be made: "
            f"run this as another user, or run `{' '.join(command)}` first"
        ) from error


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Keep others from adding the account: of two useradd at once the later takes the first one's away."""
    folder = os.open("/etc", os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def let_through(path: Path, account: Account) -> None:
    """Let the account pass through, not list, every directory above path, by its own ACL entry."""
    for directory in path.resolve().parents:
        status = directory.stat()
        if status.st_mode & stat.S_IXOTH or status.st_uid == account.uid:
            continue
        if status.st_gid == account.gid and status.st_mode & stat.S_IXGRP:
            continue
        try:
            _grant_search(directory, account.uid)
        except OSError:
            # No ACLs on this file system: others may pass through, and still not list.
            directory.chmod(stat.S_IMODE(status.st_mode) | stat.S_IXOTH)


def _grant_search(directory: Path, uid: int) -> None:
    entries = _acl_entries(directory)
    entries = [entry for entry in entries if (entry[0], entry[2]) != (_USER, uid)]
    entries = [entry for entry in entries if entry[0] != _MASK]
    entries.append((_USER, 1, uid))
    mask = 0
    for tag, allowed, _ in entries:
        if tag in {_USER, _GROUP_OBJ, _GROUP}:
            mask |= allowed
    entries.append((_MASK, mask, _NO_ID))
    entries.sort(key=lambda entry: (entry[0], entry[2]))
    packed = b"".join(struct.pack("<HHI", *entry) for entry in entries)
    os.setxattr(directory, _ACL, struct.pack("<I", _ACL_VERSION) + packed)


def _acl_entries(directory: Path) -> list[tuple[int, int, int]]:
    if _ACL in os.listxattr(directory):
        raw = os.getxattr(directory, _ACL)[4:]
        return [(tag, allowed, who) for tag, allowed, who in struct.iter_unpack("<HHI", raw)]
    mode = directory.stat().st_mode
    return [
        (_USER_OBJ, mode >> 6 & 7, _NO_ID),
        (_GROUP_OBJ, mode >> 3 & 7, _NO_ID),
        (_OTHER, mode & 7, _NO_ID),
    ]


def let_read(folder: Path) -> None:
    """Let everybody read and run what a package installed under a strict umask."""
    for path in [folder, *folder.rglob("*")]:
        if path.is_symlink():
            continue
        mode = stat.S_IMODE(path.stat().st_mode)
        wanted = mode | stat.S_IRGRP | stat.S_IROTH
        if mode & stat.S_IXUSR:
            wanted |= stat.S_IXGRP | stat.S_IXOTH
        if wanted != mode:
            path.chmod(wanted)
