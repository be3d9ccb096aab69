"""Which of Postgres' stemmers belongs to which language, and how scripts without spaces become words. Pure."""

from __future__ import annotations

import re

# BCP 47 primary subtag: text search configuration. Any other language's words are taken as they stand.
CONFIGURATIONS = {
    "ar": "arabic",
    "ca": "catalan",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": "english",
    "es": "spanish",
    "et": "estonian",
    "eu": "basque",
    "fi": "finnish",
    "fr": "french",
    "ga": "irish",
    "hi": "hindi",
    "hu": "hungarian",
    "hy": "armenian",
    "id": "indonesian",
    "it": "italian",
    "lt": "lithuanian",
    "nb": "norwegian",
    "ne": "nepali",
    "nl": "dutch",
    "nn": "norwegian",
    "no": "norwegian",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sr": "serbian",
    "sv": "swedish",
    "ta": "tamil",
    "tr": "turkish",
    "yi": "yiddish",
}
SIMPLE = "simple"
MAX_TAG = 35
_TAG = re.compile(r"([A-Za-z]{2,3})(?:-[A-Za-z0-9]{1,8})*")
# Thai, Lao, Burmese, Khmer, kana and Han: written without a space between words.
_UNSPACED = re.compile(
    "[\u0e00-\u0e7f\u0e80-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff"
    "\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+"
)


def primary_subtag(tag: str) -> str | None:
    """Return the language of a BCP 47 tag, such as de of de-AT; None where it is no tag."""
    found = _TAG.fullmatch(tag) if len(tag) <= MAX_TAG else None
    return found[1].lower() if found else None


def spaced(text: str) -> str:
    """Return the text with each run of a script without spaces as its overlapping pairs of characters."""
    return _UNSPACED.sub(lambda run: f" {_pairs(run[0])} ", text)


def _pairs(run: str) -> str:
    return " ".join(run[n : n + 2] for n in range(max(1, len(run) - 1)))
