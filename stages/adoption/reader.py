"""Split a logged response into what the agent wrote and what it was then shown.

The environment's words are cut first: what it says after an invalid action names the tags itself.
Information counts directly after a closed action alone, since agents write its marks too. All of it
is one pass over the text, whatever the text is.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice, takewhile

from stages.adoption.frame import Frame
from stages.adoption.roles import TurnMarks
from stages.rollout.protocol import Action, AgentProtocol

FOUND = "found"
REFUSED = "messages after an invalid action"
UNASKED = "information left out that follows no words of the agent"
UNSEARCHED = "information that follows no search"
ENDLESS = "information without an end"
OWN = "marks of information that the agent wrote itself"
UNREAD = "searches that the protocol cannot read"
UNANSWERED = "searches that nothing was shown for"
LATE = "text left out after an answer"
_BLANKS = re.compile(r"\s*")


@dataclass(frozen=True)
class Piece:
    """What the agent wrote in one turn and what it was shown then; `found` if a search found it."""

    text: str
    action: Action
    information: str = ""
    found: bool = False

    @property
    def query(self) -> str | None:
        """What was searched, if anything was."""
        return self.action.value if self.found and self.action.kind == "search" else None


@dataclass(frozen=True)
class Span:
    """text[begin:end] is the environment's; `reason` is FOUND or one that is counted."""

    begin: int
    end: int
    reason: str


