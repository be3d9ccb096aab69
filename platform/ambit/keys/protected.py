"""Files of the keyring, plain or protected by a key store, read once and kept for a while in memory.

A protected file holds ciphertext under a key of its own, wrapped by the store. What was opened stays in
this process's memory for at most AMBIT_KEY_CACHE_S, so that a key taken away in the store bites.
"""

from __future__ import annotations

import base64
import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

from ambit.keys.chosen import Guarded, chosen_store, store_named
from ambit.keys.store import KeyStoreDown, KeyUnavailable

KEY_BYTES = 32
NONCE_BYTES = 12
# Of the time in memory, after which the store is asked again while what is kept still serves.
FRESH = 0.5
# What is over is looked for so often.
SWEEP_S = 1.0
# A file that is being replaced is read again at most so often.
READS = 5

Identity = tuple[int, int, int]
T = TypeVar("T")


@dataclass(slots=True)
class _Held:
    """What a file said."""

    identity: Identity
    value: Any
    fresh_until: float
    until: float
    is_asked: bool = False


_held: dict[str, _Held] = {}
_sweeper: threading.Thread | None = None


def read(path: str, parse: Callable[[dict[str, Any]], T], *, context: str) -> T:
    """Return what a file says, from memory where it is younger than AMBIT_KEY_CACHE_S.

    Raises KeyUnavailable: no file, a damaged one, or a store that refuses; KeyStoreDown: none that answers.
    """
    identity = _identify(path)
    held = _held.get(path)
    if held is None or held.identity != identity:
        return _read_anew(path, parse, context)
    now = time.monotonic()
    if now >= held.until:
        return _read_anew(path, parse, context)
    if now >= held.fresh_until and not held.is_asked:
        held.is_asked = True
        try:
            return _read_anew(path, parse, context)
        except KeyStoreDown:
            # It serves until its time is over, and is not asked for again meanwhile by every reader.
            now = time.monotonic()
            if now >= held.until:
                raise
            held.fresh_until = now + (held.until - now) * FRESH
        finally:
            held.is_asked = False
    value: T = held.value
    return value


def open_file(path: Path, *, context: str) -> tuple[dict[str, Any], str]:
    """Return what a file says and the name of its store, "file" for a plain one; nothing is remembered."""
    try:
        said: dict[str, Any] = json.loads(path.read_bytes())
        name = said.get("store")
        if name is None:
            return said, "file"
        wrapped = str(said["wrapped"])
        sealed = base64.b64decode(said["sealed"], validate=True)
    except FileNotFoundError:
        raise KeyUnavailable(f"{context} is not in the keyring") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # Dropped, not chained: a parser's error may quote what it read.
        raise KeyUnavailable(f"{context} cannot be read from the keyring") from None
    key = store_named(name).unwrap(wrapped, context=context)
    try:
        opened = AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context.encode())
        found: dict[str, Any] = json.loads(opened)
    except (InvalidTag, ValueError):
        raise KeyUnavailable(f"{context} does not open: its file was altered or moved") from None
    return found, name


def store_of(path: Path) -> str:
    """Return the name of a file's store without opening it; "file" for a plain one, "" for a damaged one."""
    try:
        return str(json.loads(path.read_bytes()).get("store", "file"))
    except (OSError, ValueError, AttributeError):
        return ""


def written(secrets: dict[str, Any], *, context: str, store: str | None = None) -> str:
    """Return the text of a file for these secrets, protected by the chosen store.

    store: of the file that is replaced, which keeps its protection where none is chosen any more.
    Raises KeyStoreDown, KeyUnavailable.
    """
    chosen = chosen_store()
    if chosen is None and store not in {None, "file"}:
        chosen = store_named(str(store))
    return json.dumps(secrets) if chosen is None else _protect(secrets, chosen, context)


def forget(path: Path) -> None:
    """Drop what this process keeps of a file."""
    _held.pop(str(path), None)


def _protect(secrets: dict[str, Any], store: Guarded, context: str) -> str:
    key, nonce = os.urandom(KEY_BYTES), os.urandom(NONCE_BYTES)
    sealed = nonce + AESGCM(key).encrypt(nonce, json.dumps(secrets).encode(), context.encode())
    wrapped = store.wrap(key, context=context)
    # Whoever keeps it only wrongly learns so now, and not when the file is all there is.
    if store.unwrap(wrapped, context=context) != key:
        raise KeyUnavailable(f"{store.name} does not give back what it wrapped")
    return json.dumps(
        {"store": store.name, "wrapped": wrapped, "sealed": base64.b64encode(sealed).decode()}
    )


def _identify(path: str) -> Identity:
    try:
        found = os.stat(path)
    except OSError as error:
        name = os.path.basename(path)
        raise KeyUnavailable(f"{name} is not in the keyring") from error
    return found.st_mtime_ns, found.st_ino, found.st_size


def _read_anew(path: str, parse: Callable[[dict[str, Any]], T], context: str) -> T:
    for _ in range(READS):
        identity = _identify(path)
        try:
            secrets, store = open_file(Path(path), context=context)
            value = parse(secrets)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise KeyUnavailable(f"{context} cannot be read from the keyring") from None
        except KeyStoreDown:
            raise
        except KeyUnavailable:
            # Replaced while it was read: its bytes of before are overwritten.
            if _identify(path) != identity:
                continue
            _held.pop(path, None)
            raise
        _keep(path, _Held(identity, value, *_times(store)))
        return value
    raise KeyUnavailable(f"{context} is being replaced over and over")


def _times(store: str) -> tuple[float, float]:
    if store == "file":
        return float("inf"), float("inf")
    now, lasts = time.monotonic(), float(settings.AMBIT_KEY_CACHE_S)
    return now + lasts * FRESH, now + lasts


def _keep(path: str, held: _Held) -> None:
    _held[path] = held
    if held.until != float("inf"):
        _sweep_in_background()


def _sweep_in_background() -> None:
    global _sweeper
    if _sweeper is None or not _sweeper.is_alive():
        _sweeper = threading.Thread(target=_sweep, name="forget-keys", daemon=True)
        _sweeper.start()


def _sweep() -> None:
    """Drop what is over also where nobody asks for it any more; end with the last of it."""
    while ends := [held.until for held in list(_held.values()) if held.until != float("inf")]:
        time.sleep(min(SWEEP_S, max(0.05, min(ends) - time.monotonic())))
        now = time.monotonic()
        for path, held in list(_held.items()):
            if held.until <= now and _held.get(path) is held:
                _held.pop(path, None)
