"""What each leg finds alone, and fused, beside BM25: `python -m tests.bench.quality`.

The texts of ../shared/data go the product's own way without HTTP: cut, embedded by the service, stored,
and asked for under a member's clearance. `medical_qa`: answers, asked by their questions.
`multilingual`: the same passages in twelve languages in one tenant, each question in the passage's own;
another language's version of the passage is a miss. BM25 is bm25s (https://bm25s.github.io) in
`.venv-bench`, with the stemmer and stop words of a language it is told; scripts without spaces as pairs.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np

from tests.bench.retrieval import environment
from tests.bench.service import DATA, ROOT

K = 10
MODES = ("vector", "text", "hybrid")
SEED = 5


@dataclass(frozen=True)
class Asked:
    """A question and the only document that is right."""

    question: str
    language: str
    wanted: str


@dataclass(frozen=True)
class Corpus:
    """Documents as (id, language, text), and what is asked of them."""

    documents: list[tuple[str, str, str]]
    asked: list[Asked]


def main() -> None:
    """Print hit@10 and MRR of every leg, by language where there are several."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="?", choices=tuple(_CORPORA), default="medical_qa")
    parser.add_argument("--documents", type=int, default=100_000, help="at most; a sample")
    parser.add_argument("--questions", type=int, default=1000, help="at most; a sample")
    parser.add_argument("--vectors", type=Path, help="an .npz that keeps vectors between runs")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        measure(_CORPORA[options.data](options.documents, options.questions), options.vectors)
        return
    with _postgres_and_embeddings() as folder:
        variables = {"AMBIT_DATA_DIR": str(folder), "AMBIT_LOG_LEVEL": "WARNING"}
        variables["DJANGO_SETTINGS_MODULE"] = "ambit.config.settings"
        subprocess.run(
            [sys.executable, "-m", "tests.bench.quality", *sys.argv[1:], "--inside"],
            cwd=ROOT,
            env=os.environ | variables,
            check=True,
        )


def _medical(n_documents: int, n_questions: int) -> Corpus:
    rows = _rows("medical_qa/qa.jsonl.gz")
    rows = random.Random(SEED).sample(rows, min(n_documents, len(rows)))
    asked = [Asked(row["question"], "en", row["id"]) for row in rows]
    asked = random.Random(SEED).sample(asked, min(n_questions, len(asked)))
    return Corpus([(row["id"], "en", row["answer"]) for row in rows], asked)


