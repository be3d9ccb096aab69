"""What a tenant wishes of its answers: rules in its own words, a tone, a language, told to the model below our policy.

No policy and an empty one are the same: nothing is wished. The extractive generator quotes and is told nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from uuid import UUID

from django.utils import timezone

from ambit.answers.models import AnsweringPolicy
from tenants.audit import current_actor, record
from tenants.scope import current_tenant_id

RULES_MAX_CHARS = 2_000
NEUTRAL = "neutral"
# What the model is told of each; the first is how it writes untold.
TONES = MappingProxyType(
    {
        NEUTRAL: "",
        "formal": "Tone: formal and impersonal.",
        "friendly": "Tone: friendly, as to a colleague.",
        "plain": "Tone: plain language, with short sentences and everyday words.",
    }
)
# Short tags of the languages that can be asked for, with the names the model knows them by.
LANGUAGES = MappingProxyType(
    {
        "ar": "Arabic",
        "bg": "Bulgarian",
        "ca": "Catalan",
        "cs": "Czech",
        "da": "Danish",
        "de": "German",
        "el": "Greek",
        "en": "English",
        "es": "Spanish",
        "et": "Estonian",
        "eu": "Basque",
        "fi": "Finnish",
        "fr": "French",
        "ga": "Irish",
        "he": "Hebrew",
        "hi": "Hindi",
        "hr": "Croatian",
        "hu": "Hungarian",
        "hy": "Armenian",
        "id": "Indonesian",
        "it": "Italian",
        "ja": "Japanese",
        "ko": "Korean",
        "lt": "Lithuanian",
        "lv": "Latvian",
        "nb": "Norwegian Bokmål",
        "ne": "Nepali",
        "nl": "Dutch",
        "nn": "Norwegian Nynorsk",
        "pl": "Polish",
        "pt": "Portuguese",
        "ro": "Romanian",
        "ru": "Russian",
        "sk": "Slovak",
        "sl": "Slovenian",
        "sr": "Serbian",
        "sv": "Swedish",
        "ta": "Tamil",
        "th": "Thai",
        "tr": "Turkish",
        "uk": "Ukrainian",
        "vi": "Vietnamese",
        "zh": "Chinese",
    }
)


class PolicyRefused(ValueError):
    """Rules are too long, or a tone or language is not one of those known; nothing was changed."""


@dataclass(frozen=True, slots=True)
class TenantPolicy:
    """What a tenant wishes; version 0: it never said."""

    rules: str = field(default="", repr=False)
    tone: str = NEUTRAL
    # A key of LANGUAGES; empty: the question's.
    language: str = ""
    version: int = 0
    updated_at: datetime | None = None
    updated_by_kind: str = ""
    updated_by_id: UUID | None = None

    @property
    def text(self) -> str:
        """What the model is told below our policy; empty where nothing is wished."""
        language = LANGUAGES.get(self.language)
        lines = (TONES.get(self.tone, ""), language and f"Language: {language}.", self.rules)
        return "\n".join(line for line in lines if line)


def prompt_policy() -> TenantPolicy:
    """Return what the tenant in scope wishes, for its answers and its administrators."""
    row = AnsweringPolicy.objects.first()
    if row is None:
        return TenantPolicy()
    return TenantPolicy(
        rules=row.rules,
        tone=row.tone,
        language=row.language,
        version=row.version,
        updated_at=row.updated_at,
        updated_by_kind=row.updated_by_kind,
        updated_by_id=row.updated_by_id,
    )


def wished(*, rules: str, tone: str, language: str) -> TenantPolicy:
    """Return a policy as it would be kept; raise PolicyRefused."""
    kept = "\n".join(line.rstrip() for line in rules.strip().splitlines())
    if len(kept) > RULES_MAX_CHARS or "\x00" in kept:
        raise PolicyRefused("rules")
    if tone not in TONES:
        raise PolicyRefused("tone")
    if language and language not in LANGUAGES:
        raise PolicyRefused("language")
    return TenantPolicy(kept, tone, language)


def set_policy(*, rules: str, tone: str, language: str) -> TenantPolicy:
    """Keep what the tenant in scope wishes from now on, all of it; the next answer is told.

    What is wished already is left as it is, its version too. Raises PolicyRefused, having changed nothing.
    """
    wanted = wished(rules=rules, tone=tone, language=language)
    AnsweringPolicy.objects.get_or_create(tenant_id=current_tenant_id(), defaults={})
    # Who changes it at the same moment waits, and then compares with what stands there.
    row = AnsweringPolicy.objects.select_for_update().get()
    if (row.rules, row.tone, row.language) != (wanted.rules, wanted.tone, wanted.language):
        before = len(row.rules)
        actor = current_actor()
        row.rules, row.tone, row.language = wanted.rules, wanted.tone, wanted.language
        row.updated_by_kind = "member" if actor.member_id else actor.kind
        row.updated_by_id = actor.member_id or actor.id
        row.updated_at, row.version = timezone.now(), row.version + 1
        row.save()
        counts = {
            "version": row.version,
            "rules_characters_before": before,
            "rules_characters": len(wanted.rules),
        }
        record("policy.changed", object_id=row.pk, counts=counts)
    return prompt_policy()
