"""Exact match and F1 of an answer, as SQuAD defines them and Search-R1 rewards them.

Agentic-R, agent training and evaluation: the reward and the reported EM are the exact match of the
final answer, the best over all gold answers.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")
CLOSED = {"yes", "no", "noanswer"}


def normalise(answer: str) -> str:
    """Lower case, without ASCII punctuation and English articles, blanks run together.

    In SQuAD's order: an article that punctuation hid ("the-end" gives "theend") stays.
    """
    return " ".join(_ARTICLES.sub(" ", answer.lower().translate(_PUNCTUATION)).split())


def exact_match(prediction: str | None, golden_answers: Sequence[str]) -> int:
    """1 if the normalised prediction equals one of the gold answers, else 0. None is no answer."""
    if prediction is None:
        return 0
    return int(_read(prediction) in {_read(answer) for answer in golden_answers} - {""})


def f1_score(prediction: str | None, golden_answers: Sequence[str]) -> float:
    """Harmonic mean of word precision and recall, 0 to 1: the best over the gold answers.

    As in HotpotQA's evaluation, "yes" and "no" earn no part: they are right or wrong.
    """
    if prediction is None:
        return 0.0
    golds = {_read(answer) for answer in golden_answers} - {""}
    return max((_f1(_read(prediction), gold) for gold in golds), default=0.0)


def _read(answer: str) -> str:
    """`answer` normalised, but as it stands (lower case) where nothing would be left of it: "The"
    and "A" differ, and only a blank is blank, which no answer matches.
    """
    return normalise(answer) or " ".join(answer.lower().split())


def _f1(prediction: str, gold: str) -> float:
    if prediction == gold:
        return 1.0
    if prediction in CLOSED or gold in CLOSED:
        return 0.0
    predicted, expected = prediction.split(), gold.split()
    common = (Counter(predicted) & Counter(expected)).total()
    return 2 * common / (len(predicted) + len(expected))