class Reader:
    """Reads responses in one protocol; `refusals` are what the environment says after an invalid
    action, word for word.
    """

    def __init__(self, protocol: AgentProtocol, frame: Frame, refusals: Sequence[str] = ()):
        self.protocol, self.frame = protocol, frame
        self._stops = tuple(stop for stop in protocol.stop if stop.strip())
        self._marks = any_of((frame.open_mark, frame.close_mark))
        self._refusals = saying(refusals)
        self._written = any_of(frame.written)
        self._roles = TurnMarks(frame.special)

    def pieces(self, text: str, counts: Counter) -> list[Piece]:
        """The pieces of a response up to its answer; joined they are the text, but for what is
        counted as left out, for searches at once, each of which goes before what it found, and for
        a tool's role marks, put back where they were skipped. What is odd is counted by reason.
        """
        pieces: list[Piece] = []
        place = 0
        groups = _groups([*self.spans(text), Span(len(text), len(text), "")])
        for span, *others in groups:
            turns = [Piece(*turn) for turn in self.turns(text[place : span.begin])]
            if turns and turns[-1].action.kind == "answer":
                counts[LATE] += bool(text[span.begin :].strip())
                pieces += turns
                break
            place = others[-1].end if others else span.end
            if others and (told := self._at_once(turns, text[span.begin : place])):
                pieces += told
                continue
            counts[UNASKED] += len(others)
            if span.reason not in ("", FOUND):
                counts[span.reason] += 1
            if span.reason not in ("", UNASKED):
                last = turns.pop() if turns else Piece("", self.protocol.parse(""))
                found, shown = span.reason in (FOUND, ENDLESS), text[span.begin : span.end]
                shown = self.frame.with_roles(shown) if found else shown
                turns.append(Piece(last.text, last.action, shown, found))
            pieces += turns
        ends = (self.frame.open_mark, self.frame.close_mark)
        counts[OWN] += sum(max(map(piece.text.count, ends)) for piece in pieces)
        counts[UNREAD] += sum(p.found and p.action.kind == "invalid" for p in pieces)
        counts[UNANSWERED] += sum(not p.found and p.action.kind == "search" for p in pieces)
        return pieces

    def _at_once(self, turns: list[Piece], shown: str) -> list[Piece]:
        """The turns, each of the searches at their end with its own of what was `shown` for all;
        nothing where these are not as many."""
        asked = list(takewhile(lambda turn: turn.action.kind == "search", reversed(turns)))[::-1]
        contents = self.frame.contents(shown)
        if len(asked) != len(contents):
            return []
        found = (
            replace(turn, information=self.frame.around(content.strip()), found=True)
            for turn, content in zip(asked, contents, strict=True)
        )
        return [*turns[: len(turns) - len(asked)], *found]

    def turns(self, words: str) -> list[tuple[str, Action]]:
        """What the agent wrote between two things that it was shown, turn by turn: a closed search
        ends one. What follows an answer stays with it.
        """
        turns, place = [], 0
        while not _blank(words, place):
            action, end = self.first_action(words, place)
            if action.kind != "search" or _blank(words, end):
                end = len(words)
            turns.append((words[place:end], action))
            place = end
        return turns

    def first_action(self, text: str, place: int = 0) -> tuple[Action, int]:
        """The first action to be closed after `place`, and where it is closed.

        A protocol says which action a text holds and not where it ends, so growing beginnings are
        read, then shorter ones. That costs some times one reading of what is found.
        """
        size = 256
        while (action := self.protocol.parse(text[place : place + size])).kind == "invalid":
            if place + size >= len(text):
                return action, len(text)
            size *= 2
        end = bisect_left(
            range(len(text)),
            True,
            lo=place,
            hi=min(place + size, len(text)),
            key=lambda end: self.protocol.parse(text[place:end]).kind != "invalid",
        )
        return self.protocol.parse(text[place:end]), end

    def spans(self, text: str) -> list[Span]:
        """What the environment wrote, in order and without overlap."""
        marks = list(self._marks.finditer(text))
        events = [(m.start(), m.end(), n) for n, m in enumerate(marks)]
        events += [(m.start(), m.end(), None) for m in self._refusals.finditer(text)]
        spans: list[Span] = []
        place = 0
        for begin, end, number in sorted(events, key=lambda event: event[:2]):
            if begin < place:
                continue
            if number is None:
                span = Span(self._words_end(text, place, begin), self._beyond(text, end), REFUSED)
            elif marks[number][0] == self.frame.open_mark:
                span = self._information(text, place, marks, number)
            else:
                span = None
            if span is not None:
                spans.append(span)
                place = span.end
        return spans

    def _information(
        self, text: str, place: int, marks: list[re.Match], number: int
    ) -> Span | None:
        """The information that the mark `number` opens. None: the agent wrote the mark itself."""
        opening = marks[number]
        words_end = self._words_end(text, place, opening.start())
        if self._acted(text, place, words_end):
            for at, mark in enumerate(islice(marks, number + 1, None), number + 1):
                if mark[0] == self.frame.close_mark:
                    return Span(words_end, self._beyond(text, self._last(text, marks, at)), FOUND)
                again = self._words_end(text, opening.end(), mark.start())
                if self._acted(text, opening.end(), again):
                    return Span(words_end, self._cut_off(text, opening.end(), again), ENDLESS)
            return Span(words_end, self._cut_off(text, opening.end(), len(text)), ENDLESS)
        following = marks[number + 1] if number + 1 < len(marks) else opening
        if following[0] == self.frame.open_mark:
            return None
        if words_end == place:
            return Span(place, self._beyond(text, following.end()), UNASKED)
        if self.protocol.parse(text[opening.end() : following.start()]).kind != "invalid":
            # An agent's turn ends with its action: what goes on to a closing mark is not its own.
            return Span(words_end, self._beyond(text, following.end()), UNSEARCHED)
        return None

    def _last(self, text: str, marks: list[re.Match], number: int) -> int:
        """Where information ends that the mark `number` closes. A passage may hold that mark too:
        where an answer stands before the next one and an action after it, no answer was taken.
        """
        closing = marks[number]
        following = list(
            takewhile(
                lambda mark: mark[0] == self.frame.close_mark, islice(marks, number + 1, None)
            )
        )
        if not following:
            return closing.end()
        after = number + 1 + len(following)
        limit = marks[after].start() if after < len(marks) else len(text)
        within = self.turns(text[closing.end() : following[-1].start()])
        beyond = self.protocol.parse(text[following[-1].end() : limit])
        passage = any(action.kind == "answer" for _, action in within)
        return following[-1].end() if passage and beyond.kind != "invalid" else closing.end()

    def _acted(self, text: str, place: int, end: int) -> bool:
        """Whether text[place:end] ends with an action that was just closed."""
        return bool(self._stops) and text.endswith(self._stops, place, end)

    def _cut_off(self, text: str, begin: int, end: int) -> int:
        """Where information without an end is over, which was cut to a limit before the agent went
        on. Where nothing that it closed follows, the log itself was cut, and all is information.
        """
        last = self._words_end(text, begin, end)
        found = self._written.search(text, begin, last) if self._acted(text, begin, last) else None
        return found.start() if found else end

    def _words_end(self, text: str, place: int, end: int) -> int:
        """Where the agent's words end before what the environment begins at `end`."""
        end = _stripped(text, place, end)
        before = self._roles.before(text, place, end)
        if before is not None and self._acted(text, place, before):
            return before
        head = next((h for h in self.frame.heads if text.endswith(h, place, end)), "")
        return _stripped(text, place, end - len(head))

    def _beyond(self, text: str, end: int) -> int:
        """Where the agent's words go on after what the environment ends at `end`."""
        if begun := self._roles.after(text, end):
            return begun
        after = _BLANKS.match(text, end).end()
        tail = next((tail for tail in self.frame.tails if text.startswith(tail, after)), "")
        return _BLANKS.match(text, after + len(tail)).end()


def _groups(spans: list[Span]) -> list[list[Span]]:
    """Information that was found, with what else is shown directly after it; others alone."""
    groups: list[list[Span]] = []
    for span in spans:
        if span.reason == UNASKED and groups and groups[-1][0].reason == FOUND:
            groups[-1].append(span)
        else:
            groups.append([span])
    return groups


def any_of(texts: Sequence[str]) -> re.Pattern:
    """Matches any of `texts`, the longest first, and nothing where there is none."""
    longest = sorted(filter(None, texts), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest)) or r"(?!)")


def saying(texts: Sequence[str]) -> re.Pattern:
    """Matches any of `texts` word for word, whatever blanks and line ends part the words."""
    longest = sorted((text.split() for text in texts if text.strip()), key=len, reverse=True)
    said = (r"\s+".join(map(re.escape, words)) for words in longest)
    return re.compile("|".join(said) or r"(?!)")


def _blank(text: str, place: int) -> bool:
    return _BLANKS.match(text, place).end() == len(text)


def _stripped(text: str, begin: int, end: int) -> int:
    """The end of text[begin:end] without the blanks there."""
    while end > begin and text[end - 1].isspace():
        end -= 1
    return end
