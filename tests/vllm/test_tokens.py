"""Tokens are counted by the served model's own tokenizer, or estimated high."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_django.fixtures import Settings
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

from ambit.inference.tokens import TokenizerUnusable, context_tokens, count_tokens

TEXT = "27 days of annual leave; employees may carry over five days until the end of March."


@pytest.fixture
def tokenizer(tmp_path: Path, settings: Settings) -> Tokenizer:
    """Return a tokenizer like a served model's, named by the settings."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made.train_from_iterator(
        [TEXT],
        trainers.BpeTrainer(
            vocab_size=300,
            special_tokens=["<s>"],
            initial_alphabet=alphabet,
            show_progress=False,
        ),
    )
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 0)]
    )
    # As sentence-transformers' files come.
    made.enable_truncation(16)
    made.enable_padding(length=16)
    path = tmp_path / "tokenizer.json"
    made.save(str(path))
    settings.AMBIT_VLLM_TOKENIZER = str(path)
    made.no_truncation()
    made.no_padding()
    return made


@pytest.mark.parametrize("text", ["", "days", TEXT, TEXT * 100, "Überstunden 残業"])
def test_a_text_is_counted_as_the_model_reads_it(tokenizer: Tokenizer, text: str) -> None:
    assert count_tokens(text) == len(tokenizer.encode(text, add_special_tokens=False).ids)


def test_half_a_surrogate_pair_is_counted_as_what_is_sent(tokenizer: Tokenizer) -> None:
    assert count_tokens("a\ud800b") == count_tokens("a?b")


@pytest.mark.parametrize(("text", "tokens"), [("", 1), ("a" * 400, 101), ("残業", 3)])
def test_without_a_tokenizer_the_estimate_is_high(
    settings: Settings, text: str, tokens: int
) -> None:
    settings.AMBIT_VLLM_TOKENIZER = ""

    assert count_tokens(text) == tokens


def test_a_file_that_is_no_tokenizer_is_refused_in_words(
    settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text('{"secret": 1}')
    settings.AMBIT_VLLM_TOKENIZER = str(path)

    with pytest.raises(TokenizerUnusable, match="AMBIT_VLLM_TOKENIZER is no tokenizer") as raised:
        count_tokens("days")

    assert "secret" not in repr(raised.value)


def test_the_context_is_the_settings(settings: Settings) -> None:
    settings.AMBIT_VLLM_CONTEXT = 32_768

    assert context_tokens() == 32_768
