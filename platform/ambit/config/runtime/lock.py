"""One supervisor per data directory: an exclusive lock that a killed holder cannot leave behind."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO


class DataDirBusy(RuntimeError):
    """Another supervisor holds the data directory; the text names it."""

    def __init__(self, data_dir: Path, holder: str) -> None:
        """Keep the sentence for people."""
        super().__init__(
            f"Ambit already runs on {data_dir} ({holder or 'starting up'}). Nothing was changed."
        )


class DataDirLock:
    """The lock file of a data directory, with the holder's process id and address in it."""

    def __init__(self, data_dir: Path) -> None:
        """Remember the place; nothing is opened yet."""
        self._data_dir = data_dir
        self._file: IO[str] | None = None

    def acquire(self, *, address: str) -> None:
        """Take the lock or raise DataDirBusy; the kernel frees it however this process ends."""
        self._data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Not inherited by the parts: Python opens files close-on-exec.
        descriptor = os.open(self._data_dir / "supervisor.lock", os.O_RDWR | os.O_CREAT, 0o600)
        file = os.fdopen(descriptor, "r+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = file.read().strip()
            file.close()
            raise DataDirBusy(self._data_dir, holder) from None
        file.truncate(0)
        file.write(f"process {os.getpid()}, {address}\n")
        file.flush()
        self._file = file

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._file is not None

    def release(self) -> None:
        """Empty and free the lock; free already is no error."""
        if self._file is not None:
            self._file.truncate(0)
            self._file.close()
            self._file = None
