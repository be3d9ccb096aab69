"""Rank passages by bm25s, in the environment of the peers: JSON in, JSON out; started by tests.bench.quality."""

from __future__ import annotations

import json
import sys
from typing import Any

# As bm25s names the lists it brings; the other languages' stop words are left to their weights.
_STOPWORDS = {"en": "en", "de": "de", "es": "es", "ru": "ru", "tr": "tr", "zh": "zh"}


def main() -> None:
    """Print, for each question, the numbers of the best passages."""
    import bm25s
    import Stemmer

    body = json.load(sys.stdin)

    def words(texts: list[str], language: str) -> list[list[str]]:
        algorithm = body["stemmers"].get(language)
        stemmer = Stemmer.Stemmer(algorithm) if algorithm else None
        found: list[list[str]] = bm25s.tokenize(
            texts,
            stopwords=_STOPWORDS.get(language, []),
            stemmer=stemmer,
            return_ids=False,
            show_progress=False,
        )
        return found

    tokens: dict[int, list[str]] = {}
    for language, numbered in body["passages"].items():
        found = words([text for _, text in numbered], language)
        tokens.update(zip((n for n, _ in numbered), found, strict=True))
    retriever = bm25s.BM25()
    retriever.index([tokens[n] for n in range(len(tokens))], show_progress=False)
    ranked: list[Any] = []
    for language, question in body["questions"]:
        asked = words([question], language)
        if not asked[0]:
            ranked.append([])
            continue
        numbers, scores = retriever.retrieve(asked, k=body["k"], show_progress=False)
        ranked.append([int(n) for n, s in zip(numbers[0], scores[0], strict=True) if s > 0])
    json.dump(ranked, sys.stdout)


if __name__ == "__main__":
    main()
