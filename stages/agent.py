"""Step A, agent training: PPO of Agent_k from the base agent against the frozen R_(k-1).

In: the base agent, the retriever with its index, the training questions.
Out: the agent as a plain transformers folder, its curves and its figures.
Every iteration starts from the base agent again, never from the agent before. As in the paper:
exact match as the reward, GAE with a value model, a KL to the base, clipping, and retrieved tokens
masked out of the policy's loss. With `agent.advantage: grpo`, which the paper does not use, the
other rollouts of a question stand in for the value model. The KL is the low-variance one of the
paper's text, a term of the loss, or the k1 of its public code, in the reward (`agent.kl`). Ours,
and better: retrieved tokens
are masked out of GAE and of the value's loss too, which the public code does not do.
`agent.trainer` says who trains: a loop small enough for a CPU (stages/loop_ppo), or verl on GPUs
(stages/verl_ppo).
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable
from pathlib import Path

from stages.params import Params, Trainer, load_params
from stages.plumbing.errors import InputError, run

ENDS = 5  # steps averaged at either end of a curve


def main(argv: list[str] | None = None) -> None:
    """Train the agent of one iteration."""
    train_agent(_arguments(argv), load_params())


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("base", "retriever", "index", "passages", "questions"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--iteration", required=True, help="k, the iteration of the flywheel")
    for name in ("output", "metrics", "curves"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    return parser.parse_args(argv)


def train_agent(arguments: argparse.Namespace, params: Params) -> None:
    """Train, and write the model folder, the curves and the figures."""
    from stages.common.models import model_path
    from stages.common.records import as_csv, read_questions, write_json, write_text
    from stages.common.seeds import seed_of
    from stages.ppo.questions import questions_of_step
    from stages.ppo.task import Task
    from stages.running.scratch import Scratch, fingerprint
    from stages.tracking.curves import live

    questions = read_questions(arguments.questions)
    if len(questions) < params.agent.questions:
        raise InputError(
            f"{arguments.questions}: holds {len(questions)} questions, 'agent.questions' asks for "
            f"{params.agent.questions} a step"
        )
    model_path(arguments.base)
    train, seed = (
        trainer_of(params.agent.trainer),
        seed_of(params.seed, "agent", arguments.iteration),
    )
    inputs = [arguments.base, arguments.retriever, arguments.index, arguments.passages]
    stage = f"agent@{arguments.iteration}"
    with (
        Scratch(stage, fingerprint(stage, params, *inputs, arguments.questions)) as scratch,
        live("agent", arguments.iteration) as tracked,
    ):
        task = Task(*inputs, questions, params, seed, scratch.path, tracked.log)
        curves = train(task)
        shutil.rmtree(arguments.output, ignore_errors=True)
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(task.model, arguments.output)
        drawn = {
            question.id
            for step in range(params.agent.steps)
            for question in questions_of_step(questions, step, params.agent.questions, seed)
        }
        write_text(arguments.curves, as_csv(curves))
        write_json(arguments.metrics, curve_summary(curves, len(questions), len(drawn)))


def trainer_of(trainer: Trainer) -> Callable:
    """The function that trains, as stages/ppo/task.py says."""
    if trainer is Trainer.verl:
        from stages.verl_ppo.training import train
    else:
        from stages.loop_ppo.training import train
    return train


def curve_summary(curves: list[dict], questions: int, drawn: int) -> dict:
    """Counts of questions, and each curve's mean over its first and its last steps."""
    metrics: dict = {
        "in": questions,
        "out": drawn,
        "dropped": {"not_drawn": questions - drawn},
        "steps": len(curves),
    }
    for end, rows in (("first", curves[:ENDS]), ("last", curves[-ENDS:])):
        metrics[end] = {
            name: round(sum(row[name] for row in rows) / len(rows), 6)
            for name in curves[0]
            if name != "step"
        }
    return metrics


if __name__ == "__main__":
    run(main)
