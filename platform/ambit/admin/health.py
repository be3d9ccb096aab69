"""Ask each part whether it is there, for the operator; numbers and states, never content."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import redis
from django.conf import settings
from django.db import DatabaseError, connections

from ambit.inference.embedding import EmbeddingRefused, EmbeddingUnavailable, embed_query
from ambit.inference.probes import ProbedReplica, probed_replicas
from ambit.jobs.broker import workers_that_scrub
from ambit.keys.chosen import chosen_store
from ambit.keys.protecting import count_by_store
from ambit.keys.store import KeyStoreDown


@dataclass(frozen=True, slots=True)
class Part:
    """A part and how it answered."""

    title: str
    icon: str
    ok: bool
    words: str


def parts() -> list[Part]:
    """Return the parts of the installation, each asked just now."""
    return [
        _asked("Database", "database", _database),
        _asked("Queue", "low_priority", _queue),
        _asked("Embeddings", "scatter_plot", _embeddings),
        _asked("Keys", "key", _keys),
        _workers(),
        _answers(),
    ]


def _asked(title: str, icon: str, ask: Callable[[], str]) -> Part:
    started = time.monotonic()
    try:
        words = ask()
    except (DatabaseError, redis.RedisError, OSError, KeyStoreDown):
        return Part(title, icon, ok=False, words="does not answer")
    except (EmbeddingUnavailable, EmbeddingRefused) as error:
        return Part(title, icon, ok=False, words=f"does not answer ({error.reason})")
    return Part(
        title, icon, ok=True, words=f"{words}, {1000 * (time.monotonic() - started):.0f} ms"
    )


def _database() -> str:
    with connections["default"].cursor() as cursor:
        cursor.execute("SHOW server_version")
        return f"Postgres {str(cursor.fetchone()[0]).split()[0]}"


def _queue() -> str:
    client = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2)
    try:
        client.ping()
    finally:
        client.close()
    return "Redis"


def _workers() -> Part:
    try:
        found = workers_that_scrub()
    except (OSError, redis.RedisError):
        return Part("Workers", "engineering", ok=False, words="cannot be asked")
    return workers_part(found)


def workers_part(found: list[bool]) -> Part:
    """Return how workers stand that said whether they may rewrite tables. Pure."""
    words = f"{len(found)} answered" if found else "none answers"
    if found and not any(found):
        words += (
            "; none may rewrite tables, so that no erasure closes: set AMBIT_SCRUBBER_DATABASE_URL"
        )
    return Part("Workers", "engineering", ok=any(found), words=words)


def _embeddings() -> str:
    embed_query("ambit")
    return str(settings.AMBIT_EMBED_MODEL)


def _keys() -> str:
    """Say what protects the keyring's files; raise OSError without its folder, KeyStoreDown without its store."""
    counts = count_by_store()
    store = chosen_store()
    if store is None:
        return f"{sum(counts.values())} plain files"
    if not store.answers():
        raise KeyStoreDown
    plain = counts.get("file", 0)
    return (
        f"{store.name}, {plain} of {sum(counts.values())} files still plain"
        if plain
        else store.name
    )


def _answers() -> Part:
    if not settings.AMBIT_VLLM_URL:
        return Part("Answers", "chat", ok=True, words="extractive: quotes, no model configured")
    return answers_part(probed_replicas(), model=settings.AMBIT_VLLM_MODEL)


def answers_part(found: list[ProbedReplica], *, model: str) -> Part:
    """Return how the replicas of the model server stand, and what to do about those that do not. Pure."""
    ready = sum(replica.is_ready for replica in found)
    words = f"written by {model}, {ready} of {len(found)} replicas ready"
    faults = [f"replica {r.label} {_FAULTS[r.answer]}" for r in found if r.answer in _FAULTS]
    faults += [
        f"replica {r.label} failed and rests a while"
        for r in found
        if r.answer == "serves" and r.circuit == "open"
    ]
    return Part("Answers", "chat", ok=ready == len(found), words="; ".join([words, *faults]))


_FAULTS = {
    "silent": "does not answer",
    "refuses_key": "refuses AMBIT_VLLM_KEY",
    "other_model": "does not serve AMBIT_VLLM_MODEL",
}
