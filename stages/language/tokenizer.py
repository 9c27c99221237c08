"""A byte-level tokenizer that knows the words of every world as whole tokens.

It is a byte-level BPE without merges, whose vocabulary is every piece that the worlds' texts are
cut into, and the 256 bytes: a known word is one token, any other text falls to bytes, and
decoding gives back exactly what was encoded. The protocol's tags are ordinary added tokens, since
reward managers decode with special tokens skipped.
"""

from collections.abc import Iterable

from transformers import PreTrainedTokenizerFast

from stages.params import HOPS

PAD, BOS, EOS = "<|pad|>", "<|bos|>", "<|eos|>"
TAGS = ("think", "search", "information", "answer")
SPACED = ("name", "first_title", "city")  # classes whose words also begin a passage's title


def world_texts(samples: int = 400, hops: int = HOPS) -> Iterable[str]:
    """Texts that hold every piece the worlds and their prompts can produce, with questions of up
    to `hops`."""
    from stages.teaching.demonstrations import demonstration
    from stages.teaching.judgements import relevance_demonstration, sub_answer_demonstration
    from stages.teaching.scene import WORDS

    for kind, names in WORDS.items():
        for name in names:
            yield f" {name}"
            if kind in SPACED:
                yield name
    for number in range(101):
        yield f"{number} {number}"
    for seed in range(samples):
        for make in (demonstration, relevance_demonstration, sub_answer_demonstration):
            yield "".join(segment.text for segment in make(seed, hops=hops))


def make_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """A tokenizer whose vocabulary is the pieces of `texts`, the bytes and the tags."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    cut = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tags = [f"<{slash}{tag}>" for tag in TAGS for slash in ("", "/")]
    pieces = dict.fromkeys(sorted(pre_tokenizers.ByteLevel.alphabet()))
    for text in texts:
        for tag in tags:
            text = text.replace(tag, "\0")
        for part in text.split("\0"):
            pieces.update(dict.fromkeys(piece for piece, _ in cut.pre_tokenize_str(part)))
    vocabulary = {token: number for number, token in enumerate((PAD, BOS, EOS, *pieces))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], ignore_merges=True))
    tokenizer.pre_tokenizer = cut
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in (PAD, BOS, EOS)])
    tokenizer.add_tokens([AddedToken(tag, special=False, normalized=False) for tag in tags])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        padding_side="left",
        model_max_length=1024,
        clean_up_tokenization_spaces=False,
    )
