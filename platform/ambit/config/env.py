"""Read environment variables, refusing what cannot be understood."""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import urlsplit


class InvalidSetting(ValueError):
    """A variable is missing or cannot be understood; the text says what to set."""


def env_str(name: str, default: str = "") -> str:
    """Return the variable, or the content of the file that NAME_FILE names."""
    path = os.environ.get(f"{name}_FILE")
    if path:
        try:
            return Path(path).read_text().strip()
        except OSError as error:
            raise InvalidSetting(f"{name}_FILE names a file that cannot be read: {path}") from error
    return os.environ.get(name, default).strip()


def env_bool(name: str, *, default: bool) -> bool:
    """Return true for 1/true/yes/on, false for 0/false/no/off, and refuse the rest."""
    value = env_str(name).lower()
    if not value:
        return default
    if value in {"1", "true", "yes", "on"}:
        return True
    if value in {"0", "false", "no", "off"}:
        return False
    raise InvalidSetting(
        f"{name} must be one of 1, true, yes, on, 0, false, no, off; it is {value!r}"
    )


def env_int(name: str, *, default: int, minimum: int = 0, maximum: int = 2**31 - 1) -> int:
    """Return a whole number between minimum and maximum, by default what Postgres' integers hold."""
    value = env_str(name)
    if not value:
        return default
    try:
        number = int(value)
    except ValueError as error:
        raise InvalidSetting(f"{name} must be a whole number; it is {value!r}") from error
    if number < minimum:
        raise InvalidSetting(f"{name} must be at least {minimum}; it is {number}")
    if number > maximum:
        raise InvalidSetting(f"{name} must be at most {maximum}; it is {number}")
    return number


def env_required(name: str, *, why: str) -> str:
    """Return the variable, or refuse to start with the reason it is needed."""
    value = env_str(name)
    if not value:
        raise InvalidSetting(f"Set {name} (or {name}_FILE): {why}")
    return value


def env_url(name: str) -> str:
    """Return the address of a server that is told secrets: https, or http on this machine alone."""
    value = env_str(name)
    if not value:
        return ""
    parts = urlsplit(value)
    here = parts.hostname in {"localhost", "127.0.0.1", "::1"}
    if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and here)):
        raise InvalidSetting(
            f"{name} must begin with https://, or be http://localhost; it is {value!r}"
        )
    return value


def env_urls(name: str) -> str:
    """Return addresses of servers on the inside, comma separated, http or https; each of another server."""
    urls = [url.strip().rstrip("/").removesuffix("/v1") for url in env_str(name).split(",")]
    if urls == [""]:
        return ""
    for url in urls:
        _check_server_url(name, url)
    if len(set(urls)) < len(urls):
        raise InvalidSetting(f"{name} names a server twice")
    return ",".join(urls)


def _check_server_url(name: str, url: str) -> None:
    try:
        parts = urlsplit(url)
        port_is_one = parts.port is None or parts.port > 0
    except ValueError:
        parts, port_is_one = urlsplit(""), False
    if "@" in parts.netloc:
        # Not shown: it holds a password.
        raise InvalidSetting(
            f"{name} holds a name or password; give the key in a setting of its own"
        )
    if parts.scheme not in {"http", "https"} or not parts.hostname or not port_is_one:
        raise InvalidSetting(
            f"{name} must be addresses that begin with http:// or https://, separated by commas; "
            f"one of them is {url!r}"
        )
    if parts.query or parts.fragment or any(c.isspace() for c in url):
        raise InvalidSetting(
            f"{name} must be the addresses of servers alone; one of them is {url!r}"
        )


def read_calibration(path: Path) -> dict[str, int]:
    """Return the figures that `manage.py calibrate_retrieval` kept; none where it never ran.

    Raises InvalidSetting.
    """
    try:
        kept = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InvalidSetting(f"{path} cannot be read; run calibrate_retrieval again") from error
    if not isinstance(kept, dict) or not all(type(v) is int and v > 0 for v in kept.values()):
        raise InvalidSetting(f"{path} holds no figures; remove it or run calibrate_retrieval again")
    return kept
