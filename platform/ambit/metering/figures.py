"""Figures of this process for Prometheus: sums over all tenants, which no label tells apart."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator

_lock = threading.Lock()
_uses: Counter[str] = Counter()
_tokens: Counter[str] = Counter()
_refused: Counter[str] = Counter()


def count_closed(*, n: int, outcome: str, prompt: int, cached: int, completion: int) -> None:
    """Count uses that are over, and their tokens."""
    with _lock:
        _uses[outcome] += n
        _tokens["prompt"] += prompt
        _tokens["cached"] += cached
        _tokens["completion"] += completion


def count_refused(reason: str) -> None:
    """Count a request that a limit refused, by a code of ours."""
    with _lock:
        _refused[reason] += 1


def metrics_lines() -> Iterator[str]:
    """Yield the figures in Prometheus' text format."""
    with _lock:
        counted = (
            ("ambit_uses_total", "outcome", dict(_uses)),
            ("ambit_tokens_total", "kind", dict(_tokens)),
            ("ambit_refusals_total", "reason", dict(_refused)),
        )
    for name, label, values in counted:
        yield f"# TYPE {name} counter"
        for word, n in sorted(values.items()):
            yield f'{name}{{{label}="{word}"}} {n}'
