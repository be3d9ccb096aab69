"""Where the parts listen: refuse a TCP port that is taken, find a free one, remove Unix sockets."""

from __future__ import annotations

import socket
from contextlib import suppress

from ambit.config.embedded import Embedded


class PortTaken(RuntimeError):
    """The web server's address is in use or not ours; the text says what to do."""


def refuse_used_port(host: str, port: int) -> None:
    """Raise PortTaken unless a server could listen here now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As the web server does: connections in TIME_WAIT are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PortTaken(
                f"Port {port} on {host} cannot be used ({error.strerror}): "
                "set AMBIT_PORT or --port to a free one. Nothing was started."
            ) from error


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that is free at this moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def remove_sockets(embedded: Embedded) -> None:
    """Remove what stopped parts left, and the sockets' folder outside the data directory."""
    for path in (embedded.embed_socket, embedded.redis_socket):
        path.unlink(missing_ok=True)
    if embedded.socket_dir.parent != embedded.data_dir:
        with suppress(OSError):
            embedded.socket_dir.rmdir()
