"""Count a text's tokens by the served model's own tokenizer where the settings name it, else high."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from django.conf import settings


class TokenizerUnusable(ValueError):
    """AMBIT_VLLM_TOKENIZER names no tokenizer.json that can be read."""


def count_tokens(text: str) -> int:
    """Return how many tokens the text has, without those a chat template adds.

    NEVER raises for a text; raises TokenizerUnusable where the setting names no tokenizer.
    """
    if not settings.AMBIT_VLLM_TOKENIZER:
        return estimated_tokens(text)
    # A lone half of a surrogate pair is no text to the tokenizer, and what is sent is not it either.
    whole = text.encode(errors="replace").decode()
    return len(_tokenizer(settings.AMBIT_VLLM_TOKENIZER).encode(whole, add_special_tokens=False))


def context_tokens() -> int:
    """Return how many tokens prompt and answer may have together, as the server was started with."""
    tokens: int = settings.AMBIT_VLLM_CONTEXT
    return tokens


def estimated_tokens(text: str) -> int:
    """Estimate high: four ASCII characters to a token, any other character one of its own. Pure."""
    n_ascii = sum(c.isascii() for c in text)
    return n_ascii // 4 + 1 + len(text) - n_ascii


@lru_cache(maxsize=2)
def _tokenizer(path: str) -> Any:
    # Imported when it is first needed: a web process without the setting never loads it.
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(path)
    except Exception:  # noqa: BLE001 - the library raises nothing narrower
        raise TokenizerUnusable("AMBIT_VLLM_TOKENIZER is no tokenizer.json") from None
    # Some files come with a length to cut or fill to, which would be what is counted.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
