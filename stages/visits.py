"""Visits: which of the passages that each query showed the agent then used.

Not of the paper: what LRAT, ITER and others label by, where the paper rolls out. In: trajectories,
the corpus, and for `visits.source: judged` the judge. Out: for each intermediate query the passages
that it showed, those of them that the agent used (null with `off`: nobody looked), how many words
it then thought (not with `off`), and whether the trajectory ended right. With `visits.source: tool`
it used what it opened by a call, and the judge is read only where `visits.verify` has it reject
some of these, which the row then names too. Queries without a visit are counted by reason;
`visits.miss` and `visits.false` make visits worse, to study them. Replies of the judge that stay
unreadable are kept in K.failed.jsonl; where more than `visits.max_dropped` are, the stage fails at
its end.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from stages.params import Params, VisitSource, load_params
from stages.plumbing.errors import InputError, run
from stages.running.scratch import Scratch, fingerprint
from stages.running.workers import Advance, Work, rows_of

if TYPE_CHECKING:
    from stages.common.corpus import WantedPassages
    from stages.common.records import Passage
    from stages.judge.prompts import Prompt
    from stages.visiting.found import FoundVisits
    from stages.visiting.judged import JudgedVisit
    from stages.visiting.opened import OpenedQuery
    from stages.visiting.told import ShownQuery

SHARD = 256  # queries between two save points


def main(argv: list[str] | None = None) -> None:
    """Find the visits of one iteration of the flywheel."""
    args = _arguments(argv)
    params = load_params()

    from stages.common.records import write_jsonl
    from stages.plumbing.losses import check_lost
    from stages.visiting.counts import VisitCounts
    from stages.visiting.noise import worsened

    block, counts, failed = params.visits, VisitCounts(), []
    looked = block.source is not VisitSource.off

    def kept(rows: Iterator[FoundVisits]) -> Iterator[dict]:
        for found in rows:
            left = worsened(found.visits, block.miss, block.false, params.seed, args.iteration)
            counts.add(found, left)
            failed.extend(found.failed)
            yield left.row()

    opened = block.source is VisitSource.tool
    if block.source is VisitSource.judged or block.verify:
        stage = f"visits@{args.iteration}"
        inputs = (args.trajectories, args.passages, args.judge, block.prompt)
        with Scratch(stage, fingerprint(stage, params, *inputs)) as scratch:
            write_jsonl(args.output, kept(_judged(args, params, scratch)))
            _write_counts(args, counts.metrics(looked), failed)
            check_lost(
                stage,
                "visits" if opened else "queries",
                counts.unread,
                counts.sums["asked"],
                block.max_dropped,
                f"the replies are in {_unread(args)}",
                next((row["reply"] or "" for row in failed), ""),
            )
        return
    write_jsonl(args.output, kept(_opened(args) if opened else _told(args, looked)))
    _write_counts(args, counts.metrics(looked), failed)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--iteration", required=True, help="k, the iteration of the flywheel")
    parser.add_argument("--trajectories", required=True, help="trajectories of Agent_k")
    parser.add_argument("--passages", required=True, help="the corpus")
    parser.add_argument("--judge", required=True, help="folder of the judging language model")
    parser.add_argument(
        "--output", required=True, help="a row for each query; .failed.jsonl beside"
    )
    parser.add_argument("--metrics", required=True, help="counts, JSON")
    return parser.parse_args(argv)


def _unread(args: argparse.Namespace) -> Path:
    return Path(args.output).with_suffix(".failed.jsonl")


def _write_counts(args: argparse.Namespace, counts: dict, failed: list[dict]) -> None:
    from stages.common.records import write_json, write_jsonl

    write_jsonl(_unread(args), failed)
    write_json(args.metrics, counts)


def _queries(args: argparse.Namespace) -> Iterator[ShownQuery]:
    from stages.common.trajectories import iter_trajectories
    from stages.visiting.told import shown_queries

    for trajectory in iter_trajectories(args.trajectories):
        yield from shown_queries(trajectory)


def _opened_queries(args: argparse.Namespace) -> Iterator[OpenedQuery]:
    """InputError at the end if no turn of the whole file called a visit tool."""
    from stages.common.trajectories import iter_trajectories
    from stages.visiting.opened import opened_queries

    calls = 0
    for trajectory in iter_trajectories(args.trajectories):
        calls += sum(turn.visit is not None for turn in trajectory.turns)
        yield from opened_queries(trajectory)
    if not calls:
        raise InputError(
            f"{args.trajectories}: no turn calls a visit tool, which 'visits.source' (tool) reads: "
            "its agent had none, or never used it"
        )


def _asked(
    args: argparse.Namespace, queries: Callable, used: Callable
) -> tuple[int, WantedPassages]:
    """How many `queries` there are, and the passages that any of them `used`: known before the
    first is asked, so that queries are then read once more and none is held."""
    from stages.common.corpus import WantedPassages

    count, wanted = 0, set()
    for query in queries(args):
        count += 1
        wanted.update(used(query))
    return count, WantedPassages(args.passages, wanted)


def _found(query: ShownQuery, visits: list[str] | None, *replies) -> FoundVisits:
    """The `visits` of a query; `replies`: its judge's retries and failed replies."""
    from stages.common.visits import QueryVisits
    from stages.visiting.found import FoundVisits
    from stages.visiting.told import NONE_USED

    reasoning = None if visits is None else query.reasoning
    found = QueryVisits(query.id, query.em, query.shown, visits, reasoning)
    why, asked = query.silent or NONE_USED, int(query.thought is not None)
    return FoundVisits(found, why, asked, *replies)


