"""For how long a tenant keeps what: set it, see what is past its time, and follow what went."""

from __future__ import annotations

from typing import Final

from django import forms
from django.contrib import messages
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from ambit.admin.forms import PlainForm
from ambit.admin.page import page, show, to
from ambit.erasure.retention import (
    MAX_DAYS,
    DataClass,
    Retention,
    get_retention,
    set_retention,
)

ROLES: Final = ("admin", "privacy_officer")
TITLES: dict[DataClass, str] = {
    "documents": "Documents, by their newest version",
    "answers": "Questions and answers, by when they were asked",
}
EMPTY = "Leave empty to keep them until they are erased."


def _days(label: str, help_text: str) -> forms.IntegerField:
    words = f"Give a whole number of days from 1 to {MAX_DAYS}, or leave it empty."
    return forms.IntegerField(
        label=label,
        required=False,
        min_value=1,
        max_value=MAX_DAYS,
        error_messages=dict.fromkeys(("invalid", "min_value", "max_value"), words),
        widget=forms.NumberInput(attrs={"min": 1, "max": MAX_DAYS, "step": 1}),
        help_text=f"{help_text} {EMPTY}",
    )


class RetentionForm(PlainForm):
    """Asks for how many days each class is kept."""

    documents = _days(
        "Days for documents",
        "Counted from the newest version. Answers made from them go with them.",
    )
    answers = _days("Days for questions and answers", "Counted from when they were asked.")


@page("retention/", name="retention", roles=ROLES, methods=("GET", "POST"))
def retention(request: HttpRequest) -> HttpResponseBase:
    """Show the tenant's retention, and set it."""
    bound = request.method == "POST"
    form = RetentionForm(request.POST if bound else None, initial=_asked(get_retention()))
    if form.is_valid():
        values = form.cleaned_data
        found = set_retention(days={"documents": values["documents"], "answers": values["answers"]})
        messages.success(request, _said(found))
        return to("retention")
    found = get_retention()
    return show(
        request, "retention.html", title="Retention", form=form, refused=bound,
        kept=[(TITLES[name], found.classes[name]) for name in TITLES],
        next_round_at=found.next_round_at,
        is_set=any(one.days or one.next_days for one in found.classes.values()),
    )  # fmt: skip


def _asked(found: Retention) -> dict[str, int | None]:
    """Return what was asked for last, in force or not."""
    return {name: one.next_days or one.days for name, one in found.classes.items()}


def _said(found: Retention) -> str:
    if any(one.effective_at for one in found.classes.values()):
        return "Saved. What destroys sooner than before counts in 24 hours; until then you can take it back here."
    return "Saved. It is in force."
