"""Which training questions each step of PPO asks."""

from __future__ import annotations

import random

from stages.common.records import Question
from stages.common.seeds import seed_of


def questions_of_step(
    questions: list[Question], step: int, count: int, seed: int
) -> list[Question]:
    """The `count` questions of `step`: pass after pass over the questions, each newly shuffled."""
    steps_a_pass = len(questions) // count
    order = list(questions)
    random.Random(seed_of(seed, "questions", step // steps_a_pass)).shuffle(order)
    first = step % steps_a_pass * count
    return order[first : first + count]
