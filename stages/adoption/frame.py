"""Find the text that another program puts around the passages it shows."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

from stages import params
from stages.common.records import Passage
from stages.plumbing.errors import InputError
from stages.rollout import tool_calls
from stages.rollout.protocol import AgentProtocol

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Frame:
    """The frame around passages: `opening` and `closing` as the protocol writes them, and the marks
    nearest to the passages, which other programs write too.

    `heads` and `tails`: what may stand beyond the marks, such as the marks of a chat template's
    roles, which are lost where special tokens were skipped, or the end of the agent's turn; the
    longest first. `written`: marks that open what an agent writes. `special`: marks of a chat
    template, between which information may stand as another role's turn.
    """

    opening: str
    closing: str
    open_mark: str
    close_mark: str
    heads: tuple[str, ...]
    tails: tuple[str, ...]
    written: tuple[str, ...]
    special: tuple[str, ...]

    def around(self, content: str) -> str:
        """`content` in the protocol's frame. Where it stands in the marks, what lies beyond them is
        put around it alone: line breaks or a role's turn, which a message does not hold itself.
        """
        if self.open_mark not in content:
            return self.opening + content + self.closing
        before = self.opening[: self.opening.rindex(self.open_mark)]
        _, _, after = self.closing.partition(self.close_mark)
        return before + content.strip() + after

    def with_roles(self, shown: str) -> str:
        """`shown` with the special tokens that the frame has around its marks, where the log has
        skipped them: without them an agent would read another conversation.
        """
        opened, closed = shown.find(self.open_mark), shown.rfind(self.close_mark)
        told = not any(mark in self.opening for mark in self.special) or any(
            mark in shown for mark in self.special
        )
        if told or opened < 0 or closed < opened:
            return shown
        return self.around(shown[opened : closed + len(self.close_mark)])

    def contents(self, shown: str) -> list[str]:
        """What stands between the marks in `shown`, of which there may be several pairs."""
        found = re.escape(self.open_mark) + "(.*?)" + re.escape(self.close_mark)
        return re.findall(found, shown, re.DOTALL)


def frame_of(
    protocol: AgentProtocol,
    block: params.Protocol,
    tokenizer: PreTrainedTokenizerBase | None = None,
) -> Frame:
    """The frame of `protocol`, which was made from `block`; without a `tool` it needs no tokenizer.
    InputError if it puts no mark.
    """
    empty = protocol.information([], tokenizer)
    filled = protocol.information([Passage("0", "title", "text")], tokenizer)
    alike = takewhile(lambda pair: pair[0] == pair[1], zip(empty, filled, strict=False))
    opening = "".join(sign for sign, _ in alike)
    closing = empty[len(opening) :]
    if not opening.strip() or not closing.strip():
        raise InputError("the protocol's 'information' puts no mark before or after passages")
    known = [*block.marks, *(f"<{slash}{tag}>" for tag in block.tags for slash in ("", "/"))]
    special = tool_calls.special_marks(tokenizer) if tokenizer else []
    known = [mark for mark in known if mark not in special]
    begin, end = _nearest(known, opening, last=True), _nearest(known, closing, last=False)
    begin, end = begin or opening.strip(), end or closing.strip()
    return Frame(
        opening,
        closing,
        begin,
        end,
        (*_variants(opening[: opening.rindex(begin)], special), *special),
        _variants(closing[closing.index(end) + len(end) :], special),
        tuple(m for m in known if m not in (begin, end, *block.stop) and not m.startswith("</")),
        tuple(special),
    )


def _nearest(known: list[str], text: str, *, last: bool) -> str:
    """The last (or first) of the `known` marks in `text`, or nothing."""
    places = [(text.rfind(mark) if last else text.find(mark), mark) for mark in known]
    places = [place for place in places if place[0] >= 0]
    if not places:
        return ""
    return (max if last else min)(places)[1]


def _variants(text: str, special: list[str]) -> tuple[str, ...]:
    plain = re.sub("|".join(map(re.escape, special)) or r"(?!)", "", text)
    return tuple(dict.fromkeys(part.strip() for part in (text, plain) if part.strip()))
