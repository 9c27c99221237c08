"""The tokenizer of a model folder, as it was written."""

from __future__ import annotations

from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from stages.common.models import check_tokenizer, loading, model_path


def load_tokenizer(folder: str | Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a model folder, as its tokenizer.json has it.

    AutoTokenizer chooses a class by the model's type and, for one of our own beside a known type
    (qwen2), rebuilds it as something else without an error; so it is asked only where there is no
    tokenizer.json.
    """
    path = Path(model_path(folder))
    check_tokenizer(path)
    with loading(path):
        if (path / "tokenizer.json").exists():
            return PreTrainedTokenizerFast.from_pretrained(path)
        return AutoTokenizer.from_pretrained(path)


def encode_text(text: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Token ids of text from outside: what looks like a special token is encoded as letters."""
    return tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
