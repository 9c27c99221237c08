"""Find where turns of a chat template begin, in texts whose special tokens may be skipped.

Some programs show what was found as a user's or a tool's turn. Between the agent's words and the
information the log then holds a role's name, and its marks unless special tokens were skipped.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

SHOWING = ("user", "tool", "ipython", "observation", "environment", "function")


class TurnMarks:
    """Finds names of roles; `special`: the marks that may stand around them."""

    def __init__(self, special: Sequence[str]):
        self._special = tuple(sorted(filter(None, special), key=len, reverse=True))
        mark = "|".join(map(re.escape, self._special)) or r"(?!)"
        self._agent = re.compile(
            rf"\s*+(?:(?:{mark})\s*+)*+(?:assistant|model)\b(?:{mark})*+[ \t]*+\n\s*+"
        )

    def before(self, text: str, begin: int, end: int) -> int | None:
        """Where words end before a turn in text[begin:end] that has just been opened. None: no
        turn was."""
        end = self._without_marks(text, begin, end)
        role = next((role for role in SHOWING if text.endswith(role, begin, end)), None)
        return None if role is None else self._without_marks(text, begin, end - len(role))

    def after(self, text: str, place: int) -> int | None:
        """Where the agent's words begin, if its turn is opened at `place`."""
        opened = self._agent.match(text, place)
        return opened.end() if opened else None

    def _without_marks(self, text: str, begin: int, end: int) -> int:
        while True:
            while end > begin and text[end - 1].isspace():
                end -= 1
            mark = next((mark for mark in self._special if text.endswith(mark, begin, end)), "")
            if not mark:
                return end
            end -= len(mark)
