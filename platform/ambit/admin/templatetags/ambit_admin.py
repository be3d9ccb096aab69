"""Times, ids, badges and empty states, the same on every page."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince, timeuntil

from ambit.admin.words import STATES, State
from ambit.erasure.types import ENDS
from tenants.ids import public_id

register = template.Library()


@register.simple_tag
def when(at: datetime | None, missing: str = "–") -> SafeString:
    """Show a moment absolutely and relatively; the browser turns it into the viewer's zone."""
    if at is None:
        return format_html('<span class="a-faint">{}</span>', missing)
    now = timezone.now()
    if abs(now - at) < timedelta(minutes=1):
        relative = "just now"
    else:
        relative = (
            f"in {timeuntil(at, now, depth=1)}"
            if at > now
            else f"{timesince(at, now, depth=1)} ago"
        )
    return format_html(
        '<time class="a-when" datetime="{}"><span data-local>{} UTC</span>'
        ' <span class="a-faint">({})</span></time>',
        at.isoformat(),
        f"{at:%Y-%m-%d %H:%M}",
        relative,
    )


@register.filter
def grouped(number: int | None) -> str:
    """Show a number with its thousands apart."""
    return "–" if number is None else f"{number:,}"


@register.simple_tag
def copyable(kind: str, value: UUID | str | None, *, short: bool = False) -> SafeString:
    """Show an id with a button that copies it whole."""
    if value is None:
        return format_html('<span class="a-faint">–</span>')
    text = public_id(kind, value) if isinstance(value, UUID) else value
    shown = f"{text[:4]}…{text[-6:]}" if short and len(text) > 16 else text
    return format_html(
        '<span class="a-id"><code title="{}">{}</code><button type="button" class="a-copy" data-copy="{}"'
        ' aria-label="Copy {}"><span class="material-symbols-outlined" aria-hidden="true">content_copy'
        "</span></button></span>",
        text,
        shown,
        text,
        text,
    )


@register.inclusion_tag("ambit_admin/parts/badge.html")
def badge(state: str) -> dict[str, State]:
    """Show a state in words, colored."""
    return {"state": STATES.get(state) or State(state.replace("_", " "), "", "circle")}


@register.inclusion_tag("ambit_admin/parts/due.html")
def due(at: datetime | None, closed_at: datetime | None = None) -> dict[str, Any]:
    """Show how much time an erasure has left; without an end its clock stands."""
    if closed_at is not None:
        late = at is not None and closed_at > at
        return {
            "tone": "danger" if late else "success",
            "words": "done late" if late else "done",
            "at": at,
        }
    if at is None:
        return {"tone": "plain", "words": "clock stopped", "at": None}
    left = at - timezone.now()
    days = left.days
    if left < timedelta(0):
        return {"tone": "danger", "words": f"overdue by {timesince(at, depth=1)}", "at": at}
    tone = "danger" if days <= 5 else "warning" if days <= 14 else "success"
    return {"tone": tone, "words": f"{days} days left" if days != 1 else "1 day left", "at": at}


@register.inclusion_tag("ambit_admin/parts/empty.html")
def empty(
    icon: str,
    title: str,
    text: str,
    link: str = "",
    label: str = "",
    link2: str = "",
    label2: str = "",
) -> dict[str, str]:
    """Say that there is nothing here yet, and what to do next."""
    return {
        "icon": icon, "title": title, "text": text,
        "link": link, "label": label, "link2": link2, "label2": label2,
    }  # fmt: skip


@register.simple_tag
def person(member: Any) -> SafeString:
    """Show a member by name and e-mail address."""
    if member is None:
        return format_html('<span class="a-faint">someone who is gone</span>')
    if not member.name:
        return format_html("<span>{}</span>", member.email)
    return format_html('<span>{}</span> <span class="a-faint">{}</span>', member.name, member.email)


@register.filter
def percent(share: float) -> int:
    """Return a share of one as a whole number of hundredths."""
    return round(100 * share)


@register.filter
def get(mapping: dict[Any, Any], key: Any) -> Any:
    """Return a value of a mapping, or None."""
    return mapping.get(key)


@register.simple_tag
def key_state(key: Any) -> str:
    """Return whether a key works, is over, or was revoked."""
    if key.revoked_at:
        return "revoked"
    return "expired" if key.expires_at and key.expires_at <= timezone.now() else "active"


@register.simple_tag
def closed_at(case: Any) -> datetime | None:
    """Return when an erasure was closed, refused or answered but for what is held; else None."""
    return next((at for state in ENDS if (at := case.at(state))), None)


@register.filter
def words(text: str) -> list[str]:
    """Return the words of a text."""
    return text.split()


@register.filter
def utc(text: str) -> str:
    """Return a receipt's time as people read it; receipts are written in UTC."""
    return f"{text[:19].replace('T', ' ')} UTC"
