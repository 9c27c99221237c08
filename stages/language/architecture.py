"""The small language models: LFM2, short convolutions alternating with attention.

Reading is finding the same phrase again and copying what follows it. Models of this size find
that out late, after thousands of steps, so they start out near it (`start_near_recall`): each
convolution sums up the last tokens twice, half of its channels one token later than the other
half, and the attention after it compares the one with the other. A token that follows "Soman was
born in" is then found from another "Soman was born in" before any training; the rest is learned.
"""

from dataclasses import dataclass

import torch
from transformers import Lfm2Config, Lfm2ForCausalLM, PreTrainedTokenizerFast

from stages.common.linear import make_portable
from stages.params import HEADS

EMBEDDING = 0.15  # standard deviation
CONSTANT = 3.0  # of one channel of all embeddings, in standard deviations
GATE = 0.35  # weight of that channel in the convolutions' gates: they start open
TAP = 0.4  # standard deviation of a convolution's weights
SUMMARY = 0.35  # of the convolution's output, beside the embeddings
SHARPNESS = 3.0  # of attention: weights of the norms of queries and keys
COPY = 0.36  # of what attention brings


@dataclass
class Architecture:
    """Sizes; `layers` is even, `width` a multiple of `heads`."""

    width: int = 128
    layers: int = 4
    heads: int = HEADS
    convolution: int = 7
    context: int = 1024


def make_model(
    architecture: Architecture, tokenizer: PreTrainedTokenizerFast, seed: int
) -> Lfm2ForCausalLM:
    """A fresh model for a tokenizer, its weights drawn from `seed`."""
    kinds = ["conv", "full_attention"] * (architecture.layers // 2)
    torch.manual_seed(seed)
    model = Lfm2ForCausalLM(
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
            rope_parameters={"rope_type": "default", "rope_theta": 1e6},
            initializer_range=0.04,
            tie_word_embeddings=True,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )
    start_near_recall(model)
    return make_portable(model)


@torch.no_grad()
def start_near_recall(model: Lfm2ForCausalLM) -> None:
    """Set the weights from which reading is soon learned; draws from torch's generator."""
    embeddings = model.model.embed_tokens.weight  # (vocabulary, width)
    embeddings.normal_(0, EMBEDDING)
    embeddings[:, 0] = CONSTANT * EMBEDDING
    layers = list(model.model.layers)
    for convolution, attention in zip(layers[::2], layers[1::2], strict=True):
        _compare(_sum_up_twice(convolution.conv), attention.self_attn)


def _sum_up_twice(layer) -> torch.Tensor:
    """Set a convolution; returns the directions (width, width) that its channels write to."""
    width = layer.out_proj.weight.shape[0]
    half, length = width // 2, layer.conv.weight.shape[-1]
    gates, values = layer.in_proj.weight.split([2 * width, width])  # rows: B and C, then x
    gates[:, 0] = GATE
    seen = torch.randn(half, width) / width**0.5
    seen[:, 0] = 0
    values[:half], values[half:] = seen, seen
    taps = torch.randn(half, length - 1) * TAP
    kernel = layer.conv.weight[:, 0]  # (width, length), the last column is the current token
    kernel.zero_()
    kernel[:half, 1:], kernel[half:, :-1] = taps, taps
    directions = _orthogonal(width)
    layer.out_proj.weight.copy_(SUMMARY * directions)
    return directions


def _compare(directions: torch.Tensor, layer) -> None:
    """Set attention to look for the same summary, one token later, and to copy from there."""
    half = directions.shape[0] // 2
    mixed = torch.cat([_orthogonal(half), _orthogonal(half)])  # (width, half)
    layer.q_proj.weight.copy_(mixed @ directions[:, :half].T)
    layer.k_proj.weight.copy_(mixed @ directions[:, half:].T)
    for norm in (layer.q_layernorm, layer.k_layernorm):
        norm.weight.fill_(SHARPNESS)
    copied = _orthogonal(2 * half)
    layer.v_proj.weight.copy_(copied)
    layer.out_proj.weight.copy_(COPY * copied.T)


def _orthogonal(size: int) -> torch.Tensor:
    return torch.linalg.qr(torch.randn(size, size))[0]
