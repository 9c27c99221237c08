"""One (agent, retriever) pair on every question set: EM, F1, searches per question, recall.

Agentic-R, step D and its tables. Greedy rollouts; all question sets share the batches. Exact
match and F1 as SQuAD defines them, each with an interval over questions (over fact chains, where
questions share them: docs/statistics.md). The frame and the limits are the run's, or those of the
block `evaluate`, and an agent's own folder may have others. Beyond the paper: recall@k of the gold
passages (stages/evaluation/recall.py) and of passages that hold a gold answer
(stages/evaluation/bearing.py), and the predictions are kept, so that any two pairs can be compared
question by question. Of the development sets, which decisions look at (stages/health.py), the
figures alone are kept.

in:  an agent, an index with its retriever, the corpus, a folder of question sets (one file each),
     and for a pair that decisions look at one of development sets
out: trajectories with their set, and for each turn the `ranked` passage ids; the figures
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from stages.common.evaluations import TITLES, Evaluation, SetResult
from stages.common.records import Question, read_questions, write_json, write_jsonl
from stages.common.trajectories import trajectory_of
from stages.params import Params, load_params
from stages.plumbing.errors import InputError, run
from stages.rollout.protocol import rollout_of
from stages.running.scratch import Scratch, fingerprint
from stages.running.workers import Advance, Work, rows_of

if TYPE_CHECKING:
    from stages.common.records import Passage
    from stages.common.search import Hit, SearchRequest
    from stages.evaluation.summary import SetFigures

SHARD = 512  # questions between two save points
DEVELOPMENT = "development/"  # before the name of such a set, while both kinds share the batches
PLACES = "answer_places"  # in rows until they are counted: where queries found a gold answer

SetQuestions = list[tuple[str, Question]]  # with the name of the set that each is from
Figures = dict[str, "SetFigures"]  # by question set


def main(argv: list[str] | None = None) -> None:
    """Evaluate the pair and write its predictions and figures."""
    args = _arguments(argv)
    params = load_params()

    from stages.serving.process import running_server

    params = replace(params, rollout=rollout_of(args.agent, params.evaluation_rollout))
    questions = _question_sets(args.questions)
    if args.development:
        questions += [(DEVELOPMENT + name, q) for name, q in _sets_in(args.development)]
    inputs = [args.agent, args.index, args.passages, args.questions]
    inputs += [args.development] if args.development else []
    if args.retriever and args.retriever.exists():
        inputs.append(args.retriever)
    stage = f"evaluate@{args.name}"
    with Scratch(stage, fingerprint(stage, params, *inputs)) as scratch:
        rows = rows_of(
            questions,
            SHARD,
            partial(_build, args, params),
            params.compute,
            scratch,
            inputs=inputs,
            devices=params.generation.tensor_parallel,
            desc="evaluate",
            unit="question",
            total=len(questions),
            server=partial(running_server, args.index, args.passages, args.retriever),
        )
        figures: Figures = {}
        write_jsonl(args.output, _of_tests(rows, figures, params))
        found = _evaluation(args, figures, questions)
        write_json(args.metrics, found.row())
    print(_told(found, args))


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--name", required=True, help="what the pair is called")
    parser.add_argument("--agent", required=True, type=Path, help="folder of the language model")
    parser.add_argument("--index", required=True, type=Path, help="folder of the index")
    parser.add_argument("--retriever", type=Path, help="folder of the encoder; BM25 has none")
    parser.add_argument("--passages", required=True, type=Path, help="the corpus")
    parser.add_argument("--questions", required=True, type=Path, help="folder, one file a set")
    parser.add_argument("--development", type=Path, help="folder of development sets, or none")
    parser.add_argument("--output", required=True, type=Path, help="predictions, JSON Lines")
    parser.add_argument("--metrics", required=True, type=Path, help="the figures, JSON")
    return parser.parse_args(argv)


def _question_sets(folder: Path) -> SetQuestions:
    if not (sets := _sets_in(folder)):
        raise InputError(f"{folder}: holds no question set (a file NAME.jsonl)")
    return sets


def _sets_in(folder: Path) -> SetQuestions:
    files = sorted(folder.glob("*.jsonl"))
    return [(file.stem, question) for file in files for question in read_questions(file)]


def _of_tests(rows: Iterable[dict], figures: Figures, params: Params) -> Iterator[dict]:
    """The predictions of test sets. All sets' are counted in `figures`."""
    from stages.evaluation.summary import figures_of

    for number, row in enumerate(rows, 1):
        prediction = {key: value for key, value in row.items() if key != PLACES}
        if (name := row["set"]) not in figures:
            figures[name] = figures_of(params)
        figures[name].add(trajectory_of(prediction, f"question {number}"))
        figures[name].add_answers(row[PLACES])
        if not name.startswith(DEVELOPMENT):
            yield prediction


