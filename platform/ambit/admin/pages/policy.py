"""How answers are written: what the tenant wishes, and exactly what the model is told because of it."""

from __future__ import annotations

from typing import Any, Final

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from ambit.admin.forms import PlainForm
from ambit.admin.page import page, show, to
from ambit.admin.people import members_by_id
from ambit.answers.policies import (
    LANGUAGES,
    NEUTRAL,
    RULES_MAX_CHARS,
    TenantPolicy,
    prompt_policy,
    set_policy,
    wished,
)
from ambit.answers.prompt import POLICY, system_text

ROLES: Final = ("admin",)
TONES = (
    (NEUTRAL, "Neutral"),
    ("formal", "Formal"),
    ("friendly", "Friendly"),
    ("plain", "Plain language: short sentences, everyday words"),
)
_LANGUAGES = sorted(LANGUAGES.items(), key=lambda language: language[1])


class RulesField(forms.CharField):
    """Lines of text, counted as they are kept: a browser sends two characters for each line break."""

    def to_python(self, value: Any) -> Any:
        """Return the text with single line breaks."""
        return super().to_python(value.replace("\r\n", "\n") if isinstance(value, str) else value)


class PolicyForm(PlainForm):
    """Asks for tone, language and rules."""

    tone = forms.ChoiceField(label="Tone", choices=TONES)
    language = forms.ChoiceField(
        label="Language",
        required=False,
        choices=[("", "The question’s"), *_LANGUAGES],
        help_text="Passages are quoted in their own language.",
    )
    rules = RulesField(
        label="Rules",
        required=False,
        max_length=RULES_MAX_CHARS,
        widget=forms.Textarea(attrs={"rows": 9, "data-count": RULES_MAX_CHARS}),
        help_text="On length and wording, in your own words, such as: “Call the wards by their numbers.”"
        " Name no person: an erasure does not look here.",
    )


@page("answering/", name="answering", roles=ROLES, methods=("GET", "POST"))
def answering(request: HttpRequest) -> HttpResponseBase:
    """Show what is wished of answers and what the model is told; preview it; set it."""
    kept = prompt_policy()
    asked = request.POST if request.method == "POST" else None
    form = PolicyForm(asked, initial=_values(kept))
    shown = kept
    if form.is_valid():
        if request.POST.get("do") == "preview":
            shown = wished(**form.cleaned_data)
        else:
            set_policy(**form.cleaned_data)
            messages.success(request, "Saved. The next answer is written by it.")
            return to("answering")
    told = system_text(tenant_policy=shown.text)
    return show(
        request, "answering.html", title="Answering", form=form, refused=form.is_bound and not form.is_valid(),
        kept=kept, is_set=bool(kept.text), is_kept=_values(shown) == _values(kept),
        by=members_by_id([kept.updated_by_id]).get(kept.updated_by_id) if kept.updated_by_id else None,
        told=_parts(told), n_told=len(told), n_rules=len(shown.rules), most=RULES_MAX_CHARS,
        has_model=bool(settings.AMBIT_VLLM_URL),
    )  # fmt: skip


def _values(policy: TenantPolicy) -> dict[str, str]:
    return {"rules": policy.rules, "tone": policy.tone, "language": policy.language}


def _parts(told: str) -> list[tuple[str, str]]:
    """Return what the model is told in parts, each with whose words it is: Ambit's or the organisation's."""
    parts = [("Ambit", POLICY)]
    for block in told.removeprefix(POLICY).strip("\n").split("\n\n"):
        lines = block.split("\n")
        ours = "\n".join(line for line in lines if not line.startswith(">"))
        theirs = "\n".join(line for line in lines if line.startswith(">"))
        parts += [(whose, text) for whose, text in (("Ambit", ours), ("yours", theirs)) if text]
    return parts
