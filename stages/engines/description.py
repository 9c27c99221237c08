"""What every engine reads of a language model's folder before it reads weights."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from transformers import (
    AutoConfig,
    GenerationConfig,
    PretrainedConfig,
    PreTrainedTokenizerBase,
)

from stages.common.models import loading, model_path
from stages.engines.tokenizer import load_tokenizer
from stages.plumbing.errors import InputError


@dataclass(frozen=True)
class Description:
    """A language model without its weights.

    `path`: where its files lie; `ends`: the tokens that end a text; `window`: how many tokens of
    prompt and reply together it reads.
    """

    path: str
    tokenizer: PreTrainedTokenizerBase
    ends: set[int]
    window: int


def describe_model(folder: str | Path) -> Description:
    """The model of `folder`. InputError if there is none or its files do not load."""
    path = model_path(folder)
    with loading(path):
        config = AutoConfig.from_pretrained(path, trust_remote_code=False)
    tokenizer = load_tokenizer(folder)
    return Description(path, tokenizer, _ends(path, config, tokenizer), _window(config))


def _ends(path: str, config: PretrainedConfig, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Those of the model folder `path`, and the tokenizer's own. InputError for what is no id."""
    try:
        of_model = GenerationConfig.from_pretrained(path).eos_token_id
    except OSError:  # the folder has no generation_config.json
        of_model = GenerationConfig.from_model_config(config).eos_token_id
    ends: set[int] = set()
    for value in (of_model, tokenizer.eos_token_id):
        values = value if isinstance(value, list | tuple) else [] if value is None else [value]
        if not all(type(each) is int for each in values):
            raise InputError(f"{path}: 'eos_token_id' is {value!r}: expected token ids, integers")
        ends.update(values)
    return ends


def _window(config: PretrainedConfig) -> int:
    """That of the text part, where a configuration has several (Gemma 3, Mistral 3)."""
    return getattr(config.get_text_config(), "max_position_embeddings", None) or sys.maxsize
