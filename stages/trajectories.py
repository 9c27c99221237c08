"""Step B1, trajectories: how Agent_k answers training questions with R_(k-1).

In: Agent_k, R_(k-1) with its index, the corpus, the training questions.
Out: one line a question: its turns (thought, query, passages), answer, EM, why it stopped.
As in the paper: greedy, the top 3 passages a turn, at most 5 searches. Ours: a seeded draw of the
training questions, another one each turn unless `trajectories.fresh` is off.
"""

from __future__ import annotations

import argparse
from collections import Counter
from functools import partial
from pathlib import Path

from stages.common.records import Question, read_questions, write_json, write_jsonl
from stages.params import Params, load_params
from stages.plumbing import errors
from stages.plumbing.errors import InputError
from stages.running.scratch import Scratch, fingerprint
from stages.running.workers import Advance, Work, rows_of

SHARD = 256  # questions between two save points


def trajectories(arguments: argparse.Namespace, params: Params) -> None:
    """Write the trajectories and their figures."""
    from stages.rollout.draw import draw_questions

    available = read_questions(arguments.questions)
    block, draw = params.trajectories, arguments.turn if params.trajectories.fresh else "1"
    try:
        questions = draw_questions(available, block.questions, params.seed, "trajectories", draw)
    except InputError as error:
        raise InputError(f"{arguments.questions}: 'trajectories.questions': {error}") from None
    settings = [params.seed, params.protocol, params.generation, params.rollout]
    settings += [block, arguments.turn]
    inputs = [arguments.agent, arguments.retriever, arguments.index, arguments.passages]
    key = fingerprint(settings, *inputs, arguments.questions)
    with Scratch(f"trajectories@{arguments.turn}", key) as scratch:
        rows = rows_of(
            questions,
            SHARD,
            partial(_build, arguments, params),
            params.compute,
            scratch,
            devices=params.compute.tensor_parallel,
            desc="trajectories",
            unit="question",
        )
        write_jsonl(arguments.output, rows)
        write_json(arguments.metrics, figures(rows, len(questions)))


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
        return [record(rollout) for rollout in rollouts]

    return answer


def figures(rows: list[dict], asked: int) -> dict:
    """Counts in and out, mean EM, F1 and searches, how many rollouts stopped for what, and, where
    limits told at all, how often (see `limited`)."""
    from stages.rollout.limits import limited

    count = len(rows)
    told = [limited(row["turns"], row["stop"]) for row in rows]
    limits = {key: sum(row[key] for row in told) for key in told[0]}
    return {
        "in": asked,
        "out": count,
        "dropped": {},
        "em": sum(row["em"] for row in rows) / count,
        "f1": sum(row["f1"] for row in rows) / count,
        "searches": sum(row["searches"] for row in rows) / count,
        "queries": sum(row["searches"] for row in rows),
        "stops": dict(sorted(Counter(row["stop"] for row in rows).items())),
        **({"limits": limits} if any(limits.values()) else {}),
    }


def main(argv: list[str] | None = None) -> None:
    """Parse the paths, check the parameters, run the stage."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turn", required=True, help="k, the turn of the flywheel")
    parser.add_argument("--agent", required=True, type=Path, help="folder of Agent_k")
    parser.add_argument("--retriever", required=True, type=Path, help="folder of R_(k-1)")
    parser.add_argument("--index", required=True, type=Path, help="index of the corpus by R_(k-1)")
    parser.add_argument("--passages", required=True, type=Path, help="the corpus")
    parser.add_argument("--questions", required=True, type=Path, help="training questions")
    parser.add_argument("--output", required=True, type=Path, help="trajectories, JSON Lines")
    parser.add_argument("--metrics", required=True, type=Path, help="the figures, JSON")
    trajectories(parser.parse_args(argv), load_params())


if __name__ == "__main__":
    errors.run(main)
