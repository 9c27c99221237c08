"""Models for the checks: made from scratch, since there may be no network."""

from __future__ import annotations

from pathlib import Path

TOKENIZER = Path("models/agent/0")  # the base agent's, kept in git
# Of Qwen2.5-1.5B, but for the vocabulary, which is the tokenizer's own unless the scale is wanted.
SHAPE = {
    "hidden_size": 1536,
    "intermediate_size": 8960,
    "num_hidden_layers": 28,
    "num_attention_heads": 12,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32768,
    "tie_word_embeddings": True,
}
SMALL = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "tie_word_embeddings": False,  # as Qwen2.5-7B
}
VOCABULARY = 151_936  # Qwen2.5-1.5B's


def write_qwen(folder: Path, shape: dict, *, vocabulary: int | None = None, dtype="float32"):
    """A Qwen2 of `shape` with random weights and the base agent's tokenizer, in `folder`."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from stages.engines.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(TOKENIZER)
    torch.manual_seed(0)
    config = Qwen2Config(
        **shape,
        vocab_size=vocabulary or -(-len(tokenizer) // 64) * 64,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = Qwen2ForCausalLM(config).to(getattr(torch, dtype))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def random_prompts(folder: Path, count: int, longest: int) -> list[list[int]]:
    """`count` prompts of random tokens, of 8 to `longest` each."""
    import numpy as np

    from stages.engines.tokenizer import load_tokenizer

    draw, size = np.random.default_rng(0), len(load_tokenizer(folder))
    lengths = draw.integers(8, longest, count, endpoint=True)
    return [draw.integers(0, size, length).tolist() for length in lengths]