def _multilingual(n_documents: int, n_questions: int) -> Corpus:
    """Take the same questions in every language."""
    rows = _rows("multilingual/passages.jsonl.gz")[:n_documents]
    n_languages = len({row["lang"] for row in rows})
    numbers = sorted({q["id"] for row in rows for q in row["questions"]})
    most = min(len(numbers), n_questions // n_languages)
    chosen = set(random.Random(SEED).sample(numbers, most))
    asked = [
        Asked(q["q"], row["lang"], row["id"])
        for row in rows
        for q in row["questions"]
        if q["id"] in chosen
    ]
    return Corpus([(row["id"], row["lang"], row["text"]) for row in rows], asked)


_CORPORA = {"medical_qa": _medical, "multilingual": _multilingual}


def _rows(name: str) -> list[dict[str, Any]]:
    with gzip.open(DATA / name, "rt") as file:
        return [json.loads(line) for line in file]


@contextmanager
def _postgres_and_embeddings() -> Iterator[Path]:
    from ambit.config.embedded import Embedded
    from ambit.config.runtime.supervisor import Stack

    parts = {"postgres", "redis", "embed"}
    with (
        tempfile.TemporaryDirectory(prefix="ambit-bench-") as folder,
        Stack(Embedded(Path(folder)), port=1, parts=parts),
    ):
        yield Path(folder)


def measure(corpus: Corpus, kept: Path | None) -> None:
    """Store everything, ask everything, print one table."""
    import django

    django.setup()

    from django.core.management import call_command

    call_command("migrate", database="owner", interactive=False, verbosity=0)
    started = time.monotonic()
    library = Library(corpus, Vectors(kept))
    print(
        f"{len(corpus.documents)} documents, {len(library.texts)} passages, {len(corpus.asked)} questions;"
        f" stored in {time.monotonic() - started:.0f} s"
    )
    ranks = {mode: library.ranks(mode) for mode in MODES}
    ranks["BM25"] = bm25_ranks(corpus, library)
    report(corpus, ranks)


def report(corpus: Corpus, ranks: dict[str, list[int | None]]) -> None:
    """Print hit@10 and MRR of each leg, in all and by language."""
    languages = sorted({a.language for a in corpus.asked})
    groups = {"all": list(range(len(corpus.asked)))}
    if len(languages) > 1:
        for language in languages:
            groups[language] = [i for i, a in enumerate(corpus.asked) if a.language == language]
    print("| asked in | questions | " + " | ".join(ranks) + " |")
    print("| --- " * (len(ranks) + 2) + "|")
    for name, numbers in groups.items():
        cells = [_scores([found[i] for i in numbers]) for found in ranks.values()]
        print(f"| {name} | {len(numbers)} | " + " | ".join(cells) + " |")


def _scores(ranks: Sequence[int | None]) -> str:
    hits = statistics.mean(rank is not None for rank in ranks)
    reciprocal = statistics.mean(1 / rank if rank else 0 for rank in ranks)
    return f"{hits:.3f} / {reciprocal:.3f}".replace("0.", ".")


class Vectors:
    """Vectors of texts from the embedding service, kept in a file between runs where one is named."""

    def __init__(self, file: Path | None) -> None:
        self.file = file
        self.known: dict[str, Any] = {}
        if file and file.exists():
            with np.load(file) as kept:
                self.known = dict(zip(kept["keys"].tolist(), kept["vectors"], strict=True))

    def of(self, texts: list[str]) -> Any:
        """Return the texts' vectors, one row each."""
        from ambit.inference.embedding import embed_passages

        keys = [sha256(text.encode()).hexdigest() for text in texts]
        missing = {k: t for k, t in zip(keys, texts, strict=True) if k not in self.known}
        if missing:
            made = embed_passages(list(missing.values()))
            self.known.update(zip(missing, np.asarray(made, dtype=np.float32), strict=True))
            if self.file:
                np.savez(self.file, keys=list(self.known), vectors=np.stack([*self.known.values()]))
        return np.stack([self.known[key] for key in keys])


class Library:
    """A tenant with the documents stored, and a member who may see them all."""

    def __init__(self, corpus: Corpus, vectors: Vectors) -> None:
        from tests.database.worlds import grant, make_collection, make_member, make_tenant, working

        self.corpus = corpus
        self.tenant_id = make_tenant()
        with working(self.tenant_id):
            self.member_id = make_member()
            self.collection_id = make_collection(grant("owner", member=self.member_id))
        cut = [_cut(text, title=f"Answer {n}") for n, (*_, text) in enumerate(corpus.documents)]
        embedded = vectors.of([text for spans in cut for _, text in spans])
        self.texts: list[tuple[str, str, str]] = []
        self.name_of: dict[UUID, str] = {}
        at = 0
        for (name, language, text), spans in zip(corpus.documents, cut, strict=True):
            made = self._store(text, spans, embedded[at : at + len(spans)])
            self.name_of[made] = name
            self.texts += [(name, language, f"{s.section}\n{s.text}") for s, _ in spans]
            at += len(spans)
        self.questions = vectors.of([a.question for a in corpus.asked])

    def _store(self, text: str, spans: list[Any], vectors: Any) -> UUID:
        from ambit.access.clearance import clearance_for
        from ambit.access.documents import upload_document
        from ambit.corpus.ingest import StoredChunk, open_source, store_chunks
        from ambit.corpus.types import Upload
        from ambit.jobs.models import Job
        from ambit.jobs.services import claim
        from tests.database.worlds import working
        from workers.ingest.language import find_language

        with working(self.tenant_id):
            upload = Upload("A document", "document.txt", "text/plain", [text.encode()])
            made = upload_document(
                clearance=clearance_for(member_id=self.member_id),
                collection_id=self.collection_id,
                upload=upload,
                grants=None,
            )
            job = Job.objects.filter(name="ingest.version").latest("id")
            held = claim(tenant_id=self.tenant_id, job_id=job.pk)
            assert held is not None
            chunks = [
                StoredChunk(**asdict(span), embedded_text=embedded, vector=vector)
                for (span, embedded), vector in zip(spans, vectors, strict=True)
            ]
            source = open_source(held)
            store_chunks(held, source=source, chunks=chunks, language=find_language(text))
        return made

    def ranks(self, mode: str) -> list[int | None]:
        """Return the place of the right document among those of the best passages, for each question."""
        from ambit.access.clearance import clearance_for
        from ambit.corpus.search import search
        from tests.database.worlds import working

        found = []
        with working(self.tenant_id, member_id=self.member_id):
            clearance = clearance_for(member_id=self.member_id)
            for asked, vector in zip(self.corpus.asked, self.questions, strict=True):
                passages = search(
                    clearance=clearance, query=asked.question, embedding=vector, k=K, mode=mode
                )
                names = [self.name_of[p.document_id] for p in passages]
                found.append(_place(asked.wanted, names))
        return found


def _cut(text: str, *, title: str) -> list[Any]:
    from workers.ingest.chunk import chunk, embedded_text
    from workers.ingest.parsers.limits import Limits
    from workers.ingest.parsers.route import read_document

    # In this process, unlike the product: the texts are no stranger's.
    parsed = read_document(text.encode(), suffix="txt", declared_mime="text/plain", limits=Limits())
    return [(s, embedded_text(title=title, chunk=s)) for s in chunk(parsed, title=title)]


def _place(wanted: str, names: list[str]) -> int | None:
    documents = list(dict.fromkeys(names))
    return documents.index(wanted) + 1 if wanted in documents else None


def bm25_ranks(corpus: Corpus, library: Library) -> list[int | None]:
    """Return the same places from bm25s, in the environment of the peers."""
    from ambit.corpus.languages import CONFIGURATIONS, spaced

    environment.make()
    by_language = defaultdict(list)
    for n, (_, language, text) in enumerate(library.texts):
        by_language[language].append((n, spaced(text)))
    body = {
        "stemmers": {name: CONFIGURATIONS.get(name) for name in by_language},
        "passages": by_language,
        "questions": [(a.language, spaced(a.question)) for a in corpus.asked],
        "k": K,
    }
    done = subprocess.run(
        [environment.python(), "-m", "tests.bench.bm25"],
        input=json.dumps(body).encode(),
        stdout=subprocess.PIPE,
        cwd=ROOT,
        check=True,
    )
    found = json.loads(done.stdout)
    names = [name for name, *_ in library.texts]
    return [
        _place(asked.wanted, [names[n] for n in numbers])
        for asked, numbers in zip(corpus.asked, found, strict=True)
    ]


if __name__ == "__main__":
    main()
