"""The ASGI application that serves embeddings; free of any model library."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from ambit.inference.lanes import Lanes, LanesFull
from ambit.inference.types import Priority

logger = logging.getLogger(__name__)

MAX_TEXTS = 256
MAX_BODY_BYTES = 8 * 1024 * 1024
# A piece is computed at once and holds a thread, so its size bounds what a query may wait. 512 is
# as fast as 1024 and, unlike sentence-transformers' batches of 32 texts, keeps the computation's
# kernels to a few shapes: each new shape costs memory for good (measured: 610 MB against 1070).
PIECE_TOKENS = 512
TOKEN_STEP = 16

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Piece = list[list[int]]
Floats = NDArray[np.float32]


class Encoder(Protocol):
    """What the application needs of a model."""

    dtype: str
    max_tokens: int
    dimensions: int

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Return each text's token ids, cut at the model's maximum."""


class _Refused(Exception):
    """Answer with this status; the sentence NEVER quotes the request."""

    def __init__(self, *, status: int, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.code = code
        self.sentence = sentence


def cut_into_pieces(ids: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Yield indexes of texts of like length, so many that a piece stays under PIECE_TOKENS."""
    order = sorted(range(len(ids)), key=lambda index: -len(ids[index]))
    start = 0
    while start < len(order):
        width = -(-len(ids[order[start]]) // TOKEN_STEP) * TOKEN_STEP
        stop = start + max(1, PIECE_TOKENS // width)
        yield order[start:stop]
        start = stop


@dataclass(frozen=True, slots=True)
class _Asked:
    texts: list[str] = field(repr=False)
    as_base64: bool
    priority: Priority


class App:
    """The ASGI application: POST /v1/embeddings, GET /v1/models, GET /health."""

    def __init__(self, *, encoder: Encoder, model: str, key: str, lanes: Lanes[Piece, Floats]):
        self._encoder = encoder
        self._model = model
        self._key = key
        self._lanes = lanes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; never raises and never logs what was asked."""
        if scope["type"] != "http":
            raise RuntimeError("only HTTP is served here")
        headers = {name.decode("latin-1"): value for name, value in scope["headers"]}
        status, body = 500, _error(code="internal", sentence="The request failed.")
        try:
            status, body = await self._answer(scope=scope, headers=headers, receive=receive)
        except _Refused as refused:
            status = refused.status
            body = _error(code=refused.code, sentence=refused.sentence)
        except ConnectionResetError:
            return
        except Exception as error:  # noqa: BLE001 -- the process's edge; the words may hold content
            logger.error("embed.failed", extra={"error": type(error).__name__})  # noqa: TRY400
        extra = [(b"retry-after", b"1")] if status == 503 else []
        length = (b"content-length", str(len(body)).encode())
        head = [(b"content-type", b"application/json"), length, *extra]
        await send({"type": "http.response.start", "status": status, "headers": head})
        await send({"type": "http.response.body", "body": body})

    async def _answer(
        self, *, scope: Scope, headers: dict[str, bytes], receive: Receive
    ) -> tuple[int, bytes]:
        route = (scope["method"], scope["path"])
        if route == ("GET", "/health"):
            return 200, self._describe({"status": "ok", "model": self._model})
        if scope["path"] not in {"/v1/embeddings", "/v1/models"}:
            raise _Refused(status=404, code="not_found", sentence="There is no such address.")
        self._check_key(headers.get("authorization", b""))
        if route == ("GET", "/v1/models"):
            served = {"id": self._model, "object": "model", "owned_by": "ambit"}
            return 200, self._describe({"object": "list", "data": [served]})
        if route != ("POST", "/v1/embeddings"):
            raise _Refused(status=405, code="method", sentence="This method is not served here.")
        body = await _read_body(receive)
        asked = await asyncio.to_thread(self._understand, body, headers)
        ids = await asyncio.to_thread(self._encoder.tokenize, asked.texts)
        vectors = await self._embed(ids=ids, priority=asked.priority, receive=receive)
        return 200, await asyncio.to_thread(self._write, vectors, asked, sum(map(len, ids)))

    def _describe(self, about: dict[str, Any]) -> bytes:
        sizes = {"dimensions": self._encoder.dimensions, "max_tokens": self._encoder.max_tokens}
        return json.dumps({**about, **sizes, "dtype": self._encoder.dtype}).encode()

    def _check_key(self, given: bytes) -> None:
        if self._key and not hmac.compare_digest(given, f"Bearer {self._key}".encode()):
            raise _Refused(status=401, code="credentials", sentence="The key is missing or wrong.")

    def _understand(self, body: bytes, headers: dict[str, bytes]) -> _Asked:
        try:
            asked = json.loads(body)
        except (ValueError, RecursionError):
            raise _bad("The body is not JSON.") from None
        if not isinstance(asked, dict):
            raise _bad("The body is not a JSON object.")
        if asked.get("model", self._model) != self._model:
            raise _Refused(status=404, code="model", sentence="This model is not served here.")
        if asked.get("dimensions", self._encoder.dimensions) != self._encoder.dimensions:
            raise _bad(f"The model's vectors have {self._encoder.dimensions} dimensions.")
        encoding = asked.get("encoding_format", "float")
        if encoding not in {"float", "base64"}:
            raise _bad("encoding_format is float or base64.")
        priority = headers.get("ambit-priority", b"bulk").decode("latin-1")
        if priority not in {"query", "bulk"}:
            raise _bad("Ambit-Priority is query or bulk.")
        return _Asked(
            texts=_texts(asked.get("input")),
            as_base64=encoding == "base64",
            priority=cast(Priority, priority),
        )

    async def _embed(self, *, ids: list[list[int]], priority: Priority, receive: Receive) -> Floats:
        """Compute on the lanes; raises ConnectionResetError when the asker hangs up first."""
        cut = list(cut_into_pieces(ids))
        pieces = [[ids[index] for index in indexes] for indexes in cut]
        try:
            futures = self._lanes.submit(pieces=pieces, priority=priority)
        except LanesFull:
            raise _Refused(status=503, code="busy", sentence="Too much work waits.") from None
        made = asyncio.gather(*map(asyncio.wrap_future, futures))
        gone = asyncio.ensure_future(_hung_up(receive))
        either: set[asyncio.Future[Any]] = {made, gone}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not made.done():
                raise ConnectionResetError
            results = made.result()
        finally:
            gone.cancel()
            _cancel(futures)
        vectors = np.empty((len(ids), self._encoder.dimensions), dtype=np.float32)
        for indexes, rows in zip(cut, results, strict=True):
            vectors[indexes] = rows
        return vectors

    def _write(self, vectors: Floats, asked: _Asked, n_tokens: int) -> bytes:
        little_endian = vectors.astype("<f4", copy=False)
        rows: list[Any] = (
            [base64.b64encode(row.tobytes()).decode() for row in little_endian]
            if asked.as_base64
            else vectors.tolist()
        )
        data = [
            {"object": "embedding", "index": index, "embedding": row}
            for index, row in enumerate(rows)
        ]
        usage = {"prompt_tokens": n_tokens, "total_tokens": n_tokens}
        answer = {"object": "list", "data": data, "model": self._model, "usage": usage}
        return json.dumps(answer, separators=(",", ":")).encode()


def _cancel(futures: Sequence[Future[Floats]]) -> None:
    for future in futures:
        future.cancel()


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _read_body(receive: Receive) -> bytes:
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionResetError
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            raise _Refused(status=413, code="too_large", sentence="The request is over 8 MiB.")
        more = message.get("more_body", False)
    return bytes(body)


def _texts(given: object) -> list[str]:
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise _bad("input is a string or a list of strings.")
    if not texts or len(texts) > MAX_TEXTS:
        raise _bad(f"input has from 1 to {MAX_TEXTS} texts.")
    if not all(text.strip() for text in texts):
        raise _bad("An input is empty.")
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        raise _bad("An input holds half of a surrogate pair.") from None
    return texts


def _bad(sentence: str) -> _Refused:
    return _Refused(status=400, code="bad_request", sentence=sentence)


def _error(*, code: str, sentence: str) -> bytes:
    return json.dumps({"error": {"message": sentence, "type": code, "code": code}}).encode()
