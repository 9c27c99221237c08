"""Cut the thoughts off a judge's reply before it is parsed.

Thoughts stand between tags, written as

    <think> ... </think>                        any of NAMES, in any case, with blanks or attributes
    [THINK] ... [/THINK], ◁think▷ ... ◁/think▷  other brackets
    <|begin_of_thought|> ... <|end_of_thought|>, <|START_THINKING|> ... <|END_THINKING|>
    <|channel|>analysis ... <|channel|>final    channels, with their marks or, where a server has
                                                dropped those, `analysis... assistantfinal...`
    <|channel>thought ... <channel|>, <unused94>thought ... <unused95>
    <|inner_prefix|> ... <|inner_suffix|>
    Here is my thought process: ... Here is my response:    as lines of their own
    Thinking... ... ...done thinking.                       as lines of their own
    <|thinking_start|> ... <|thinking_end|>

The name in a closing tag need not be that of the opening one. Three rules:

- Closed: what stands between the tags is cut. A tag inside a thought opens another one, and the
  thought ends when all are closed: a reply that is in doubt is malformed, never misread.
- Unclosed (the thought ran into the token limit): all from the opening tag on is cut.
- Closed and never opened (the chat template wrote the opening tag): all before it is cut.

A reply without tags whose first line is the heading `Thinking` or `**Thoughts:**` and no more is
thought up to the last heading such as `**Answer:**` or `Grades`, or to its end.
"""

from __future__ import annotations

import re

NAMES = (
    "antthinking|chain_of_thought|cot|deliberation|(?:inner|internal)_(?:monologue|thoughts?)"
    "|monologue|(?:thinking|thought|reasoning)_process|reasoning_content|rationale|reasoning|reason"
    "|reflection|scratchpad|analysis|thinking|think|thoughts?"
)
_TAG = re.compile(
    rf"<[ \t]{{0,3}}(?P<closes>/?)[ \t]{{0,3}}\|?(?P<bars>/?)(?:[a-z]{{1,12}}:)?(?:{NAMES})\|?"
    r"(?:\s[^<>]{0,80})?>"
    r"|[\[◁](?P<shuts>/?)think(?:ing)?[\]▷]"
    r"|<\|(?:(?P<end>end)|begin|start)_?(?:of_?)?(?:thinking|thought|think|reasoning)\|>"
    r"|<\|(?:thinking|thought|think|reasoning)_(?:(?P<ends>end)|begin|start)\|>"
    r"|(?P<final>(?:<\|start\|>)?(?:assistant)?<\|channel\|>final(?:<\|message\|>)?|assistantfinal)"
    r"|<\|channel\|>(?:analysis|commentary)|(?-i:\Aanalysis(?=[A-Z]))"
    r"|(?P<over><channel\|>|<unused95>|<\|inner_suffix\|>|^[ \t]{0,3}here(?:'s| is) my response:"
    r"|^[ \t]{0,3}\.{3}done thinking\.)"
    r"|<\|channel>thought|<unused94>(?:thought)?|<\|inner_prefix\|>"
    r"|^[ \t]{0,3}here(?:'s| is) my thought process:|\A\s{0,9}thinking\.\.\.[ \t]{0,3}$",
    re.IGNORECASE | re.MULTILINE,
)
_HEADED = re.compile(
    r"\s{0,9}[*_#]{0,6}[ \t]?(?:thinking|thoughts?|thought process|chain[ -]of[ -]thought)"
    r"[:*_# \t]{0,6}\r?\n",
    re.IGNORECASE,
)
_ANSWERS = re.compile(
    r"^[ \t*_#]{0,9}(?:(?:my|the|final) ){0,2}(?:answers?|response|reply|output|results?|grades?"
    r"|scores?|ratings?)[ \t:*_#]{0,9}$",
    re.IGNORECASE | re.MULTILINE,
)
OPENING = "<think>"


def without_reasoning(reply: str) -> str:
    """The reply without its thoughts: see the three rules above."""
    if (headed := _HEADED.match(reply)) and not _TAG.search(reply):
        ends = [found.end() for found in _ANSWERS.finditer(reply, headed.end())]
        return reply[ends[-1] :] if ends else ""
    kept: list[str] = []
    depth = start = 0
    for tag in _TAG.finditer(reply):
        if tag["final"]:
            kept, depth = [], 0
        elif _closes(tag):
            kept, depth = ([], 0) if not depth else (kept, depth - 1)
        else:
            kept += [reply[start : tag.start()]] if not depth else []
            depth += 1
        start = tag.end()
    return "".join(kept) + (reply[start:] if not depth else "")


def _closes(tag: re.Match) -> bool:
    return any(tag[name] for name in ("closes", "bars", "shuts", "end", "ends", "over"))


def is_mark(token: str) -> bool:
    """Whether a special token of a tokenizer is (a part of) such a tag, so it must not be lost."""
    return bool(_TAG.fullmatch(token)) or token in ("<|channel|>", "<|message|>", "<|start|>")


def opens(prompt: str) -> bool:
    """Whether a prompt ends inside a thought, so that the reply begins there."""
    return bool(prompt) and not without_reasoning(prompt + "x").endswith("x")


def opened(reply: str, prompt: str) -> str:
    """The reply with the opening tag that the end of its `prompt` wrote for it, if it did."""
    first = _TAG.match(reply.lstrip())
    again = first and not (_closes(first) or first["final"])
    return OPENING + reply if opens(prompt) and not again else reply
