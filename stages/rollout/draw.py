"""Sample the training questions of one iteration of the flywheel."""

from __future__ import annotations

from collections.abc import Sequence

from stages.common.records import Question
from stages.common.seeds import seed_of
from stages.plumbing.errors import InputError


def draw_questions(
    questions: Sequence[Question], count: int | None, seed: int, *names: object
) -> list[Question]:
    """`count` of `questions`, in their own order: the draw called `names` of experiment `seed`.

    Each question's luck depends on its id alone, so questions that are added or moved elsewhere in
    the file do not reshuffle the rest. None: all. InputError if there are fewer than `count`.
    """
    if count is None:
        return list(questions)
    if count > len(questions):
        raise InputError(f"{count} questions are asked for, there are {len(questions)}")
    lucky = sorted(questions, key=lambda question: seed_of(seed, *names, question.id))[:count]
    chosen = {question.id for question in lucky}
    return [question for question in questions if question.id in chosen]