def _told(args: argparse.Namespace, looked: bool) -> Iterator[FoundVisits]:
    """The visits of all queries, by what the agent's thoughts restate."""
    from stages.visiting.told import restated

    _, passages = _asked(args, _queries, _ids_shown) if looked else (0, {})
    for query in _queries(args):
        visits = [] if looked else None
        if looked and query.thought is not None:
            visits = restated(query.thought, [passages[one] for one in query.shown])
        yield _found(query, visits)


def _opened(args: argparse.Namespace) -> Iterator[FoundVisits]:
    """The visits of all queries, by what the agent opened."""
    return (_found_opened(query) for query in _opened_queries(args))


def _found_opened(query: OpenedQuery, said: dict[str, JudgedVisit] | None = None) -> FoundVisits:
    """The visits of a query; `said`: by passage, what the judge said of them, or None."""
    from stages.common.visits import QueryVisits
    from stages.visiting.found import FoundVisits
    from stages.visiting.opened import ALL_REJECTED, NONE_OPENED, reasoning_after, rejects
    from stages.visiting.told import NOTHING_SHOWN

    replies = (said or {}).values()
    rejected = [one for one, reply in (said or {}).items() if rejects(reply)]
    visits = [each.id for each in query.opened if each.id not in rejected]
    none = NONE_OPENED if query.shown else NOTHING_SHOWN
    reasoning = reasoning_after(query.opened, visits)
    told = (None if said is None else rejected, query.elsewhere)
    return FoundVisits(
        QueryVisits(query.query.id, query.em, query.shown, visits, reasoning, *told),
        ALL_REJECTED if rejected else none,
        len(replies),
        sum(reply.retries for reply in replies),
        [reply.failed for reply in replies if reply.failed],
        query.again,
    )


def _judged(args: argparse.Namespace, params: Params, scratch: Scratch) -> Iterator[FoundVisits]:
    """The visits of all queries, by the judge."""
    from stages.engines.loading import judge_devices
    from stages.visiting.found import FoundVisits
    from stages.visiting.judged import load_prompt

    prompt, opened = load_prompt(params.visits.prompt), params.visits.source is VisitSource.tool
    queries, used = (_opened_queries, _ids_opened) if opened else (_queries, _ids_shown)
    count, passages = _asked(args, queries, used)
    asked = ((query, [passages[one] for one in used(query)]) for query in queries(args))
    rows = rows_of(
        asked,
        SHARD,
        partial(_build, args.judge, prompt, params),
        params.compute,
        scratch,
        inputs=[args.passages, args.judge],
        devices=judge_devices(params.relevance.judge_tensor_parallel, params.compute),
        desc="visits",
        unit="query",
        total=count,
    )
    return map(FoundVisits.of, rows)


def _ids_shown(query: ShownQuery) -> list[str]:
    return query.shown


def _ids_opened(query: OpenedQuery) -> list[str]:
    return [each.id for each in query.opened]


def _build(folder: str, prompt: Prompt, params: Params) -> Work:
    """Load the judge."""
    from stages.judge.loading import judge_of
    from stages.visiting.judged import ask_visits
    from stages.visiting.opened import ask_rejected

    judge = judge_of(folder, params)

    def verify(part: list[tuple[OpenedQuery, list[Passage]]], advance: Advance) -> list[dict]:
        said = ask_rejected(judge, prompt, part)
        found = (_found_opened(query, own) for (query, _), own in zip(part, said, strict=True))
        rows = [each.row() for each in found]
        advance(len(rows))
        return rows

    if params.visits.source is VisitSource.tool:
        return verify

    def find(part: list[tuple[ShownQuery, list[Passage]]], advance: Advance) -> list[dict]:
        telling = [each for each in part if each[0].thought is not None]
        said = iter(ask_visits(judge, prompt, telling))
        rows = []
        for query, _ in part:
            if query.thought is None:
                rows.append(_found(query, []).row())
                continue
            visit = next(said)
            visits = [visit.passage] if visit.passage else []
            failed = [visit.failed] if visit.failed else []
            rows.append(_found(query, visits, visit.retries, failed).row())
        advance(len(rows))
        return rows

    return find


if __name__ == "__main__":
    run(main)
