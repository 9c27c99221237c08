"""Where a prompt ends and which question it asks, in the conversations of other programs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from stages import params
from stages.adoption.frame import Frame
from stages.rollout.protocol import AgentProtocol

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Where an agent's turn begins in the chat templates that are in use.
AGENT_TURN = re.compile(
    r"<\|im_start\|>assistant|<\|start_header_id\|>assistant<\|end_header_id\|>|\[/INST\]"
    r"|<start_of_turn>model|<\|assistant\|>|<｜Assistant｜>"
)
# The same where special tokens were skipped: the role alone is left, on a line before any tag.
_ROLE = re.compile(r"\A[^<]*?^[ \t]*(?:assistant|model)[ \t]*\n", re.MULTILINE)
_BEGUN = re.compile(rf"(?:{AGENT_TURN.pattern}|^[ \t]*(?:assistant|model))\s*\Z", re.MULTILINE)
# What tokenizers put before a text by themselves.
BEGINNING = re.compile(r"<\|begin_of_text\|>|<s>|<bos>|<｜begin▁of▁sentence｜>")
# What opens a conversation, where a response holds it whole.
_OPENED = re.compile(
    rf"\s*(?:{BEGINNING.pattern})?\s*(?:<\|im_start\|>\s*(?:system|user)\b"
    r"|<\|start_header_id\|>(?:system|user)<\|end_header_id\|>|\[INST\]|<start_of_turn>user"
    r"|<\|(?:system|user)\|>|<｜User｜>|(?:system|user)[ \t]*\n)"
)
# What ends a question that stands in a prompt, over several lines perhaps.
_ENDED = re.compile(
    r"<\|\w+\|>|</s>|\[/INST\]|<end_of_turn>|<｜|(?<=\?)[ \t]*\n|\n[ \t]*\n"
    r"|\n[ \t]*(?:assistant|model)[ \t]*(?:\n|\Z)"
)
_SIGNS = r"[^\w\s<\[]*"  # a program may put a question mark after its question
_ASKED = "what-is-asked"  # stands for a question in a prompt


def without_prompt(response: str, prompt: object) -> str:
    """A response without the prompt of its row, which some programs log in front of it."""
    return response.removeprefix(prompt) if isinstance(prompt, str) else response


class PromptReader:
    """Finds a question in a prompt, and where a prompt ends; knows the agent's own prompt."""

    def __init__(
        self,
        protocol: AgentProtocol,
        block: params.Protocol,
        frame: Frame,
        tokenizer: PreTrainedTokenizerBase,
    ):
        own = tokenizer.decode(protocol.prompt_ids(_ASKED, tokenizer))
        self._head, _, self._tail = own.partition(_ASKED)
        before = block.prompt.partition("{question}")[0].split()
        self._word = before[-1] if before else "Question:"
        stops = "|".join(re.escape(stop) for stop in protocol.stop if stop.strip()) or r"(?!)"
        self._shown = re.compile(rf"(?:{stops})\s*{re.escape(frame.open_mark)}")

    def question(self, prompt: str) -> str:
        """The question of a prompt: what follows the word that the agent's own prompt has before
        it, up to the paragraph's or the turn's end. Empty if there is none.
        """
        if prompt.startswith(self._head) and prompt.endswith(self._tail) and self._tail:
            return prompt[len(self._head) : -len(self._tail)].strip()
        _, found, after = prompt.rpartition(self._word)
        return _ENDED.split(after.lstrip(), maxsplit=1)[0].strip() if found else ""

    def cut(self, text: str, question: str) -> str:
        """A response without the prompt, for programs that log the conversation as one."""
        own = self._head.strip() and text.startswith(self._head)
        after = self.response(text, question) if own or _OPENED.match(text) else None
        if after is None or not (own or _BEGUN.search(text[: len(text) - len(after)])):
            return text
        return after

    def response(self, text: str, question: str) -> str | None:
        """What follows the prompt in a whole conversation. None if the question is not in it."""
        end = self._end(text, question)
        if end is None:
            return None
        after = text[end:]
        if self._tail.strip() and after.startswith(self._tail):
            return after[len(self._tail) :]
        begun = AGENT_TURN.search(after) or _ROLE.match(after)
        return (after[begun.end() :] if begun else after).lstrip()

    def _end(self, text: str, question: str) -> int | None:
        """Where the question ends that is asked. Examples before it may ask it too, so it is the
        last one of its form before the agent's turn begins or anything was found.
        """
        question = question.strip()
        if text.startswith(self._head + question):
            return len(self._head + question)
        word = re.escape(self._word)
        form = re.compile(rf"{word}\s*{re.escape(question)}{_SIGNS}[ \t]*(?=\n|<[|｜/]|\[/|\Z)")
        first = form.search(text) or re.search(re.escape(question) + _SIGNS, text)
        if first is None:
            return None
        bounds = (AGENT_TURN.search(text, first.end()), self._shown.search(text, first.end()))
        limit = min((bound.start() for bound in bounds if bound), default=len(text))
        return max((match.end() for match in form.finditer(text, 0, limit)), default=first.end())
