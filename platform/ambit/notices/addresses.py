"""Which addresses a tenant's webhook may lead to: public ones, unless the operator says otherwise.

A tenant chooses the URL and we fetch it: without this it would reach what only our machine reaches,
such as a cloud's metadata service or the database beside us.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from typing import Any
from urllib.parse import SplitResult, urlsplit

from django.conf import settings

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
# IPv6 prefixes in whose last bits an IPv4 address is meant: translators would take us there.
TRANSLATED = ipaddress.ip_network("64:ff9b::/96")
# What a network translates by itself, to addresses that only it knows.
LOCALLY_TRANSLATED = ipaddress.ip_network("64:ff9b:1::/48")
# Clouds' metadata services that are not link-local: Azure's is a public address, the others' are private.
METADATA = frozenset(
    ipaddress.ip_address(address)
    for address in (
        "168.63.129.16",
        "192.0.0.192",
        "100.100.100.200",
        "fd00:ec2::254",
        "fd20:ce::254",
    )
)
MAX_URL = 2000


class BadWebhookUrl(ValueError):
    """The URL cannot be told anything: it is none, has a password in it, or is not https."""


class AddressRefused(ValueError):
    """The host stands in no network that webhooks may lead to."""


class HostUnknown(OSError):
    """The host's name leads nowhere now."""


def checked_url(url: str) -> SplitResult:
    """Return a URL's parts; raise BadWebhookUrl. Asks nobody: its host is looked up when it is told."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise BadWebhookUrl from error
    is_plain = settings.AMBIT_WEBHOOK_PRIVATE and not settings.PRODUCTION
    if parts.scheme not in ({"https", "http"} if is_plain else {"https"}):
        raise BadWebhookUrl
    if not parts.hostname or parts.username or parts.password or port == 0:
        raise BadWebhookUrl
    if not url.isascii() or not url.isprintable() or " " in url or len(url) > MAX_URL:
        raise BadWebhookUrl
    return parts


def find_address(host: str, port: int, *, within_s: float) -> str:
    """Look a host up once, and return the address to connect to.

    Raises HostUnknown, AddressRefused, and TimeoutError where the name's servers take too long.

    Whoever connects must take this address and not ask again: the next answer may be another.
    """
    for *_, where in _look_up(host, port, within_s=within_s):
        address = ipaddress.ip_address(str(where[0]).partition("%")[0])
        if may_be_told(address, private=settings.AMBIT_WEBHOOK_PRIVATE):
            return str(address)
    raise AddressRefused


def _look_up(host: str, port: int, *, within_s: float) -> list[tuple[Any, ...]]:
    """Ask for a host's addresses from a thread: the resolver itself knows no limit."""
    found: list[tuple[Any, ...]] = []
    wrong: list[Exception] = []

    def ask() -> None:
        try:
            found.extend(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            wrong.append(error)

    asking = threading.Thread(target=ask, name="resolver", daemon=True)
    asking.start()
    asking.join(within_s)
    if asking.is_alive():
        raise TimeoutError
    if wrong:
        raise HostUnknown from wrong[0]
    return found


def may_be_told(address: Address, *, private: bool) -> bool:
    """Say whether an address is public, or private where that is allowed; NEVER link-local. Pure."""
    meant = _meant(address)
    if address in LOCALLY_TRANSLATED:
        return False
    if meant in METADATA or meant.is_link_local or meant.is_multicast or meant.is_unspecified:
        return False
    if meant.is_reserved and not meant.is_loopback:
        return False
    return meant.is_global or (private and (meant.is_private or meant.is_loopback))


def _meant(address: Address) -> Address:
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in TRANSLATED:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address
