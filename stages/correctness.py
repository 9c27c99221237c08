"""Step B5: global answer correctness (GAC) of candidates, by rollouts to the final answer.

In: candidates, their LR, the trajectories they come from, Agent_k and the index of R_(k-1). Out:
for each query the GAC (0 or 1) of the candidates that were evaluated: with `correctness.mode: lazy`
those that selection can depend on, with `exhaustive` all 20, as in the paper; null with `off`, the
ablation without GAC. Two modes put something cheaper in GAC's place: `likelihood`, the passages
after which the gold answer is likeliest, and `predicted`, a classifier that rollouts of a share of
the queries teach. The metrics say what each took in rollouts and tokens.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from stages.params import CorrectnessMode, Params, load_params
from stages.plumbing.errors import InputError, run
from stages.running.scratch import Scratch, fingerprint
from stages.running.workers import Advance, Work, Workers, rows_of, shards

if TYPE_CHECKING:
    from stages.distillation.likelihood import Asked
    from stages.gac.rollouts import Price, Start
    from stages.rollout.protocol import Protocol

SHARD = 256  # rollouts, or readings, between two save points
Scores = dict[str, dict[str, int]]  # GAC by query and passage


@dataclass(frozen=True)
class Job:
    """What is evaluated, and with what; `relevance` and `plans` (see levels) are by query."""

    args: argparse.Namespace
    params: Params
    queries: list[dict]  # rows of candidates
    relevance: dict[str, dict[str, int] | None]
    plans: dict[str, list[list[str]]]
    scratch: Scratch


def main(argv: list[str] | None = None) -> None:
    """Evaluate the candidates of one turn of the flywheel."""
    args = _arguments(argv)
    params = load_params()

    from stages.common.queries import match_rows, read_candidates
    from stages.common.records import read_jsonl, write_json, write_jsonl

    graded = read_jsonl(args.relevance, ("id", "scores"))
    matched = match_rows(read_candidates(args.candidates), graded, args.relevance)
    queries = [row for row, _ in matched]
    mode = params.correctness.mode
    if mode is CorrectnessMode.off:
        write_jsonl(args.output, ({"id": row["id"], "scores": None} for row in queries))
        write_json(args.metrics, {"in": len(queries), "out": len(queries), "dropped": {}})
        return
    relevance = {row["id"]: grades["scores"] for row, grades in matched}
    plans = _plans(queries, relevance, params, args.turn)
    index = f"{args.index}/index.json"  # names the corpus and the retriever by their digests
    files = (args.candidates, args.relevance, args.trajectories, args.agent, index)
    settings = [params.correctness, params.pairs.threshold, params.seed, args.turn]
    settings += [params.protocol, params.generation, params.rollout]
    with Scratch(f"correctness@{args.turn}", fingerprint(settings, *files)) as scratch:
        job = Job(args, params, queries, relevance, plans, scratch)
        modes = {CorrectnessMode.likelihood: _likeliest, CorrectnessMode.predicted: _predicted}
        rows, figures = modes.get(mode, _rolled_out)(job)
        write_jsonl(args.output, rows)
        write_json(args.metrics, figures)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turn", required=True, help="k, the turn of the flywheel")
    parser.add_argument("--candidates", required=True, help="rows of the stage candidates")
    parser.add_argument("--relevance", required=True, help="rows of the stage relevance")
    parser.add_argument("--trajectories", required=True, help="trajectories of Agent_k")
    parser.add_argument("--agent", required=True, help="folder of Agent_k")
    parser.add_argument("--retriever", required=True, help="folder of R_(k-1)")
    parser.add_argument("--index", required=True, help="folder of its index")
    parser.add_argument("--passages", required=True, help="the corpus")
    parser.add_argument("--output", required=True, help="a row for each query, JSON Lines")
    parser.add_argument("--metrics", required=True, help="counts, JSON")
    return parser.parse_args(argv)


def _plans(queries: list[dict], relevance: dict, params: Params, turn: str) -> dict:
    """The levels of each query; none for a query whose GAC will be predicted."""
    from stages.common.queries import ranked_ids
    from stages.gac.prediction import sampled
    from stages.gac.rollouts import levels

    block, threshold = params.correctness, params.pairs.threshold
    options = {"top": block.top, "whole_levels": block.whole_levels}
    plans = {}
    for row in queries:
        grades = relevance[row["id"]]
        plans[row["id"]] = levels(ranked_ids(row), grades, block.mode, threshold, **options)
    if block.mode is CorrectnessMode.predicted:
        chosen = sampled(plans, block.sample, params.seed, "correctness", turn)
        plans = {query: plan if query in chosen else [] for query, plan in plans.items()}
    return plans


def _rolled_out(job: Job) -> tuple[list[dict], dict]:
    """GAC by rollouts: the rows and the figures."""
    scores, price = _evaluate(job)
    return _rows(scores), _figures(job, scores, price)


def _predicted(job: Job) -> tuple[list[dict], dict]:
    """GAC by rollouts where there are plans, and as a classifier predicts it elsewhere."""
    from stages.common.queries import find_passages, read_trajectories
    from stages.gac.prediction import features, predict

    evaluated, price = _evaluate(job)
    known = {query: evaluated[query] for query, plan in job.plans.items() if plan}
    passages = find_passages(job.args.passages, job.queries)
    trajectories = {row["id"]: row for row in read_trajectories(job.args.trajectories)}
    table = {
        row["id"]: features(
            row, job.relevance[row["id"]], trajectories[row["question_id"]], passages
        )
        for row in job.queries
    }
    scores = predict(job.queries, known, table)
    guessed = sum(len(row["candidates"]) for row in job.queries if row["id"] not in known)
    return _rows(scores), _figures(job, evaluated, price) | {"predicted": guessed}


def _likeliest(job: Job) -> tuple[list[dict], dict]:
    """1 for the passages of each query after which the gold answer is likeliest.

    Readings are no rollouts, so nothing says which share of these was saved.
    """
    from stages.distillation.likelihood import likeliest
    from stages.gac.rollouts import Price

    likelihoods, read = _rate(job)
    scores = {query: likeliest(values) for query, values in likelihoods.items()}
    rows = [row | {"likelihoods": likelihoods[row["id"]]} for row in _rows(scores)]
    every = [value for values in likelihoods.values() for value in values.values()]
    figures = _figures(job, scores, Price(read_tokens=read))
    unsaid = {"rollouts_saved": None, "saved_share": None}
    return rows, figures | unsaid | {"too_long": every.count(None)}


def _rows(scores: Scores) -> list[dict]:
    return [{"id": query, "scores": values} for query, values in scores.items()]


def _figures(job: Job, scores: Scores, price: Price) -> dict:
    from stages.gac.rollouts import figures

    return figures(scores, job.plans, price, sum(len(row["candidates"]) for row in job.queries))


def _evaluate(job: Job) -> tuple[Scores, Price]:
    """GAC of what is planned, and what it took."""
    from stages.common.queries import find_passages, read_trajectories
    from stages.gac.rollouts import Finisher, by_levels
    from stages.plumbing.progress import progress

    build, compute = partial(_build, job.args, job.params), job.params.compute
    with (
        progress(total=0, desc="correctness", unit="rollout") as bar,
        Workers(build, compute, job.scratch, devices=compute.tensor_parallel) as workers,
    ):

        def plan(pairs: int) -> None:
            bar.total = bar.n + pairs
            bar.refresh()

        def finish(starts: list[Start], first: int):
            return chain.from_iterable(workers.map(shards(starts, SHARD, first), bar.update))

        finisher = Finisher(
            queries={row["id"]: row for row in job.queries},
            trajectories={row["id"]: row for row in read_trajectories(job.args.trajectories)},
            passages=find_passages(job.args.passages, job.queries),
            finish=finish,
            advance=bar.update,
        )
        return by_levels(job.plans, finisher, plan), finisher.price


def _rate(job: Job) -> tuple[dict[str, dict[str, float | None]], int]:
    """The gold answer's likelihood by query and passage, and the tokens that were read."""
    from stages.common.queries import find_passages, read_trajectories
    from stages.distillation.likelihood import Wording
    from stages.gac.rollouts import Start
    from stages.rollout.protocol import load_protocol

    trajectories = {row["id"]: row for row in read_trajectories(job.args.trajectories)}
    passages = find_passages(job.args.passages, job.queries)
    protocol = load_protocol(job.args.agent, job.params.protocol)
    try:
        wording = Wording(list(trajectories.values()), protocol)
    except InputError as error:
        raise InputError(f"{job.args.trajectories}: {error}") from None
    pairs, asked = [], []
    for row in job.queries:
        trajectory = trajectories[row["question_id"]]
        turns = wording.turns(trajectory)
        for passage in chain.from_iterable(job.plans[row["id"]]):
            pairs.append((row["id"], passage))
            asked.append((Start(trajectory, row["turn"], passages[passage]), turns))
    build, compute = partial(_build_reader, job.args, job.params, protocol), job.params.compute
    options = {"devices": 1, "desc": "correctness", "unit": "passage"}
    rated = rows_of(asked, SHARD, build, compute, job.scratch, **options)
    likelihoods: dict = {query: {} for query in job.plans}
    for (query, passage), row in zip(pairs, rated, strict=True):
        likelihoods[query][passage] = row["likelihood"]
    return likelihoods, sum(row["read"] for row in rated)


