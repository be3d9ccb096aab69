"""Signatures as Standard Webhooks publishes them, and the addresses that webhooks may lead to."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress

import pytest
from pytest_django import Settings

from ambit.notices.addresses import BadWebhookUrl, checked_url, may_be_told
from ambit.notices.signing import new_secret, signed_headers

# The vector of the specification and of its libraries.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE = "msg_p5jXN8AQM9LWM0D4loKWxJek"
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
PUBLIC = ("93.184.216.34", "2606:2800:220:1::1", "64:ff9b::5db8:d822")
PRIVATE = ("127.0.0.1", "10.0.0.8", "172.16.3.4", "192.168.1.1", "::1", "fd12:3456::1")
NEVER = (
    "169.254.169.254",
    "fe80::1",
    "fd00:ec2::254",
    "100.100.100.200",
    "100.64.0.1",
    "168.63.129.16",
    "192.0.0.192",
    "fd20:ce::254",
    "::ffff:168.63.129.16",
    "64:ff9b::a83f:8110",
    "64:ff9b:1::7f00:1",
    "2002:a83f:8110::1",
    "0.0.0.0",  # noqa: S104 - an address to refuse
    "::",
    "224.0.0.1",
    "ff02::1",
    "255.255.255.255",
    "240.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
)


def test_the_published_vector() -> None:
    headers = signed_headers(secret=SECRET, message_id=MESSAGE, sent_at=1614265330, body=BODY)

    assert headers == {
        "webhook-id": MESSAGE,
        "webhook-timestamp": "1614265330",
        "webhook-signature": SIGNATURE,
    }


def test_a_secret_of_ours_has_256_bits_and_signs() -> None:
    secret = new_secret()
    key = base64.b64decode(secret.removeprefix("whsec_"))

    headers = signed_headers(secret=secret, message_id="ntc_1", sent_at=5, body=b"x")

    assert (len(key), secret == new_secret()) == (32, False)
    wanted = base64.b64encode(hmac.digest(key, b"ntc_1.5.x", hashlib.sha256)).decode()
    assert headers["webhook-signature"] == f"v1,{wanted}"


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_may_be_told(address: str) -> None:
    assert may_be_told(ipaddress.ip_address(address), private=False)


@pytest.mark.parametrize("address", [*PRIVATE, "::ffff:10.0.0.8", "64:ff9b::7f00:1"])
def test_a_private_address_may_be_told_where_the_operator_says_so(address: str) -> None:
    assert not may_be_told(ipaddress.ip_address(address), private=False)
    assert may_be_told(ipaddress.ip_address(address), private=True)


@pytest.mark.parametrize("address", NEVER)
def test_what_is_nobodys_is_never_told(address: str) -> None:
    assert not may_be_told(ipaddress.ip_address(address), private=False)
    assert not may_be_told(ipaddress.ip_address(address), private=True)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.example.org",
        "http://hooks.example.org/",
        "ftp://hooks.example.org/",
        "https://",
        "https:///path",
        "https://user:word@hooks.example.org/",
        "https://hooks.example.org:0/",
        "https://hooks.example.org:port/",
        "https://hooks.example.org/a b",
        "https://hooks.example.org/\r\nHost: other",
        "https://höoks.example.org/",
        "https://hooks.example.org/" + "a" * 2000,
    ],
)
def test_a_url_that_cannot_be_told_is_refused(url: str) -> None:
    with pytest.raises(BadWebhookUrl):
        checked_url(url)


def test_plain_http_is_for_where_private_networks_are_allowed_outside_production(
    settings: Settings,
) -> None:
    assert checked_url("https://hooks.example.org:8443/x?y=z").port == 8443
    settings.AMBIT_WEBHOOK_PRIVATE = True
    assert checked_url("http://127.0.0.1:8000/").hostname == "127.0.0.1"
    settings.PRODUCTION = True
    with pytest.raises(BadWebhookUrl):
        checked_url("http://127.0.0.1:8000/")
