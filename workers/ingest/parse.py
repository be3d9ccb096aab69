"""Step 1 of 4. Bytes of any kind in, text with its structure out, read by a locked-in process of its own. Pure."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from workers.ingest.parsers import wire
from workers.ingest.parsers.failures import (
    CorruptFile,
    EmptyFile,
    EncryptedFile,
    NoText,
    ParseFailure,
    ParserCrashed,
    ParserTimedOut,
    ParserUnconfined,
    TooLarge,
    UnsupportedType,
    WrongEncoding,
)
from workers.ingest.parsers.limits import Limits
from workers.ingest.types import ParsedText

__all__ = [
    "CorruptFile",
    "EmptyFile",
    "EncryptedFile",
    "Limits",
    "NoText",
    "ParseFailure",
    "ParserCrashed",
    "ParserTimedOut",
    "ParserUnconfined",
    "TooLarge",
    "UnsupportedType",
    "WrongEncoding",
    "confinement",
    "parse",
]

_ROOT = Path(__file__).resolve().parents[2]
_BOOT = "import sys; sys.path.append(sys.argv[1]); from workers.ingest.parsers.child import main; main()"
_HEARTBEAT_SECONDS = 2.0
_START_UP_GRACE_SECONDS = 5.0


def parse(
    *,
    path_or_bytes: Path | bytes,
    file_name: str,
    declared_mime: str | None,
    limits: Limits,
    on_wait: Callable[[], None],
) -> ParsedText:
    """Read one document in its own process; raise a ParseFailure that says why it cannot be read.

    NEVER opens the content in this process, writes it to a named file, or outlives its limits;
    calls `on_wait` every two seconds, and an exception from it stops the parser and is passed on.
    """
    # Of the name only the ending crosses over: a file name is content too.
    job = {
        "suffix": Path(file_name).suffix[1:21].lower(),
        "declared_mime": (declared_mime or "")[:200],
        "limits": asdict(limits),
    }
    reply, status, stopped = _run(path_or_bytes, job, limits, on_wait)
    if stopped:
        raise ParserTimedOut(int(limits.wall_seconds))
    if not reply:
        if status == -signal.SIGXCPU:
            raise ParserTimedOut(limits.cpu_seconds)
        raise ParserCrashed(_name_of_signal(status))
    try:
        result = wire.decode(reply, limits=limits)
    except wire.Malformed:
        raise ParserCrashed("malformed_reply") from None
    if isinstance(result, ParseFailure):
        raise result
    return result


def confinement(*, limits: Limits) -> frozenset[str]:
    """Say which walls this machine puts round a parser process, for checks and operators."""
    job = {"probe": True, "limits": asdict(limits)}
    reply, status, _ = _run(b"probe", job, limits, lambda: None)
    if reply.startswith(wire.MAGIC) or not reply:
        return frozenset()
    return frozenset(json.loads(reply)) if status == 0 else frozenset()


def _run(
    content: Path | bytes, job: dict[str, Any], limits: Limits, on_wait: Callable[[], None]
) -> tuple[bytes, int, bool]:
    with _private_folder() as folder, _descriptor(content) as fd:
        process = subprocess.Popen(
            [sys.executable, "-I", "-c", _BOOT, str(_ROOT), str(os.getpid()), str(fd)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env=_clean_environment(folder),
            pass_fds=(fd,),
            start_new_session=True,
        )
        with _always_ended(process):
            deadline = time.monotonic() + limits.wall_seconds
            assert process.stdin is not None  # noqa: S101  # narrows a pipe asked for above
            with contextlib.suppress(BrokenPipeError), process.stdin as stdin:
                stdin.write(json.dumps(job).encode())
            reply, stopped = _collect(process, deadline, limits, on_wait)
        return reply, process.returncode, stopped


def _collect(
    process: subprocess.Popen[bytes],
    deadline: float,
    limits: Limits,
    on_wait: Callable[[], None],
) -> tuple[bytes, bool]:
    """Read the reply to its end, or until the deadline; the second value says it was stopped."""
    assert process.stdout is not None  # noqa: S101  # narrows a pipe asked for above
    most = wire.max_reply_bytes(limits)
    reply = bytearray()
    next_beat = time.monotonic() + _HEARTBEAT_SECONDS
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            now = time.monotonic()
            if now >= deadline:
                return b"", True
            if now >= next_beat:
                on_wait()
                next_beat = time.monotonic() + _HEARTBEAT_SECONDS
            if not selector.select(min(next_beat, deadline) - now if next_beat > now else 0):
                continue
            piece = os.read(process.stdout.fileno(), 1 << 20)
            if not piece:
                break
            reply += piece
            if len(reply) > most:
                return b"", False
    # Its reply is closed; a process that lingers has nothing more to say.
    until = min(deadline, time.monotonic() + _START_UP_GRACE_SECONDS)
    with contextlib.suppress(subprocess.TimeoutExpired):
        _wait_without_reaping(process, until)
    return bytes(reply), False


def _wait_without_reaping(process: subprocess.Popen[bytes], until: float) -> None:
    """Wait for the end but leave the zombie: it keeps the process group's number from being reused."""
    flags = os.WEXITED | os.WNOWAIT | os.WNOHANG
    pause = 0.001
    while os.waitid(os.P_PID, process.pid, flags) is None and time.monotonic() < until:
        time.sleep(pause)
        pause = min(pause * 2, 0.05)


@contextlib.contextmanager
def _always_ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


@contextlib.contextmanager
def _private_folder() -> Iterator[str]:
    folder = tempfile.mkdtemp(prefix="ambit-parse-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _descriptor(content: Path | bytes) -> Iterator[int]:
    """Give the content as an open descriptor that no name leads to."""
    if isinstance(content, Path):
        fd = os.open(content, os.O_RDONLY | os.O_CLOEXEC)
    else:
        fd = os.memfd_create("document", os.MFD_CLOEXEC)
    try:
        if isinstance(content, bytes):
            view = memoryview(content)
            while view:
                view = view[os.write(fd, view) :]
        yield fd
    finally:
        os.close(fd)


def _clean_environment(folder: str) -> dict[str, str]:
    """Start from nothing: no credential of the worker's reaches a parser."""
    return {
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": folder,
        "TMPDIR": folder,
        # ONNX Runtime, inside one of the parsers, sends telemetry unless told not to.
        "ORT_DISABLE_TELEMETRY": "1",
        "MALLOC_ARENA_MAX": "2",
        "RAYON_NUM_THREADS": "1",
        "TOKIO_WORKER_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }


def _name_of_signal(status: int) -> str:
    if status >= 0:
        return f"exit_{status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal_{-status}"
