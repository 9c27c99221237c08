"""Read a logged chat (messages and tool calls) as the turns of one protocol.

A turn here has one search. Calls made at once become turns one after the other, each with its own
result, whatever the order in which results came. Nothing is dropped without being counted.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from itertools import takewhile
from typing import TYPE_CHECKING

from stages import params
from stages.adoption.frame import Frame
from stages.adoption.reader import LATE, REFUSED, UNANSWERED, Piece, Reader
from stages.adoption.writer import Writer
from stages.rollout import tool_calls

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

AGENT = "assistant"
PROMPT = ("system", "developer", "user")
RESULT = ("tool", "function", "ipython", "observation", "environment")
THOUGHTS = ("reasoning_content", "reasoning", "thinking")  # keys of a message
UNASKED = "messages that follow no invalid action"
NO_OBJECT = "messages that are no objects"
NO_ROLE = "messages without a role"
NO_TEXT = "parts of messages that are no text"
NO_QUERY = "calls without a query of text"
NO_CALLS = "calls of tools in a form that cannot be read"
NO_CALL = "results that belong to no call"
UNWRITABLE = "calls whose query the protocol cannot write"
NAMING = "thoughts left out that read as an action"
OTHER_TOOL = "calls of the other tool"
OTHER = "words left out before a call that read as another action"
EXAMPLES = "turns of examples left out before the question"
CLOSED = "closing marks put back, at which a server had cut the text"
Waiting = dict[str, list[int | None]]  # the calls of an id: their pieces; None: of another tool


class Conversation:
    """Reads one list of messages after the other into the protocol of `block`, which is the
    reader's; `tool` is the name of the search in them.
    """

    def __init__(
        self,
        reader: Reader,
        frame: Frame,
        block: params.Protocol,
        tool: str,
        tokenizer: PreTrainedTokenizerBase,
    ):
        self._reader, self._frame, self._block, self._tool = reader, frame, block, tool
        self._writer = Writer(reader.protocol, block)
        self._tokenizer = tokenizer

    def pieces(self, messages: list, counts: Counter, question: str) -> list[Piece]:
        """The pieces of a conversation about `question` up to its answer; what is odd is counted by
        reason."""
        pieces: list[Piece] = []
        waiting: Waiting = {}
        closed = counts[CLOSED]
        for message in self._asked(messages, question, counts):
            role = _role(message, counts)
            if role is None or (role in PROMPT and not pieces):
                continue
            if pieces and pieces[-1].action.kind == "answer":
                counts[LATE] += 1
            elif role == AGENT:
                self._agent(message, pieces, waiting, counts)
            elif role in RESULT:
                self._result(message, pieces, waiting, counts)
            elif role in PROMPT:
                self._user(_text(message.get("content"), counts), pieces, counts)
            else:
                counts[f"messages of the unknown role '{role[:40]}'"] += 1
        if counts[CLOSED] > closed:
            self._close("answer", pieces, counts)
        counts[UNANSWERED] += sum(not p.found and p.action.kind == "search" for p in pieces)
        return pieces

    def _asked(self, messages: list, question: str, counts: Counter) -> list:
        """The messages from the one that asks the question on: a prompt may hold turns of examples
        before it. All of them if none asks it in these words."""
        sought, unsaid = " ".join(question.split()), Counter()
        for number, message in enumerate(messages):
            if _role(message, unsaid) in PROMPT:
                content = _text(message.get("content"), unsaid)
                if sought in " ".join(content.split()) and not self._opens(content):
                    before = messages[:number]
                    counts[EXAMPLES] += sum(_role(told, unsaid) == AGENT for told in before)
                    return messages[number:]
        return messages

    def _agent(self, message: dict, pieces: list[Piece], waiting: Waiting, counts: Counter) -> None:
        words = _text(message.get("content"), counts) or _text(message.get("refusal"), counts)
        thoughts = (message.get(key) for key in THOUGHTS)
        thought = next((text for text in thoughts if isinstance(text, str) and text.strip()), None)
        if thought is not None and thought.strip() not in _thoughts(words):
            told = f"<think>{thought}</think>\n"
            named = self._reader.protocol.parse(told).kind != "invalid"
            counts[NAMING] += named  # nobody acted upon it
            words = words if named else told + words
        calls = [_call(call) for call in _calls(message, counts)]
        turns = [Piece(*turn) for turn in self._reader.turns(words)]
        written = [place for place, turn in enumerate(turns) if turn.action.kind == "search"]
        asked = [query for _, name, query in calls if query and name == self._tool]
        if not calls:
            pieces += turns
            return
        if asked and asked == [turns[place].action.value for place in written]:
            self._told_twice(calls, [len(pieces) + place for place in written], waiting)
            pieces += turns
            return
        for number, (identifier, name, query) in enumerate(calls):
            key = identifier or f"call {len(pieces)}.{number}"
            text = self._search(words, query, counts) if query and name == self._tool else None
            waiting.setdefault(key, []).append(None if text is None else len(pieces))
            if text is not None:
                pieces.append(Piece(text, self._reader.protocol.parse(text)))
                words, turns = "", []
            elif name != self._tool:
                counts[f"{OTHER_TOOL} '{str(name)[:40]}'"] += 1
            else:
                counts[UNWRITABLE if query else NO_QUERY] += 1
        pieces += turns

    def _told_twice(self, calls: list, places: list[int], waiting: Waiting) -> None:
        """Calls that stand in the words too, in the same order: `places` are those pieces."""
        following = iter(places)
        for number, (identifier, name, query) in enumerate(calls):
            place = next(following) if query and name == self._tool else None
            waiting.setdefault(identifier or f"call {places[0]}.{number}", []).append(place)

    def _search(self, words: str, query: str, counts: Counter) -> str | None:
        """The words and the call after them; the call alone where the words read as an action that
        was not taken."""
        text = self._writer.search(words, query)
        if text is None and (text := self._writer.search("", query)) is not None:
            counts[OTHER] += 1
        return text

    def _result(
        self, message: dict, pieces: list[Piece], waiting: Waiting, counts: Counter
    ) -> None:
        content = _text(message.get("content"), counts)
        told = [_identifier(message.get(name)) for name in ("tool_call_id", "call_id", "id")]
        key = next((key for key in told if key in waiting), told[0])
        if key is None:
            key = next(iter(waiting), None)
        if key is None:
            self._close("search", pieces, counts)
        if key not in waiting:
            if key is None and pieces and _asks(pieces[-1]):
                self._show(len(pieces) - 1, content, pieces)
            else:
                counts[NO_CALL] += 1
            return
        place = waiting[key].pop(0)  # calls of one id are answered in their order
        if not waiting[key]:
            del waiting[key]
        if place is not None:
            self._show(place, content, pieces)

    def _user(self, content: str, pieces: list[Piece], counts: Counter) -> None:
        """What a user says after the agent's turn: what its search found, or a refusal."""
        if self._opens(content):
            self._close("search", pieces, counts)
        if _asks(pieces[-1]):
            asked = [*takewhile(lambda place: _asks(pieces[place]), range(len(pieces) - 1, -1, -1))]
            shown = self._frame.contents(content)
            if len(asked) == 1 or len(shown) != len(asked):
                asked, shown = asked[:1], [content]
            for place, found in zip(asked, reversed(shown), strict=True):
                self._show(place, found if len(asked) == 1 else found.strip(), pieces)
        else:
            last = pieces[-1]
            counts[REFUSED if last.action.kind == "invalid" else UNASKED] += 1
            told = f"\n{content}\n"
            if self._block.tool is not None:
                told = tool_calls.after_text(content, self._block.tool, self._tokenizer)
            pieces[-1] = replace(last, information=last.information + told)

    def _opens(self, content: str) -> bool:
        """Whether a message shows what was found; one that only names the marks does not."""
        return content.lstrip().startswith(self._frame.open_mark)

    def _close(self, kind: str, pieces: list[Piece], counts: Counter) -> None:
        """Close the action that the last turn leaves open: a server that stops at a mark leaves the
        mark out of its reply. Where something was found, it was a search."""
        last = pieces[-1] if pieces else None
        if last is None or last.action.kind != "invalid" or last.information:
            return
        for stop in self._reader.protocol.stop:
            action = self._reader.protocol.parse(last.text + stop)
            if action.kind == kind:
                pieces[-1] = replace(last, text=last.text + stop, action=action)
                counts[CLOSED] += 1
                return

    def _show(self, place: int, content: str, pieces: list[Piece]) -> None:
        shown = self._frame.around(content)
        pieces[place] = replace(pieces[place], information=shown, found=True)


