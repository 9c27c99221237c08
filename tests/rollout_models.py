"""Tiny tokenizers, language models and agents made on the spot for tests of rollouts."""

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    Lfm2Config,
    Lfm2ForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    set_seed,
)

TAGS = [
    f"<{slash}{tag}>" for tag in ("think", "search", "information", "answer") for slash in ("", "/")
]
WORDS = "Question who directed where was born in city film find the film works as of ? Ana Bo Oz Ur"
DIALOGUES = [  # question, query, gold answer
    (f"who directed film {film}?", f"film {film}", name)
    for film, name in zip(("Alpha", "Beta", "Gamma", "Delta"), ("Ana", "Bo", "Oz", "Ur"))
]

# The form of Qwen2.5's and Hermes's chat templates: tools in the system message, calls in
# <tool_call>, results as a user's <tool_response>.
CHAT_TEMPLATE = """\
{%- if tools %}<|im_start|>system
Tools, to be called within <tool_call></tool_call>:
<tools>{% for tool in tools %}
{{ tool | tojson }}{% endfor %}
</tools>
<tool_call>
{"name": <name>, "arguments": <arguments>}
</tool_call><|im_end|>
{% endif %}
{%- for message in messages %}
{%- if message.role == "tool" %}<|im_start|>user
<tool_response>
{{ message.content }}
</tool_response><|im_end|>
{% else %}<|im_start|>{{ message.role }}
{{ message.content }}
{%- for call in message.tool_calls or [] %}
<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>
{%- endfor %}<|im_end|>
{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


def make_chat_tokenizer(template: str = CHAT_TEMPLATE) -> PreTrainedTokenizerFast:
    """`make_tokenizer` with a chat template, its role marks special and its other marks not."""
    tokenizer = make_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    marks = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
    tokenizer.add_tokens([AddedToken(mark, special=False, normalized=False) for mark in marks])
    tokenizer.chat_template = template
    return tokenizer


def make_tokenizer(*, one_token_tags: bool = True) -> PreTrainedTokenizerFast:
    """Byte-level: every word of the dialogues is a token, anything else falls to bytes."""
    cut = pre_tokenizers.ByteLevel(add_prefix_space=False)
    text = " ".join([WORDS, *(" ".join(d) for d in DIALOGUES)])
    pieces = [piece for word in text.split() for piece in (word, " " + word, "\n")]
    words = sorted({piece for word in pieces for piece, _ in cut.pre_tokenize_str(word)})
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {t: n for n, t in enumerate(dict.fromkeys(["<pad>", "<eos>", *letters, *words]))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], ignore_merges=True))
    tokenizer.pre_tokenizer, tokenizer.decoder = cut, decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, special=True) for t in ("<pad>", "<eos>")])
    if one_token_tags:
        tokenizer.add_tokens([AddedToken(tag, special=False, normalized=False) for tag in TAGS])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", padding_side="left"
    )


def make_model(
    kind: str,
    tokenizer: PreTrainedTokenizerFast,
    context: int = 256,
    width: int = 32,
    tied: bool = True,
):
    """A fresh LFM2 or Qwen2 of two layers with lively weights."""
    set_seed(0)
    sizes = {
        "vocab_size": len(tokenizer),
        "hidden_size": width,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": context,
        "tie_word_embeddings": tied,
        "initializer_range": 0.3,
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": None,
    }
    if kind == "qwen2":
        return Qwen2ForCausalLM(Qwen2Config(**sizes)).eval()
    return Lfm2ForCausalLM(
        Lfm2Config(**sizes, layer_types=["conv", "full_attention"], block_auto_adjust_ff_dim=False)
    ).eval()


def save(model, tokenizer, folder):
    """One folder with both, as a stage writes it."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def train_agent(folder, protocol):
    """An LFM2 that has learned the dialogues by heart: searches once, then answers (5 seconds)."""
    tokenizer = make_tokenizer()
    model = make_model("lfm2", tokenizer).train()
    rows = []
    for question, query, answer in DIALOGUES:
        ids = protocol.prompt_ids(question, tokenizer)
        shown = f"\n<information>\n{query} of {answer}\n</information>\n"
        for text, own in (
            (f"<think> find </think> <search> {query} </search>", True),
            (shown, False),
            (f"<think> {query} </think> <answer> {answer} </answer>", True),
        ):
            piece = tokenizer.encode(text, add_special_tokens=False)
            rows.append((ids, piece)) if own else None
            ids = ids + piece
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    width = max(len(before) + len(own) for before, own in rows)
    ids = torch.full((len(rows), width), tokenizer.pad_token_id)
    labels = torch.full((len(rows), width), -100)
    for row, (before, own) in enumerate(rows):
        end = len(before) + len(own)
        ids[row, :end] = torch.tensor(before + own)
        labels[row, len(before) : end] = torch.tensor(own)
    for _ in range(150):
        loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return save(model.eval(), tokenizer, folder)
