"""Ask an agent the questions of several sets, and count what comes of it."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from stages.common.evaluations import TITLES, Evaluation, SetResult
from stages.common.records import Question, read_questions
from stages.common.search import Hit, SearchRequest
from stages.common.trajectories import trajectory_of
from stages.evaluation.bearing import first_hits, normal_text
from stages.evaluation.summary import SetMetrics, metrics_of
from stages.params import Params
from stages.plumbing.errors import InputError
from stages.rollout import loop
from stages.running.scratch import Scratch, fingerprint
from stages.running.workers import Work, rows_of

if TYPE_CHECKING:
    from stages.engines.generator import Generator
    from stages.retrieval.searcher import Searcher
    from stages.rollout.protocol import AgentProtocol
    from stages.serving.client import HttpSearcher

DEVELOPMENT = "development/"  # before the name of such a set, while both kinds share the batches
POSITIONS = "answer_positions"  # in rows until they are counted: where queries found a gold answer

SetQuestions = list[tuple[str, Question]]  # with the name of the set that each is from
MetricsBySet = dict[str, SetMetrics]  # by question set


def question_sets(folder: Path) -> SetQuestions:
    """The questions of every set. InputError where there is no set."""
    if not (sets := sets_in(folder)):
        raise InputError(f"{folder}: holds no question set (a file NAME.jsonl)")
    return sets


def sets_in(folder: Path) -> SetQuestions:
    """The questions of the sets that there are."""
    files = sorted(folder.glob("*.jsonl"))
    return [(file.stem, question) for file in files for question in read_questions(file)]


@contextmanager
def asked_rows(
    stage: str,
    questions: SetQuestions,
    shard: int,
    build: Callable[..., Work],
    args: argparse.Namespace,
    params: Params,
    more: Sequence[Path] = (),
) -> Iterator[Iterator[dict]]:
    """The rows of `questions` under the pair of `args`, `shard` of them between two save points.

    `build` makes the work from (args, params, addresses of retriever servers); `more`: inputs of
    the stage beside the pair, the corpus and the folder of questions. What is saved ends with the
    block.
    """
    from stages.serving.shared import shared_servers

    inputs = [args.agent, args.index, args.passages, args.questions, *more]
    if args.retriever and args.retriever.exists():
        inputs.append(args.retriever)
    name = f"{stage}@{args.name}"
    with Scratch(name, fingerprint(name, params, *inputs)) as scratch:
        yield rows_of(
            questions,
            shard,
            partial(build, args, params),
            params.compute,
            scratch,
            inputs=inputs,
            devices=params.generation.tensor_parallel,
            desc=stage,
            unit="question",
            total=len(questions),
            server=partial(
                shared_servers, params.compute, args.index, args.passages, args.retriever
            ),
        )


def load_pair(
    args: argparse.Namespace, params: Params, addresses: Sequence[str]
) -> tuple[Generator, Searcher | HttpSearcher, AgentProtocol]:
    """The agent, the searcher (at `addresses`, or opened here) and how the agent talks."""
    from stages.engines.loading import load_agent
    from stages.evaluation.blocks import evaluation_protocol
    from stages.rollout.protocol import load_protocol
    from stages.rollout.visit_calls import with_visit_tool
    from stages.serving.shared import searcher_at

    # first: it takes what the engine leaves
    searcher = searcher_at(addresses, args.index, args.passages, args.retriever, params.compute)
    context = params.rollout.max_context_tokens
    agent = load_agent(args.agent, params.generation, params.compute, context=context)
    protocol = with_visit_tool(load_protocol(args.agent, evaluation_protocol(params)))
    return agent, searcher, protocol


def begun(part: SetQuestions, agent: Generator, protocol: AgentProtocol) -> list[loop.RolloutState]:
    """A rollout for each question, of which the prompt is there."""
    return [loop.start(question, protocol, agent.tokenizer) for _, question in part]


def answered(
    part: SetQuestions,
    rollouts: Sequence[loop.RolloutState],
    agent: Generator,
    search: Callable[[list[SearchRequest]], list[list[Hit]]],
    protocol: AgentProtocol,
    params: Params,
    advance: Callable[[int], object],
) -> list[dict]:
    """Finish the `rollouts` of `part`. The rows of the predictions, each with POSITIONS.

    `search` gives as many passages as recall asks for; the agent is shown the first of them.
    """
    limits, found = params.rollout, {}

    def noted(requests: list[SearchRequest]) -> list[list[Hit]]:
        several = search(requests)
        found.update((hit.passage.id, hit.passage) for hits in several for hit in hits)
        return several

    loop.run(rollouts, agent, noted, protocol, limits, shown=limits.top_k, advance=advance)
    passages = {key: normal_text(passage.contents) for key, passage in found.items()}
    rows = []
    for (set_name, question), rollout in zip(part, rollouts, strict=True):
        support = question.metadata.get("supporting_ids") or []
        about = {"set": set_name, "hops": len(support), "supporting_ids": support}
        asked = [turn.ranked for turn in rollout.turns if turn.ranked is not None]
        positions = first_hits(question.golden_answers, asked, passages)
        rows.append(replace(loop.record(rollout), **about).row() | {POSITIONS: positions})
    return rows


def of_tests(rows: Iterable[dict], metrics: MetricsBySet, params: Params) -> Iterator[dict]:
    """The predictions of test sets. All sets' are counted in `figures`."""
    for number, row in enumerate(rows, 1):
        prediction = {key: value for key, value in row.items() if key != POSITIONS}
        if (name := row["set"]) not in metrics:
            metrics[name] = metrics_of(params)
        metrics[name].add(trajectory_of(prediction, f"question {number}"))
        metrics[name].add_answers(row[POSITIONS])
        if not name.startswith(DEVELOPMENT):
            yield prediction


def evaluation_of(
    agent: str, retriever: str, metrics: MetricsBySet, questions: SetQuestions
) -> Evaluation:
    """What a pair measured on the sets of `questions`."""
    titled = {name for name, question in questions if "supporting_titles" in question.metadata}
    tests: dict[str, SetResult] = {}
    development: dict[str, SetResult] = {}
    for name, part in metrics.items():
        result = replace(part.result(), support=TITLES if name in titled else None)
        sets = development if name.startswith(DEVELOPMENT) else tests
        sets[name.removeprefix(DEVELOPMENT)] = result
    return Evaluation(agent, retriever, tests, development)


def result_line(found: Evaluation, metrics: Path, answers: Path) -> str:
    """The last line of a stage that evaluates: what came out and where all of it is."""
    return (
        f"agent {found.agent} with retriever {found.retriever}: EM {100 * found.mean('em'):.1f} %, "
        f"{found.mean('searches'):.2f} searches a question (means over {', '.join(found.sets)}). "
        f"Figures: {metrics}; answers: {answers}; all pairs in a table: make compare"
    )
