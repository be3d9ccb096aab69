"""Sign in to the admin web UI: accounts are read through the operator's connection alone.

An unknown name, a wrong password, a suspended member and a suspended tenant give the same answer
after the same work, and every wrong guess makes the next one wait longer.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.hashers import make_password
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from ambit.admin.models import SignInGuess
from ambit.admin.seats import Seat, seat_for
from tenants.audit import Actor, acting_as, record
from tenants.models import Account
from tenants.queries import OPERATOR
from tenants.scope import tenant_scope

FREE_GUESSES = 5
FIRST_WAIT = timedelta(seconds=30)
LONGEST_WAIT = timedelta(minutes=15)
FORGET_AFTER = timedelta(days=1)


class TooManyGuesses(Exception):
    """The name was guessed wrongly too often from this address; carries when to try again."""

    def __init__(self, until: datetime) -> None:
        super().__init__("too many wrong guesses")
        self.until = until


class AccountBackend(BaseBackend):
    """Signs in operators and those members whose role has a seat at the admin web UI."""

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **credentials: Any,
    ) -> Account | None:
        """Return the account, or None: never why not."""
        name = (username or credentials.get("sign_in") or "").strip().lower()
        if not name or not password or len(password) > 1024:
            return None
        place = _place(name, request)
        _count_guess(place)
        account = Account.objects.using(OPERATOR).filter(sign_in=name).first()
        if account is None:
            make_password(password)  # the work that checking one would have been
            return None
        if not account.check_password(password):
            return None
        seat = seat_for(account)
        if seat is None:
            return None
        SignInGuess.objects.using(OPERATOR).filter(pk=place).delete()
        _record_sign_in(seat)
        return _seated(account, seat)

    def get_user(self, user_id: Any) -> Account | None:
        """Return a signed-in account while it still has a seat."""
        account = Account.objects.using(OPERATOR).filter(pk=user_id).first()
        seat = seat_for(account) if account else None
        return _seated(account, seat) if account and seat else None


def _seated(account: Account, seat: Seat) -> Account:
    account.__dict__["seat"] = seat
    return account


def _place(name: str, request: HttpRequest | None) -> str:
    address = request.META.get("REMOTE_ADDR", "") if request else ""
    text = f"sign-in|{name}|{address}"
    return hmac.new(settings.AMBIT_PEPPER.encode(), text.encode(), hashlib.sha256).hexdigest()


def _count_guess(place: str) -> None:
    """Count a guess before it is checked, so that many at once are counted too; raise TooManyGuesses."""
    now = timezone.now()
    with transaction.atomic(using=OPERATOR):
        guesses = SignInGuess.objects.using(OPERATOR)
        guesses.filter(last_at__lt=now - FORGET_AFTER).delete()
        guesses.get_or_create(pk=place, defaults={"last_at": now})
        row = guesses.select_for_update().get(pk=place)
        over = row.n_failures - FREE_GUESSES
        if over >= 0:
            until = row.last_at + min(FIRST_WAIT * 2 ** min(over, 10), LONGEST_WAIT)
            if now < until:
                raise TooManyGuesses(until)
        guesses.filter(pk=place).update(n_failures=row.n_failures + 1, last_at=now)


def _record_sign_in(seat: Seat) -> None:
    if seat.tenant_id is None:
        return  # audit events belong to tenants, and an operator's sign-in touches none
    with tenant_scope(seat.tenant_id), acting_as(Actor("member", seat.member_id)):
        record("account.signed_in", object_id=seat.account_id)
