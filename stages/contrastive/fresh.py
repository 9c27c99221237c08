"""A small BERT encoder made from scratch, with a WordPiece vocabulary made for its corpus.

The vocabulary holds every word of the given texts whole and single characters for all others, so
a name is one token and an unknown word still reads as something of its own.
"""

from __future__ import annotations

import re
import string
import tempfile
from collections.abc import Iterable

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_WORD = re.compile(r"\w+")


def vocabulary(texts: Iterable[str]) -> list[str]:
    """Tokens in id order: special ones, characters at and after a word's start, words sorted."""
    words = {word for text in texts for word in _WORD.findall(text.lower())}
    letters = sorted(set(string.ascii_lowercase + string.digits).union(*words))
    marks = sorted(string.punctuation)
    tokens = [*SPECIAL, *marks, *letters, *(f"##{letter}" for letter in letters), *sorted(words)]
    return list(dict.fromkeys(tokens))


def fresh_encoder(
    tokens: list[str], *, layers: int, width: int, heads: int, max_length: int, seed: int
):
    """A SentenceTransformer of random weights: BERT, mean pooling, unit vectors.

    The feed-forward width is twice `width`, dropout is off (the training data is noised instead),
    and a text is cut at `max_length` tokens.
    """
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Normalize, Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizer
    from transformers.utils.logging import disable_progress_bar

    from stages.common.linear import make_portable

    disable_progress_bar()
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(tokens),
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=2 * width,
        max_position_embeddings=max_length,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=0,
    )
    tokenizer = BertTokenizer(
        vocab={token: place for place, token in enumerate(tokens)}, model_max_length=max_length
    )
    with tempfile.TemporaryDirectory() as folder:
        BertModel(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        transformer = Transformer(folder, max_seq_length=max_length)
    pooling = Pooling(width, pooling_mode="mean")
    return make_portable(
        SentenceTransformer(modules=[transformer, pooling, Normalize()], device="cpu")
    )