def _build(args: argparse.Namespace, params: Params) -> Work:
    """Load the models that finish trajectories."""
    from stages.engines.loading import load_agent
    from stages.gac import rollouts
    from stages.retrieval.searcher import load_searcher
    from stages.rollout.loop import Limits
    from stages.rollout.protocol import load_protocol

    compute = params.compute
    agent = load_agent(args.agent, params.generation, compute)
    searcher = load_searcher(args.index, args.passages, args.retriever, compute)
    search = partial(searcher.search, top_k=params.rollout.top_k)
    protocol, limits = load_protocol(args.agent, params.protocol), Limits.of(params.rollout)

    def finish(part: list[Start], advance: Advance) -> list[dict]:
        return rollouts.finish(part, agent, search, protocol, limits, advance)

    return finish


def _build_reader(args: argparse.Namespace, params: Params, protocol: Protocol) -> Work:
    """Load the model that rates answers."""
    from stages.distillation.likelihood import load_reader, rate
    from stages.rollout.loop import Limits

    reader = load_reader(args.agent, params.generation, params.compute)
    limits = Limits.of(params.rollout)

    def rate_part(part: list[Asked], advance: Advance) -> list[dict]:
        return rate(part, reader, protocol, limits, advance)

    return rate_part


if __name__ == "__main__":
    run(main)
