"""Steps B3 and B4: sub-answers, then local relevance (LR) of every candidate, by the judge.

In: candidates, the trajectories they come from, the judge. Out: for each query the sub-answer (null
where the judge is not sure) and an integer 0..100 for each candidate (null with
`relevance.mode: off`, the ablation without LR, which asks no judge). The prompts are the files that
`relevance.prompt` and `relevance.sub_answer_prompt` name. A reply that cannot be read is asked for
again; a query whose grades stay unreadable is dropped and counted, and what the judge said then is
kept beside the labels, in K.failed.jsonl: a row {id, reply, reason, tries} for each prompt whose
reply could not be read. A query whose sub-answer stays unreadable is graded without a reference,
as if the judge had not been sure, and counts as lost too. Where more than `relevance.max_dropped`
of the queries are lost, the stage fails once all of this is written.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from stages.params import Params, RelevanceMode, check_weights, load_params
from stages.plumbing.errors import run
from stages.running.scratch import Scratch, fingerprint
from stages.running.workers import Advance, Work, rows_of

if TYPE_CHECKING:
    from stages.judge.judging import JudgedTrajectory, JudgePrompts

SHARD = 32  # trajectories between two save points


def main(argv: list[str] | None = None) -> None:
    """Grade the candidates of one iteration of the flywheel."""
    args = _arguments(argv)
    params = load_params()
    check_weights(params)

    from stages.common.candidates import iter_candidates, wanted_by
    from stages.common.records import write_json, write_jsonl
    from stages.judge.judging import JudgePrompts, JudgingCounts, with_noise
    from stages.plumbing.losses import check_lost

    queries, wanted = wanted_by(args.candidates)
    unread = Path(args.output).with_suffix(".failed.jsonl")
    if params.relevance.mode is RelevanceMode.off:
        ids = (each.id for each in iter_candidates(args.candidates))
        write_jsonl(args.output, ({"id": i, "sub_answer": None, "scores": None} for i in ids))
        write_jsonl(unread, [])
        write_json(args.metrics, {"in": queries, "out": queries, "dropped": {}})
        return
    block = params.relevance
    prompts = JudgePrompts.load(block)
    inputs = (args.candidates, args.trajectories, args.passages, args.judge)
    stage = f"relevance@{args.iteration}"
    files = (*inputs, block.prompt, block.sub_answer_prompt)
    with Scratch(stage, fingerprint(stage, params, *files)) as scratch:
        told, failed = JudgingCounts(), []

        def kept() -> Iterator[dict]:
            for judged in _judged(queries, wanted, prompts, args, params, scratch):
                row = with_noise(judged, block.noise, params.seed)
                told.add(row)
                failed.extend(row["failed"])
                if row["scores"] is not None:
                    yield {key: row[key] for key in ("id", "sub_answer", "scores")}

        write_jsonl(args.output, kept())
        write_jsonl(unread, failed)
        counts = told.metrics()
        write_json(args.metrics, counts)
        example = next((reply["reply"] for reply in failed if reply["reply"]), "")
        where = f"the replies are in {unread}"
        check_lost(
            f"relevance@{args.iteration}",
            "queries",
            told.lost,
            counts["in"],
            block.max_dropped,
            where,
            example,
        )


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--iteration", required=True, help="k, the iteration of the flywheel")
    parser.add_argument("--candidates", required=True, help="rows of the stage candidates")
    parser.add_argument("--trajectories", required=True, help="trajectories of Agent_k")
    parser.add_argument("--passages", required=True, help="the corpus")
    parser.add_argument("--judge", required=True, help="folder of the judging language model")
    parser.add_argument(
        "--output", required=True, help="a row for each query; .failed.jsonl beside"
    )
    parser.add_argument("--metrics", required=True, help="counts, JSON")
    return parser.parse_args(argv)


def _judged(
    queries: int,
    wanted: set[str],
    prompts: JudgePrompts,
    args: argparse.Namespace,
    params: Params,
    scratch: Scratch,
) -> Iterator[dict]:
    """The judge's rows for all `queries`, trajectory by trajectory; `wanted`: their passages."""
    from stages.common.corpus import WantedPassages
    from stages.engines.loading import judge_devices
    from stages.judge.judging import asked_of

    return rows_of(
        asked_of(args.candidates, args.trajectories, WantedPassages(args.passages, wanted)),
        SHARD,
        partial(_build, args.judge, prompts, params),
        params.compute,
        scratch,
        inputs=[args.passages, args.judge],
        devices=judge_devices(params.relevance.judge_tensor_parallel, params.compute),
        desc="relevance",
        unit="query",
        total=queries,
    )


def _build(folder: str, prompts: JudgePrompts, params: Params) -> Work:
    """Load the judge."""
    from stages.judge.judging import judge_trajectories
    from stages.judge.loading import judge_of

    judge = judge_of(folder, params)

    def grade(part: list[JudgedTrajectory], advance: Advance) -> list[dict]:
        rows = judge_trajectories(judge, prompts, part, params.relevance)
        advance(len(rows))
        return rows

    return grade


if __name__ == "__main__":
    run(main)
