"""Send one signed notice to the address that was checked; no redirect is followed, no body kept."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from urllib.parse import SplitResult

from ambit.notices.addresses import (
    AddressRefused,
    BadWebhookUrl,
    HostUnknown,
    checked_url,
    find_address,
)
from ambit.notices.signing import signed_headers
from ambit.notices.types import Letter, Outcome

# Of one step, such as connecting; and of all of it, for a receiver that answers a byte at a time.
STEP_S = 5.0
WHOLE_S = 10.0
PORTS = {"https": 443, "http": 80}


class _Pinned(http.client.HTTPConnection):
    """Connects to an address that was looked up before, and asks for the host's own certificate."""

    def __init__(self, parts: SplitResult, *, address: str, port: int) -> None:
        super().__init__(parts.hostname or "", port, timeout=STEP_S)
        self._address, self._is_tls = (address, port), parts.scheme == "https"

    def connect(self) -> None:
        """Open the connection; from its first byte on it can be hung up."""
        self.sock = socket.create_connection(self._address, timeout=STEP_S)
        if self._is_tls:
            context = ssl.create_default_context()
            secure = context.wrap_socket(
                self.sock, server_hostname=self.host, do_handshake_on_connect=False
            )
            self.sock = secure
            secure.do_handshake()


def send(letter: Letter) -> Outcome:
    """Send a notice and return what came of it; raises nothing that the receiver can cause."""
    try:
        parts = checked_url(letter.url)
        port = parts.port or PORTS[parts.scheme]
        until = time.monotonic() + WHOLE_S
        address = find_address(parts.hostname or "", port, within_s=STEP_S)
        left_s = max(0.0, until - time.monotonic())
        return Outcome(_post(letter, parts, address=address, port=port, within_s=left_s))
    except BadWebhookUrl:
        return Outcome(None, "url")
    except AddressRefused:
        return Outcome(None, "address_refused")
    except HostUnknown:
        return Outcome(None, "host_unknown")
    except ssl.SSLError:
        return Outcome(None, "tls")
    except TimeoutError:
        return Outcome(None, "timeout")
    except (OSError, http.client.HTTPException, ValueError):
        return Outcome(None, "connection")


def _post(letter: Letter, parts: SplitResult, *, address: str, port: int, within_s: float) -> int:
    connection = _Pinned(parts, address=address, port=port)
    headers = signed_headers(
        secret=letter.secret, message_id=letter.id, sent_at=int(time.time()), body=letter.body
    )
    target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    is_late = threading.Event()
    late = threading.Timer(within_s, _hang_up, args=(connection, is_late))
    late.daemon = True
    late.start()
    try:
        connection.connect()
        if is_late.is_set():
            raise TimeoutError
        connection.request(
            "POST",
            target,
            body=letter.body,
            headers=headers
            | {"Content-Type": "application/json", "User-Agent": "ambit", "Connection": "close"},
        )
        with connection.getresponse() as response:
            status = response.status
    except (OSError, http.client.HTTPException):
        if is_late.is_set():
            raise TimeoutError from None
        raise
    else:
        # Cut off by us, what had come looks like a whole answer.
        if is_late.is_set():
            raise TimeoutError
        return status
    finally:
        late.cancel()
        connection.close()


def _hang_up(connection: _Pinned, is_late: threading.Event) -> None:
    is_late.set()
    sock = connection.sock
    try:
        # None while it is being opened, which has a limit of its own, or once all was said.
        if sock is not None:
            sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        # Closed meanwhile.
        return
