"""The parser process: lock in, read the job and the bytes, answer once, leave."""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import BinaryIO

from workers.ingest.parsers import confine, wire
from workers.ingest.parsers.failures import (
    EmptyFile,
    ParseFailure,
    ParserCrashed,
    ParserUnconfined,
    TooLarge,
)
from workers.ingest.parsers.limits import Limits
from workers.ingest.types import ParsedText

SOURCE_ROOT = Path(__file__).resolve().parents[3]


def main() -> None:
    """Run one job: argv holds two numbers (the parent's pid, the content's descriptor), stdin the rest."""
    parent_pid, content_fd = int(sys.argv[2]), int(sys.argv[3])
    confine.die_with_parent(parent_pid)
    job = json.load(sys.stdin)
    limits = Limits(**job["limits"])
    replies = os.fdopen(os.dup(1), "wb")
    held = lock_in(limits)
    if not held & {"network-namespace", "system-calls"} and not limits.allow_unconfined:
        _reply(replies, ParserUnconfined())
    # Whatever a library prints goes nowhere: it may be content.
    os.dup2(2, 1)
    if job.get("probe"):
        _reply_raw(replies, json.dumps(sorted(held)).encode())
    try:
        result = _read(content_fd, job["suffix"], job["declared_mime"], limits)
    except ParseFailure as failure:
        _reply(replies, failure)
    except MemoryError:
        _reply(replies, TooLarge("memory", limits.memory_bytes))
    except BaseException as error:  # noqa: BLE001  # the process's outermost edge
        _reply(replies, ParserCrashed(_place(error)))
    else:
        _reply(replies, result)


def lock_in(limits: Limits) -> frozenset[str]:
    """Give up everything a parser does not need; say which walls hold."""
    confine.bound_cost(limits)
    return confine.confine(readable=confine.interpreter_paths(SOURCE_ROOT))


def _read(fd: int, suffix: str, declared_mime: str, limits: Limits) -> ParsedText:
    from workers.ingest.parsers.route import read_document

    size = os.fstat(fd).st_size
    if size == 0:
        raise EmptyFile("file")
    if size > limits.max_bytes:
        raise TooLarge("bytes", limits.max_bytes)
    with os.fdopen(fd, "rb", closefd=False) as file:
        file.seek(0)
        data = file.read()
    return read_document(data, suffix=suffix, declared_mime=declared_mime, limits=limits)


def _place(error: BaseException) -> str:
    """Name the exception and the line of ours it came through; its message may be content."""
    lines = [
        f"{Path(frame.filename).stem}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if "parsers" in Path(frame.filename).parts
    ]
    return f"{type(error).__name__}.{lines[-1]}" if lines else type(error).__name__


def _reply(replies: BinaryIO, result: ParsedText | ParseFailure) -> None:
    _reply_raw(replies, wire.encode(result))


def _reply_raw(replies: BinaryIO, reply: bytes) -> None:
    replies.write(reply)
    replies.flush()
    # Skips interpreter shutdown and native destructors, which have crashed after good results.
    os._exit(0)
