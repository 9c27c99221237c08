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
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from stages.common.records import Question, read_questions, write_json, write_jsonl
from stages.common.trajectories import Trajectory, iter_trajectories
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
    from stages.serving.shared import shared_servers

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
            devices=params.generation.tensor_parallel,
            desc="trajectories",
            unit="question",
            total=len(questions),
            server=partial(
                shared_servers,
                params.compute,
                arguments.index,
                arguments.passages,
                arguments.retriever,
            ),
        )
        write_jsonl(arguments.output, rows)
        counts, lost, example = TrajectoryCounts(), Counter(), None
        for each in iter_trajectories(arguments.output):
            counts.add(each)
            if is_lost(each):
                lost[each.stop] += 1
                example = _written(each) if example is None else example
        write_json(arguments.metrics, counts.metrics(len(questions)))
        check_lost(
            stage,
            "trajectories, without a query or an answer,",
            lost,
            counts.sums["out"],
            block.max_dropped,
            f"their turns are in {arguments.output}",
            example or "",
        )


def _build(arguments: argparse.Namespace, params: Params, addresses: Sequence[str] = ()) -> Work:
    """Load the models that answer questions."""
    from stages.engines.loading import load_agent
    from stages.rollout.blocks import search_depth
    from stages.rollout.loop import record, run, start
    from stages.rollout.protocol import load_protocol
    from stages.rollout.visit_calls import with_visit_tool
    from stages.serving.shared import searcher_at

    protocol = with_visit_tool(load_protocol(arguments.agent, params.protocol))
    searcher = searcher_at(  # first: it takes what the engine leaves
        addresses, arguments.index, arguments.passages, arguments.retriever, params.compute
    )
    limits = params.rollout
    agent = load_agent(
        arguments.agent, params.generation, params.compute, context=limits.max_context_tokens
    )
    search = partial(searcher.search, top_k=search_depth(limits, limits.top_k))

    def answer(part: list[Question], advance: Advance) -> list[dict]:
        rollouts = [start(question, protocol, agent.tokenizer) for question in part]
        run(rollouts, agent, search, protocol, limits, advance=advance)
        return [record(rollout).row() for rollout in rollouts]

    return answer


def is_lost(trajectory: Trajectory) -> bool:
    """Whether a trajectory came to nothing: it has neither a query nor an answer."""
    return trajectory.answer is None and trajectory.searches == 0


def _written(trajectory: Trajectory) -> str:
    return " ".join(turn.text for turn in trajectory.turns)


@dataclass
class TrajectoryCounts:
    """Sums over trajectories so far, and how many stopped for what."""

    sums: Counter[str] = field(default_factory=Counter)
    stops: Counter[str] = field(default_factory=Counter)
    limits: Counter[str] = field(default_factory=Counter)

    def add(self, trajectory: Trajectory) -> None:
        """Count one more."""
        from stages.rollout.limits import limited

        numbers = {key: getattr(trajectory, key) for key in ("em", "f1", "searches")}
        self.sums.update({"out": 1} | numbers)
        self.stops[trajectory.stop] += 1
        self.limits.update(limited(trajectory.turns, trajectory.stop))
        self.sums["visits"] += sum(turn.visit is not None for turn in trajectory.turns)

    def metrics(self, asked: int) -> dict:
        """Counts in and out, mean EM, F1 and searches, how many rollouts stopped for what, and,
        where limits told at all, how often (see `limited`); calls of a visit tool, if any."""
        sums = self.sums
        return {
            "in": asked,
            "out": sums["out"],
            "dropped": {},
            **{key: sums[key] / sums["out"] for key in ("em", "f1", "searches")},
            "queries": sums["searches"],
            **({"visits": sums["visits"]} if sums["visits"] else {}),
            "stops": dict(sorted(self.stops.items())),
            **({"limits": dict(self.limits)} if any(self.limits.values()) else {}),
        }


if __name__ == "__main__":
    run(main)
