"""Step B1, trajectories: how Agent_k answers training questions with R_(k-1).

In: Agent_k, R_(k-1) with its index, the corpus, the training questions.
Out: one line a question: its turns (thought, query, passages), answer, EM, why it stopped.
As in the paper: greedy, the top 3 passages a turn, at most 5 searches. Ours: a seeded draw of the
training questions, another one each iteration unless `trajectories.fresh` is off. A trajectory
without a query and without an answer gives nothing to label; where more than
`trajectories.max_dropped` of them are such, the stage fails once they are written.
"""

from __future__ import annotations

import argparse
from collections import Counter
from functools import partial
from pathlib import Path

from stages.common.records import Question, read_questions, write_json, write_jsonl
from stages.common.trajectories import Trajectory, trajectory_of
from stages.params import Params, load_params
from stages.plumbing.errors import InputError, run
from stages.plumbing.losses import check_lost
from stages.running.scratch import Scratch, fingerprint
from stages.running.workers import Advance, Work, rows_of

SHARD = 256  # questions between two save points


def main(argv: list[str] | None = None) -> None:
    """Write the trajectories of one iteration of the flywheel."""
    trajectories(_arguments(argv), load_params())


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--iteration", required=True, help="k, the iteration of the flywheel")
    parser.add_argument("--agent", required=True, type=Path, help="folder of Agent_k")
    parser.add_argument("--retriever", required=True, type=Path, help="folder of R_(k-1)")
    parser.add_argument("--index", required=True, type=Path, help="index of the corpus by R_(k-1)")
    parser.add_argument("--passages", required=True, type=Path, help="the corpus")
    parser.add_argument("--questions", required=True, type=Path, help="training questions")
    parser.add_argument("--output", required=True, type=Path, help="trajectories, JSON Lines")
    parser.add_argument("--metrics", required=True, type=Path, help="the figures, JSON")
    return parser.parse_args(argv)


def trajectories(arguments: argparse.Namespace, params: Params) -> None:
    """Write the trajectories and their figures."""
    from stages.rollout.draw import draw_questions

    available = read_questions(arguments.questions)
    block, draw = params.trajectories, arguments.iteration if params.trajectories.fresh else "1"
    try:
        questions = draw_questions(available, block.questions, params.seed, "trajectories", draw)
    except InputError as error:
        raise InputError(f"{arguments.questions}: 'trajectories.questions': {error}") from None
    inputs = [arguments.agent, arguments.retriever, arguments.index, arguments.passages]
    stage = f"trajectories@{arguments.iteration}"
    with Scratch(stage, fingerprint(stage, params, *inputs, arguments.questions)) as scratch:
        rows = rows_of(
            questions,
            SHARD,
            partial(_build, arguments, params),
            params.compute,
            scratch,
            inputs=[*inputs, arguments.questions],
            devices=params.compute.tensor_parallel,
            desc="trajectories",
            unit="question",
        )
        write_jsonl(arguments.output, rows)
        told = [trajectory_of(row, str(arguments.output)) for row in rows]
        write_json(arguments.metrics, trajectory_metrics(told, len(questions)))
        lost = [each for each in told if is_lost(each)]
        check_lost(
            stage,
            "trajectories, without a query or an answer,",
            Counter(each.stop for each in lost),
            len(rows),
            block.max_dropped,
            f"their turns are in {arguments.output}",
            next(map(_written, lost), ""),
        )


def _build(arguments: argparse.Namespace, params: Params) -> Work:
    """Load the models that answer questions."""
    from stages.engines.loading import load_agent
    from stages.retrieval.searcher import load_searcher
    from stages.rollout.loop import Limits, record, run, start
    from stages.rollout.protocol import load_protocol

    protocol = load_protocol(arguments.agent, params.protocol)
    agent = load_agent(arguments.agent, params.generation, params.compute)
    searcher = load_searcher(
        arguments.index, arguments.passages, arguments.retriever, params.compute
    )
    search = partial(searcher.search, top_k=params.rollout.top_k)

    def answer(part: list[Question], advance: Advance) -> list[dict]:
        rollouts = [start(question, protocol, agent.tokenizer) for question in part]
        run(rollouts, agent, search, protocol, Limits.of(params.rollout), advance=advance)
        return [record(rollout).row() for rollout in rollouts]

    return answer


def is_lost(trajectory: Trajectory) -> bool:
    """Whether a trajectory came to nothing: it has neither a query nor an answer."""
    return trajectory.answer is None and trajectory.searches == 0


def _written(trajectory: Trajectory) -> str:
    return " ".join(turn.text for turn in trajectory.turns)


def trajectory_metrics(trajectories: list[Trajectory], asked: int) -> dict:
    """Counts in and out, mean EM, F1 and searches, how many rollouts stopped for what, and, where
    limits told at all, how often (see `limited`)."""
    from stages.rollout.limits import limited

    count = len(trajectories)
    told = [limited(each.turns, each.stop) for each in trajectories]
    limits = {key: sum(row[key] for row in told) for key in told[0]}
    return {
        "in": asked,
        "out": count,
        "dropped": {},
        "em": sum(each.em for each in trajectories) / count,
        "f1": sum(each.f1 for each in trajectories) / count,
        "searches": sum(each.searches for each in trajectories) / count,
        "queries": sum(each.searches for each in trajectories),
        "stops": dict(sorted(Counter(each.stop for each in trajectories).items())),
        **({"limits": limits} if any(limits.values()) else {}),
    }


if __name__ == "__main__":
    run(main)
