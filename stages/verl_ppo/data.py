"""The training questions as the parquet file that verl reads, in the order that it asks them."""

from __future__ import annotations

from pathlib import Path

from stages.common.records import Question
from stages.ppo.questions import questions_of_step

AGENT = "search"  # our agent loop's name in verl's list, and in the column `agent_name`


def write_draws(path: Path, questions: list[Question], steps: int, count: int, seed: int):
    """Write the `count` questions of each of `steps` steps, those that the loop would draw.

    verl takes the rows from top to bottom, so one pass over the file is the whole training.
    """
    from datasets import Dataset

    asked = (
        question
        for step in range(steps)
        for question in questions_of_step(questions, step, count, seed)
    )
    rows = [row(question, index) for index, question in enumerate(asked)]
    path.parent.mkdir(parents=True, exist_ok=True)
    Dataset.from_list(rows).to_parquet(path)


def row(question: Question, index: int) -> dict:
    """One row in verl's form; `question_of` reads it back."""
    return {
        "data_source": "training",
        "agent_name": AGENT,
        "prompt": [{"role": "user", "content": question.question}],
        "reward_model": {"style": "rule", "ground_truth": list(question.golden_answers)},
        "extra_info": {"index": index, "id": question.id},
    }


def question_of_row(row: dict) -> Question:
    """The question in a row as verl hands it to an agent loop: its prompt as `raw_prompt`."""
    return Question(
        row["extra_info"]["id"],
        row["raw_prompt"][0]["content"],
        list(row["reward_model"]["ground_truth"]),
    )
