"""Answer-bearing recall: did a query find a passage that holds a gold answer?

Words of the passage, title and text, are compared as EM compares answers (SQuAD's normalisation): a
gold answer is in it if its words are, one after the other, as in DPR (Karpukhin et al. 2020). It
needs no supporting passages, and a passage of the right title without the answer is no hit. A hit
may be by chance all the same: a short answer stands in passages that say nothing of the question.
"yes" and "no" are in no passage in that sense: their questions are not counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stages.scoring.answers import CLOSED, normalise

Positions = Sequence[int | None]  # of each query that of its first hit, from 0; None without a hit


def normal_text(contents: str) -> str:
    """A passage's words as `first_hits` reads them."""
    return f" {normalise(contents)} "


def first_hits(
    golden_answers: Sequence[str], asked: Sequence[Sequence[str]], passages: Mapping[str, str]
) -> list[int | None] | None:
    """The positions of the first hits in the rankings `asked` of a question, a query each; None
    for a question of which no passage can hold an answer. `passages`: id -> `normal_text`."""
    wanted = [f" {answer} " for answer in open_answers(golden_answers)]
    if not wanted:
        return None
    return [
        next((p for p, key in enumerate(ids) if any(w in passages[key] for w in wanted)), None)
        for ids in asked
    ]


def open_answers(golden_answers: Sequence[str]) -> list[str]:
    """The gold answers, normalised, that a passage can hold."""
    return sorted({normalise(answer) for answer in golden_answers} - CLOSED - {""})


def within(positions: Positions, k: int) -> bool:
    """Whether a query has a hit among its first `k` passages."""
    return any(position is not None and position < k for position in positions)
