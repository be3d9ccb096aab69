"""Which addresses a tenant's webhook may lead to: public ones, unless the operator says otherwise.

A tenant chooses the URL and we fetch it: without this it would reach what only our machine reaches,
such as a cloud's metadata service or the database beside us.
"""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import SplitResult, urlsplit

from django.conf import settings

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
# IPv6 prefixes in whose last bits an IPv4 address is meant: translators would take us there.
TRANSLATED = ipaddress.ip_network("64:ff9b::/96")
# Clouds' metadata services that stand in a private network.
METADATA = frozenset({ipaddress.ip_address("fd00:ec2::254")})
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


def find_address(host: str, port: int) -> str:
    """Look a host up once, and return the address to connect to; raise HostUnknown, AddressRefused.

    Whoever connects must take this address and not ask again: the next answer may be another.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise HostUnknown from error
    for *_, where in found:
        address = ipaddress.ip_address(str(where[0]).partition("%")[0])
        if may_be_told(address, private=settings.AMBIT_WEBHOOK_PRIVATE):
            return str(address)
    raise AddressRefused


def may_be_told(address: Address, *, private: bool) -> bool:
    """Say whether an address is public, or private where that is allowed; NEVER link-local. Pure."""
    meant = _meant(address)
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
