"""Stage oracle@NAME: an agent whose retriever's top 20 are ranked by GAC: what is left to gain.

No system, but a bound for labels of the same candidates: at every query of every test question the
passages that lead to the right answer come first (stages/reranking/oracle.py), and the agent is
shown the first 3 as ever. It takes up to `candidates.top_k` rollouts a query, so that
`oracle.NAME.questions` of each set are asked, drawn by the seed. All else is as in the stage
evaluate, whose tables have it as another pair, with the retriever's name marked.

in:  an agent, an index with its retriever, the corpus, a folder of question sets (one file each)
out: predictions and figures as of evaluate; what the ranking took, by question set
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from stages.params import Params, load_params, oracle_name
from stages.plumbing.errors import run
from stages.running.workers import Advance, Work

if TYPE_CHECKING:
    from stages.evaluation.asking import MetricsBySet, SetQuestions

SHARD = 64  # questions between two save points
PRICE = "price"  # in rows until it is added up: what the ranking of a question's queries took


def main(argv: list[str] | None = None) -> None:
    """Evaluate the agent with the oracle's ranking and write predictions, figures and price."""
    args = _arguments(argv)
    params = load_params()

    from stages.common.records import write_json, write_jsonl
    from stages.evaluation import asking
    from stages.evaluation.blocks import evaluation_rollout
    from stages.reranking.oracle import add_up
    from stages.rollout.blocks import rollout_of

    params = replace(params, rollout=rollout_of(args.agent, evaluation_rollout(params)))
    questions = _drawn(asking.question_sets(args.questions), args.name, params)
    with asking.asked_rows("oracle", questions, SHARD, _build, args, params) as rows:
        metrics: MetricsBySet = {}
        prices: dict[str, list[dict]] = {}
        predictions = asking.of_tests(_priced(rows, prices), metrics, params)
        write_jsonl(args.output, predictions)
        retriever = oracle_name(args.index.name)
        found = asking.evaluation_of(args.agent.name, retriever, metrics, questions)
        write_json(args.metrics, found.row())
        sets = {name: add_up(each) for name, each in prices.items()}
        write_json(args.price, {"questions": len(questions), "sets": sets})
    rollouts = sum(each["rollouts"] for each in sets.values())
    print(f"a bound, no system: {rollouts} rollouts ranked what was found ({args.price})")
    print(asking.result_line(found, args.metrics, args.output))


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--name", required=True, help="what the pair is called")
    parser.add_argument("--agent", required=True, type=Path, help="folder of the language model")
    parser.add_argument("--index", required=True, type=Path, help="folder of the index")
    parser.add_argument("--retriever", type=Path, help="folder of the encoder; BM25 has none")
    parser.add_argument("--passages", required=True, type=Path, help="the corpus")
    parser.add_argument("--questions", required=True, type=Path, help="folder, one file a set")
    parser.add_argument("--output", required=True, type=Path, help="predictions, JSON Lines")
    parser.add_argument("--metrics", required=True, type=Path, help="the figures, JSON")
    parser.add_argument("--price", required=True, type=Path, help="what the ranking took, JSON")
    return parser.parse_args(argv)


def _drawn(questions: SetQuestions, name: str, params: Params) -> SetQuestions:
    """`oracle.NAME.questions` of each set, in its order; all of a set that has fewer. The draw is
    the same for every NAME."""
    from stages.rollout.draw import draw_questions

    count, sets = params.oracle[name].questions, {}
    for set_name, question in questions:
        sets.setdefault(set_name, []).append(question)
    return [
        (set_name, question)
        for set_name, each in sets.items()
        for question in draw_questions(
            each, count and min(count, len(each)), params.seed, "oracle", set_name
        )
    ]


def _priced(rows: Iterable[dict], prices: dict[str, list[dict]]) -> Iterator[dict]:
    """The rows without what the ranking took, which `prices` has by set."""
    for row in rows:
        prices.setdefault(row["set"], []).append(row[PRICE])
        yield {key: value for key, value in row.items() if key != PRICE}


def _build(args: argparse.Namespace, params: Params, addresses: Sequence[str] = ()) -> Work:
    """Load the pair."""
    from stages.evaluation.asking import load_pair

    return partial(_rollouts, *load_pair(args, params, addresses), params)


def _rollouts(
    agent, searcher, protocol, params: Params, part: SetQuestions, advance: Advance
) -> list[dict]:
    from stages.evaluation.asking import answered, begun
    from stages.gac.rollouts import Start, finish
    from stages.reranking.oracle import OracleSearch
    from stages.rollout.blocks import search_depth

    limits, top = params.rollout, params.candidates.top_k
    shown = partial(searcher.search, top_k=search_depth(limits, limits.top_k))

    def finished(starts: list[Start]) -> list[dict]:
        return finish(starts, agent, shown, protocol, limits, lambda rollouts: None)

    rollouts = begun(part, agent, protocol)
    depth = search_depth(limits, max([limits.top_k, top, *params.evaluate.recall_at]))
    search = partial(searcher.search, top_k=depth)
    oracle = OracleSearch(rollouts, search, finished, top, limits)
    rows = answered(part, rollouts, agent, oracle, protocol, params, advance)
    prices = (price.row() for price in oracle.prices)
    return [row | {PRICE: price} for row, price in zip(rows, prices, strict=True)]


if __name__ == "__main__":
    run(main)
