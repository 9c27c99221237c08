"""What the published agent reads, written out by hand from the facts in docs/published.md.

A tokenizer of Qwen's kind, in which `>` and two line breaks are one token, and two conversations in
each frame. Nothing here asks the code how a frame looks.
"""

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from stages.common.records import Passage

QUESTION = "Who was president when Citibank was founded?"
PASSAGES = [
    Passage("0", "Citibank", "resulting in a net profit. "),
    Passage("1", '"First Bank of the United States"', 'the nation\'s ""de facto"" central bank'),
    Passage("2", "Uranus", " the outer rings "),
]
TEMPLATE = """\
<|im_start|>system
You are a helpful assistant.<|im_end|>
{% for m in messages %}<|im_start|>{{ m.role }}
{{ m.content }}<|im_end|>
{% endfor %}{{ "<|im_start|>assistant\n" }}"""
# As Qwen2.5 cuts text: signs take the line breaks after them.
QWEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)

DOCUMENTS = (  # the first lines as they stand, blanks of a text too
    "Doc 1(Title: Citibank) resulting in a net profit. \n"
    'Doc 2(Title: "First Bank of the United States") the nation\'s ""de facto"" central bank\n'
    "Doc 3(Title: Uranus)  the outer rings "
)
TRAINING = f"\n\n<information>{DOCUMENTS.rstrip()}</information>\n\n"
EVALUATION = f"\n\n<information>\n{DOCUMENTS}\n\n</information>\n\n"


def prompt_of(words: str) -> str:
    """The whole prompt around what the user is told, which ends in a line break."""
    return (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        f"<|im_start|>user\n{words} Question: {QUESTION}\n<|im_end|>\n<|im_start|>assistant\n"
    )


def make_qwen_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level; every letter, and `>` with the line breaks after it, is a token."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    crossing = [  # byte-level: a line break is \u010a, a carriage return \u010d
        ">\u010a\u010a",
        ">\u010a\u010a\u010a",
        ">\u010d\u010a",
        "\u010a\u010a",
        "ing.\u0120\u010a",
    ]
    names = ["<|endoftext|>", *letters, *crossing]
    vocabulary = {token: number for number, token in enumerate(names)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    marks = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer.add_special_tokens([AddedToken(mark, special=True) for mark in marks])
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<|endoftext|>", eos_token="<|im_end|>"
    )
    made.chat_template = TEMPLATE
    return made


class Writer:
    """Writes what it is told, turn by turn, and keeps what it read before each."""

    window = 100_000

    def __init__(self, turns: list[str]):
        self.tokenizer, self.turns, self.read = make_qwen_tokenizer(), iter(turns), []

    def generate(self, prompts, **settings):
        self.read += [list(prompt) for prompt in prompts]
        return [self.tokenizer.encode(next(self.turns), add_special_tokens=False) for _ in prompts]
