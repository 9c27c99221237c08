"""Steps B3 and B4: sub-answers, then local relevance (LR) of every candidate, by the judge.

In: candidates, the trajectories they come from, the judge. Out: for each query the sub-answer (null
where the judge is not sure) and an integer 0..100 for each candidate (null with
`relevance.mode: off`, the ablation without LR, which asks no judge). The prompts are the files that
`relevance.prompt` and `relevance.sub_answer_prompt` name. A reply that cannot be read is asked for
again; a query whose grades stay unreadable is dropped and counted, and what the judge said then is
kept beside the labels, in K.failed.jsonl: a row {id, reply, reason, tries} for each prompt whose
reply could not be read. Where more than `relevance.max_dropped` of the queries are lost, the stage
fails once all of this is written.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from stages.params import Params, RelevanceMode, load_params
from stages.plumbing.errors import run
from stages.running.scratch import Scratch, fingerprint
from stages.running.workers import Advance, Work, rows_of

if TYPE_CHECKING:
    from stages.common.candidates import QueryCandidates
    from stages.judge.judging import JudgedTrajectory, JudgePrompts

SHARD = 32  # trajectories between two save points


def main(argv: list[str] | None = None) -> None:
    """Grade the candidates of one iteration of the flywheel."""
    args = _arguments(argv)
    params = load_params()

    from stages.common.candidates import read_candidates
    from stages.common.records import write_json, write_jsonl
    from stages.judge.judging import JudgePrompts, judging_metrics, with_noise
    from stages.plumbing.losses import check_lost

    candidates = read_candidates(args.candidates)
    unread = Path(args.output).with_suffix(".failed.jsonl")
    if params.relevance.mode is RelevanceMode.off:
        rows = [{"id": each.id, "sub_answer": None, "scores": None} for each in candidates]
        write_jsonl(args.output, rows)
        write_jsonl(unread, [])
        write_json(args.metrics, {"in": len(rows), "out": len(rows), "dropped": {}})
        return
    block = params.relevance
    prompts = JudgePrompts.load(block)
    inputs = (args.candidates, args.trajectories, args.passages, args.judge)
    stage = f"relevance@{args.iteration}"
    files = (*inputs, block.prompt, block.sub_answer_prompt)
    with Scratch(stage, fingerprint(stage, params, *files)) as scratch:
        rows = _judged(candidates, prompts, args, params, scratch)
        rows = [with_noise(row, block.noise, params.seed) for row in rows]
        kept = [row for row in rows if row["scores"] is not None]
        write_jsonl(args.output, ({k: r[k] for k in ("id", "sub_answer", "scores")} for r in kept))
        failed = [reply for row in rows for reply in row["failed"]]
        write_jsonl(unread, failed)
        counts = judging_metrics(rows)
        write_json(args.metrics, counts)
        grades = (reply for reply in failed if reply["id"].startswith("relevance/"))
        example = next((reply["reply"] or "" for reply in grades), "")
        where = f"the replies are in {unread}"
        check_lost(
            f"relevance@{args.iteration}",
            "queries",
            counts["dropped"],
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
    candidates: list[QueryCandidates],
    prompts: JudgePrompts,
    args: argparse.Namespace,
    params: Params,
    scratch: Scratch,
) -> list[dict]:
    """The judge's rows for all candidates rows, trajectory by trajectory."""
    from stages.engines.loading import judge_devices
    from stages.judge.judging import asked_of

    return rows_of(
        asked_of(candidates, args.trajectories, args.passages),
        SHARD,
        partial(_build, args.judge, prompts, params),
        params.compute,
        scratch,
        inputs=[args.passages, args.judge],
        devices=judge_devices(params.compute),
        desc="relevance",
        unit="query",
        total=len(candidates),
    )


def _build(folder: str, prompts: JudgePrompts, params: Params) -> Work:
    """Load the judge."""
    from stages.engines.loading import load_judge
    from stages.judge.asking import Judge
    from stages.judge.judging import judge_trajectories

    block = params.relevance
    judge = Judge(
        load_judge(folder, params.generation, params.compute),
        seed=params.seed,
        retries=block.retries,
        temperature=block.temperature,
        max_reply_tokens=block.max_reply_tokens,
    )

    def grade(part: list[JudgedTrajectory], advance: Advance) -> list[dict]:
        rows = judge_trajectories(judge, prompts, part, block)
        advance(len(rows))
        return rows

    return grade


if __name__ == "__main__":
    run(main)
