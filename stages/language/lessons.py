"""What the language models are taught, easy lessons first.

A lesson is a demonstration drawn from (step, seed): the step decides how easy, the seed the rest.
"""

import random

from stages.language.batches import Make
from stages.world.demonstrations import Segment, demonstration, drill
from stages.world.judgements import relevance_demonstration, sub_answer_demonstration

DRILLS = 0.15  # share of drills among the agent's later lessons
SHORT_WINDOW, WINDOW = 4, 10
FIRST_SUB_ANSWERS, SUB_ANSWERS = 0.3, 0.5


def agent_lessons(easy_steps: int) -> Make:
    """Drills in reading for `easy_steps`, then mostly whole searches."""

    def make(step: int, seed: str) -> list[Segment]:
        drills = 1.0 if step < easy_steps else DRILLS
        if random.Random(f"{seed} lesson").random() < drills:
            return drill(seed)
        return demonstration(seed)

    return make


def judge_lessons(easy_steps: int) -> Make:
    """Grades of short windows and some sub-answers at first, then both in full."""

    def make(step: int, seed: str) -> list[Segment]:
        easy = step < easy_steps
        share = FIRST_SUB_ANSWERS if easy else SUB_ANSWERS
        if random.Random(f"{seed} lesson").random() < share:
            return sub_answer_demonstration(seed)
        return relevance_demonstration(seed, SHORT_WINDOW if easy else WINDOW)

    return make
