"""The small language models: LFM2, short convolutions alternating with attention.

A convolution that sees a whole key makes "find the same phrase again and copy what follows" a
matter of one attention layer, which a plain transformer of this size learns much later.
"""

from dataclasses import dataclass

from transformers import Lfm2Config, Lfm2ForCausalLM, PreTrainedTokenizerFast, set_seed


@dataclass
class Architecture:
    """Sizes; `layers` is even, `width` a multiple of 4 heads."""

    width: int = 128
    layers: int = 4
    heads: int = 4
    convolution: int = 7
    context: int = 1024


def make_model(
    architecture: Architecture, tokenizer: PreTrainedTokenizerFast, seed: int
) -> Lfm2ForCausalLM:
    """A fresh model for a tokenizer, its weights drawn from `seed`."""
    kinds = ["conv", "full_attention"] * (architecture.layers // 2)
    set_seed(seed)
    return Lfm2ForCausalLM(
        Lfm2Config(
            vocab_size=len(tokenizer),
            hidden_size=architecture.width,
            num_hidden_layers=len(kinds),
            layer_types=kinds,
            num_attention_heads=architecture.heads,
            num_key_value_heads=architecture.heads,
            intermediate_size=3 * architecture.width,
            block_auto_adjust_ff_dim=False,
            conv_L_cache=architecture.convolution,
            max_position_embeddings=architecture.context,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
            initializer_range=0.04,
            tie_word_embeddings=True,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )
