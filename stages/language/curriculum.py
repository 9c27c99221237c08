"""The curriculum of the base models: which demonstrations they are trained on, easy ones first.

A demonstration is drawn from (step, seed): the step decides how easy it is, the seed the rest.
"""

import random

from stages.language.batches import Make
from stages.params import HOPS
from stages.teaching.demonstrations import Segment, demonstration, drill
from stages.teaching.judgements import (
    comparison_drill,
    relevance_demonstration,
    relevance_drill,
    sub_answer_demonstration,
)

DRILLS = 0.15  # share of drills among the agent's later demonstrations
SUB_ANSWERS, GRADING, COMPARING = 0.3, 0.2, 0.05  # shares among the judge's later ones


def agent_curriculum(easy_steps: int, doubt: float, hops: int = HOPS) -> Make:
    """Drills in reading for `easy_steps`, then mostly whole searches of a doubting searcher, of
    questions of up to `hops`."""

    def make(step: int, seed: str) -> list[Segment]:
        drills = 1.0 if step < easy_steps else DRILLS
        if random.Random(f"{seed} lesson").random() < drills:
            return drill(seed, hops=hops)
        return demonstration(seed, doubt, hops)

    return make


def judge_curriculum(easy_steps: int, window: int, hops: int = HOPS) -> Make:
    """Drills in comparing words for `easy_steps`, then mostly grades and sub-answers in full.

    It is shown at most `window` passages at once, which is how far it can then count.
    """

    def make(step: int, seed: str) -> list[Segment]:
        lot = random.Random(f"{seed} lesson").random()
        if step < easy_steps or lot < COMPARING:
            return comparison_drill(seed, hops=hops)
        if lot < COMPARING + SUB_ANSWERS:
            return sub_answer_demonstration(seed, hops)
        if lot < COMPARING + SUB_ANSWERS + GRADING:
            return relevance_drill(seed, window, hops)
        return relevance_demonstration(seed, window, hops)

    return make