def names_tool(reason: str) -> bool:
    """Whether a reason names a tool that may be the search under another name."""
    return reason.startswith(OTHER_TOOL)


def _asks(piece: Piece) -> bool:
    return piece.action.kind == "search" and not piece.found


def _role(message: object, counts: Counter) -> str | None:
    if not isinstance(message, dict):
        counts[NO_OBJECT] += 1
        return None
    role = message.get("role")
    if not isinstance(role, str) or not role.strip():
        counts[NO_ROLE] += 1
        return None
    return role.strip().lower()


def _text(content: object, counts: Counter) -> str:
    """The text of a message: a text, or the texts among its parts."""
    if content is None or isinstance(content, str):
        return content or ""
    parts = content if isinstance(content, list) else [content]
    texts = [part.get("text") if isinstance(part, dict) else part for part in parts]
    counts[NO_TEXT] += sum(not isinstance(text, str) for text in texts)
    return "".join(text for text in texts if isinstance(text, str))


def _thoughts(words: str) -> list[str]:
    return [thought.strip() for thought in re.findall(r"<think>(.*?)</think>", words, re.DOTALL)]


def _calls(message: dict, counts: Counter) -> list:
    """The calls of a message: a list, or one of them alone, as objects or as JSON text."""
    calls = message.get("function_call")
    calls = {"function": calls} if isinstance(calls, dict) else message.get("tool_calls")
    calls = _parsed(calls)
    if isinstance(calls, dict):
        return [calls]
    counts[NO_CALLS] += not isinstance(calls, list | type(None)) and calls != ""
    return calls if isinstance(calls, list) else []


def _parsed(value: object) -> object:
    """What a JSON text holds, and what a JSON text in it holds; the value itself if it is none."""
    for _ in range(2):
        if isinstance(value, str):
            with suppress(ValueError, RecursionError):
                value = json.loads(value)
    return value


def _call(call: object) -> tuple[str | None, object, str]:
    """Id, name and query of a call; the query is empty where there is none of text."""
    call = call if isinstance(call, dict) else {}
    function = call["function"] if isinstance(call.get("function"), dict) else call
    arguments = _parsed(function.get("arguments"))
    arguments = arguments if isinstance(arguments, dict) else {}
    query, queries = arguments.get("query"), arguments.get("query_list")  # verl's tool has a list
    if query is None and isinstance(queries, list) and len(queries) == 1:
        query = queries[0]
    query = query.strip() if isinstance(query, str) else ""
    return _identifier(call.get("id")), function.get("name"), query


def _identifier(value: object) -> str | None:
    """An id as text; None for what is none."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else None
