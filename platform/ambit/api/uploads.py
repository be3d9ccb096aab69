"""Take in bodies: none too large, none on disk under a name."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import IO, Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler

from ambit.api.problem import as_openai_error
from tenants.ids import uuid7

MIB = 1 << 20
# Room for the other fields and the boundaries of a multipart body around the largest file.
ENVELOPE_BYTES = MIB
SPOOLED_BYTES = MIB
# What is asked, with all that comes with it. A chat's 160,000 characters are .9 MiB where each is escaped (\uXXXX),
# and a schema, filters and the rest below .1. While json.loads reads one of 1 MiB, no stream goes on for 50 ms.
MAX_QUESTION_BYTES = MIB
CHAT = "/v1/chat/completions"
QUESTIONS = frozenset({"/v1/answers", "/v1/search", CHAT})
READ_BYTES = 1 << 18
# A caller that is still sending reads the refusal only when its bytes are taken off the wire.
LINGER_S = 10.0
TOO_LARGE_CODE = "body_too_large"
TOO_LARGE_TITLE = "The body is too large"
TOO_LARGE_DETAIL = (
    "Send at most {error.limit_mib} MiB: split the document, or ask the operator to raise"
    " AMBIT_MAX_UPLOAD_MB. Nothing was stored."
)
QUESTION_TOO_LARGE_DETAIL = (
    "Send at most {error.limit_mib} MiB with a question: fewer or shorter messages, a smaller schema or fewer"
    " filters. Nothing was asked."
)

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class BodyTooLarge(ValueError):
    """A body or a file is larger than this installation takes; carries the limit in MiB."""

    detail = TOO_LARGE_DETAIL

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"more than {limit_bytes} bytes")
        self.limit_bytes = limit_bytes
        self.limit_mib = max(1, limit_bytes // MIB)


class QuestionTooLarge(BodyTooLarge):
    """A question's body is larger than any that can be meant."""

    detail = QUESTION_TOO_LARGE_DETAIL


class AnonymousTemporaryFileUploadHandler(FileUploadHandler):
    """Streams uploads into files without a name, so that no plaintext outlives the process."""

    _file: IO[bytes] | None = None

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        """Begin a file."""
        super().new_file(*args, **kwargs)
        self._file = tempfile.TemporaryFile(  # noqa: SIM115 - closed with the request
            dir=settings.FILE_UPLOAD_TEMP_DIR
        )

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        """Write some of it; raise BodyTooLarge."""
        limit = max_file_bytes()
        if start + len(raw_data) > limit:
            self.upload_interrupted()
            raise BodyTooLarge(limit)
        if self._file is not None:
            self._file.write(raw_data)

    def file_complete(self, file_size: int) -> UploadedFile[bytes] | None:
        """Return the whole file, to be read from its start."""
        if self._file is None:
            return None
        self._file.seek(0)
        return UploadedFile(
            file=self._file,
            name=self.file_name,
            content_type=self.content_type,
            size=file_size,
            charset=self.charset,
            content_type_extra=self.content_type_extra,
        )

    def upload_interrupted(self) -> None:
        """Let the half file go."""
        if self._file is not None:
            self._file.close()


def max_file_bytes() -> int:
    """Return the size of the largest file that is taken."""
    return int(settings.AMBIT_MAX_UPLOAD_MB) * MIB


def pieces(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield a stream piece by piece; raise BodyTooLarge."""
    limit = max_file_bytes()
    size = 0
    while piece := stream.read(READ_BYTES):
        size += len(piece)
        if size > limit:
            raise BodyTooLarge(limit)
        yield piece


def limit_body(app: App, *, max_bytes: int | None = None) -> App:
    """Wrap an ASGI application so that a body over the limit is answered 413 before it is stored.

    A body that declares its length is refused by that; one sent in chunks is counted on its way
    into a nameless file, and handed on with its length, which Django needs to read it at all.
    max_bytes: of what is no question.
    """
    most = max_bytes if max_bytes is not None else max_file_bytes() + ENVELOPE_BYTES

    async def limited(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        is_question = scope["path"] in QUESTIONS
        error = QuestionTooLarge(MAX_QUESTION_BYTES) if is_question else BodyTooLarge(most)
        headers = {name.lower(): value for name, value in scope["headers"]}
        declared = headers.get(b"content-length")
        if declared is not None:
            if not declared.isdigit() or int(declared) > error.limit_bytes:
                await _refuse(scope, receive, send, error)
                return
            await app(scope, receive, send)
        elif b"transfer-encoding" in headers:
            await _count_and_pass(app, scope, receive, send, error)
        else:
            await app(scope, receive, send)

    return limited


async def _count_and_pass(
    app: App, scope: Scope, receive: Receive, send: Send, error: BodyTooLarge
) -> None:
    with tempfile.SpooledTemporaryFile(max_size=SPOOLED_BYTES) as body:
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            size += len(message.get("body", b""))
            if size > error.limit_bytes:
                await _refuse(scope, receive, send, error)
                return
            body.write(message.get("body", b""))
            if not message.get("more_body", False):
                break
        body.seek(0)
        headers = [(n, v) for n, v in scope["headers"] if n.lower() != b"transfer-encoding"]
        headers.append((b"content-length", str(size).encode()))
        left = size

        async def replay() -> Message:
            nonlocal left
            if left < 0:
                return await receive()
            piece = body.read(READ_BYTES)
            left -= len(piece)
            more = left > 0
            if not more:
                left = -1
            return {"type": "http.request", "body": piece, "more_body": more}

        await app({**scope, "headers": headers}, replay, send)


async def _refuse(scope: Scope, receive: Receive, send: Send, error: BodyTooLarge) -> None:
    """Answer 413, then take the rest off the wire for a while."""
    request_id = str(uuid7())
    problem: dict[str, Any] = {
        "type": f"/docs/problems#{TOO_LARGE_CODE}",
        "title": TOO_LARGE_TITLE,
        "status": 413,
        "detail": error.detail.format(error=error),
        "code": TOO_LARGE_CODE,
        "request_id": request_id,
        "errors": [],
    }
    if scope["path"] == CHAT:
        problem["error"] = as_openai_error(problem)
    body = json.dumps(problem).encode()
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        (b"x-request-id", request_id.encode()),
    ]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    until = time.monotonic() + LINGER_S
    while time.monotonic() < until:
        message = await receive()
        if message["type"] != "http.request" or not message.get("more_body", False):
            break
    await send({"type": "http.response.body", "body": b"", "more_body": False})
