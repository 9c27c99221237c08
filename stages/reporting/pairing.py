"""Which predictions of two pairs are of the same question: those of one set, words and answers.

Ids alone do not tell: question sets of another size have the same ids and other questions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

from stages.plumbing.errors import InputError

Identity = tuple[
    str, str, tuple[str, ...], int
]  # set, words, gold answers, which of the equal ones


class Answered(Protocol):
    """A prediction, whole or what a report keeps of it."""

    @property
    def set(self) -> str | None: ...
    @property
    def question(self) -> str: ...
    @property
    def golden_answers(self) -> Sequence[str]: ...


Row = TypeVar("Row", bound=Answered)


def identified(rows: Iterable[Row]) -> dict[Identity, Row]:
    """The predictions by what their question is; equal questions of a set in their order."""
    seen: Counter = Counter()
    found = {}
    for row in rows:
        asked = row.set or "", row.question, tuple(sorted(row.golden_answers))
        found[*asked, seen[asked]] = row
        seen[asked] += 1
    return found


def paired(
    before: Iterable[Row], after: Iterable[Row], names: tuple[str, str], *, part: bool = False
) -> list[tuple[Row, Row]]:
    """(before, after) of every question of the sets that both were asked, in `before`'s order.

    InputError names a set in which they were asked different questions; `names` are of the sides.
    `part`: one side may have been asked some of the other's questions of a set, which then count.
    """
    old, new = identified(before), identified(after)
    sets = {key[0] for key in old} & {key[0] for key in new}
    for name in sorted(sets):
        questions = [{key for key in side if key[0] == name} for side in (old, new)]
        both = questions[0] & questions[1]
        if part and both in questions:
            continue
        if alone := questions[0] ^ questions[1]:
            raise InputError(
                f"{names[0]} and {names[1]} were asked different questions in the set '{name}': "
                f"{len(alone)} are of one of them alone, such as '{min(alone)[1]}', {len(both)} of "
                "both (by words and gold answers); compare pairs of the same question sets"
            )
    return [(row, new[key]) for key, row in old.items() if key in new]
