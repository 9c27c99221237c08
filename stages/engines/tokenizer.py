"""The tokenizer of a model folder, as it was written."""

from __future__ import annotations

from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from stages.common.models import model_path


def load_tokenizer(folder: str | Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a model folder, as its tokenizer.json has it.

    AutoTokenizer chooses a class by the model's type and, for one of our own beside a known type
    (qwen2), rebuilds it as something else without an error; so it is asked only where there is no
    tokenizer.json.
    """
    path = Path(model_path(folder))
    if (path / "tokenizer.json").exists():
        return PreTrainedTokenizerFast.from_pretrained(path)
    return AutoTokenizer.from_pretrained(path)