def _build(args: argparse.Namespace, params: Params, address: str | None = None) -> Work:
    """Load the pair."""
    from stages.engines.loading import load_agent
    from stages.rollout.protocol import load_protocol
    from stages.serving.shared import searcher_at

    # first: it takes what the engine leaves
    searcher = searcher_at(address, args.index, args.passages, args.retriever, params.compute)
    context = params.rollout.max_context_tokens
    agent = load_agent(args.agent, params.generation, params.compute, context=context)
    protocol = load_protocol(args.agent, params.evaluation_protocol)
    return partial(_rollouts, agent, searcher, protocol, params)


def _rollouts(
    agent, searcher, protocol, params: Params, part: SetQuestions, advance: Advance
) -> list[dict]:
    from stages.evaluation.bearing import first_hits, normal_text
    from stages.rollout.loop import record, run, start

    depth = params.rollout.depth(max([params.rollout.top_k, *params.evaluate.recall_at]))
    rollouts = [start(question, protocol, agent.tokenizer) for _, question in part]
    found: dict[str, Passage] = {}

    def search(requests: list[SearchRequest]) -> list[list[Hit]]:
        several = searcher.search(requests, top_k=depth)
        found.update((hit.passage.id, hit.passage) for hits in several for hit in hits)
        return several

    limits, shown = params.rollout, params.rollout.top_k
    run(rollouts, agent, search, protocol, limits, shown=shown, advance=advance)
    passages = {key: normal_text(passage.contents) for key, passage in found.items()}
    rows = []
    for (set_name, question), rollout in zip(part, rollouts, strict=True):
        support = question.metadata.get("supporting_ids") or []
        about = {"set": set_name, "hops": len(support), "supporting_ids": support}
        asked = [turn.ranked for turn in rollout.turns if turn.ranked is not None]
        places = first_hits(question.golden_answers, asked, passages)
        rows.append(replace(record(rollout), **about).row() | {PLACES: places})
    return rows


def _evaluation(args: argparse.Namespace, figures: Figures, questions: SetQuestions) -> Evaluation:
    titled = {name for name, question in questions if "supporting_titles" in question.metadata}
    tests: dict[str, SetResult] = {}
    development: dict[str, SetResult] = {}
    for name, part in figures.items():
        result = replace(part.result(), support=TITLES if name in titled else None)
        sets = development if name.startswith(DEVELOPMENT) else tests
        sets[name.removeprefix(DEVELOPMENT)] = result
    return Evaluation(args.agent.name, args.index.name, tests, development)


def _told(found: Evaluation, args: argparse.Namespace) -> str:
    """The last line of the stage: what came out and where all of it is."""
    return (
        f"agent {found.agent} with retriever {found.retriever}: EM {100 * found.mean('em'):.1f} %, "
        f"{found.mean('searches'):.2f} searches a question (means over {', '.join(found.sets)}). "
        f"Figures: {args.metrics}; answers: {args.output}; all pairs in a table: make compare"
    )


if __name__ == "__main__":
    run(main)
