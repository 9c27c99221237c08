"""The base agent's kind of tokenizer (stages/language/tokenizer.py) for a guest.

Its words are those of the guest's demonstrations, its protocol's marks are whole ordinary tokens,
and it has a chat template with tools: the common ChatML form, as short as it may be.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from stages import params
from stages.guests.retelling import Retelling
from stages.language.tokenizer import make_tokenizer, world_texts
from stages.rollout.protocol import AgentProtocol
from stages.teaching.demonstrations import demonstration

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

CHAT_TEMPLATE = Path(__file__).with_name("chat_template.jinja")
SAMPLES = 100  # demonstrations, for the words that only the guest's protocol has


def guest_tokenizer(
    guest: params.Guest, block: params.Protocol, hops: int = params.HOPS
) -> PreTrainedTokenizerFast:
    """A tokenizer that knows every word of a guest's demonstrations in the protocol of `block`,
    with questions of up to `hops`."""
    known = list(world_texts(hops=hops))
    draft = _with_marks(make_tokenizer(known), block.marks)
    return _with_marks(make_tokenizer([*known, *_texts(guest, block, draft, hops)]), block.marks)


def _with_marks(tokenizer: PreTrainedTokenizerFast, marks: list[str]) -> PreTrainedTokenizerFast:
    from tokenizers import AddedToken

    tokenizer.add_tokens([AddedToken(mark, special=False, normalized=False) for mark in marks])
    tokenizer.chat_template = CHAT_TEMPLATE.read_text(encoding="utf-8")
    return tokenizer


def _texts(
    guest, block: params.Protocol, draft: PreTrainedTokenizerFast, hops: int
) -> Iterator[str]:
    """What stands between the marks of retold demonstrations."""
    retell = Retelling(guest, AgentProtocol(block, guest.protocol), draft)
    marks = re.compile("|".join(map(re.escape, block.marks)) or r"(?!)")
    for seed in range(SAMPLES):
        for segment in retell(demonstration(seed, guest.doubt, hops)):
            yield from marks.split(segment.text)
