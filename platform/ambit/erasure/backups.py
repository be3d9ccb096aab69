"""When the last backup that may hold erased content expires, as far as this installation knows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from ambit.tombstones.register import RegisterUnusable, kept_backups

NONE_KNOWN = "No backup is known to this installation."
UNREADABLE = "It is not known which backups there are: their register cannot be read."
OVERDUE = "It is not known when: {n} of them should have been deleted before and were not."
KEPT = "Made by this installation and kept: {n}."
NO_OTHERS = "The operator says that no others are made."
OTHERS = (
    "The operator says that others are kept for {days} days at most; counted from this receipt."
)
OTHERS_UNKNOWN = "Others, made by other means, are not known to this installation."


@dataclass(frozen=True, slots=True)
class Backups:
    """What is known of backups; expire_at None: no date is known, which is not that there is none."""

    expire_at: datetime | None
    words: str


def known_backups() -> Backups:
    """Return when the last known backup made before now expires; no date rather than one that is too early.

    A backup that is begun now may still take along what was destroyed a moment ago, and counts.
    """
    now = timezone.now()
    try:
        kept = kept_backups()
    except RegisterUnusable:
        return Backups(None, UNREADABLE)
    others: int | None = settings.AMBIT_OTHER_BACKUPS_KEEP_DAYS
    if not kept and others is None:
        return Backups(None, NONE_KNOWN)
    overdue = sum(one.expires_at <= now for one in kept)
    if overdue:
        return Backups(None, f"{KEPT.format(n=len(kept))} {OVERDUE.format(n=overdue)}")
    ends = [one.expires_at for one in kept]
    if others:
        ends.append(now + timedelta(days=others))
    return Backups(max(ends, default=None), f"{KEPT.format(n=len(kept))} {_others(others)}")


def _others(days: int | None) -> str:
    if days is None:
        return OTHERS_UNKNOWN
    return OTHERS.format(days=days) if days else NO_OTHERS
