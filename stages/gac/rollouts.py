"""GAC, global answer correctness: does the final answer come out right? (Agentic-R, step B5)

A candidate passage ALONE is put in as the information of turn i, and the agent finishes the
trajectory with R_(k-1); GAC is the exact match of its answer, 0 without an answer.

Selection (step B6) needs of GAC only the highest LR level, at or above the threshold, at which
some candidate has GAC = 1, and which candidates of that level have it. So the lazy mode evaluates
whole levels of equal LR from the highest down and stops at the first that holds a GAC = 1. The
instances are exactly those of the exhaustive mode. (Laziness is ours; the paper evaluates all.)

Two settings make it cheaper and no longer exact. `top`: no candidate after the first m by (LR,
retrieval rank) is evaluated. Without `whole_levels`, candidates are evaluated one by one and a
query stops at its first GAC = 1. Both give a subset of the positives, and a candidate that was not
evaluated may be drawn as a negative though it is tied with the positive and as right as it is.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stages.common.candidates import Query
from stages.common.records import Passage
from stages.common.trajectories import Trajectory
from stages.params import CorrectnessMode, Rollout
from stages.rollout import loop

if TYPE_CHECKING:
    from stages.common.corpus import WantedPassages
    from stages.engines.generator import Generator
    from stages.rollout.protocol import AgentProtocol

CorrectnessOf = Callable[[list[tuple[str, str]]], list[int]]


def levels(
    candidates: list[str],
    relevance: dict[str, int] | None,
    mode: CorrectnessMode,
    threshold: int,
    *,
    top: int | None = None,
    whole_levels: bool = True,
) -> list[list[str]]:
    """The passages to evaluate, in the levels after which evaluation may stop.

    Lazy: levels of equal LR, descending, down to `threshold`; of the first `top` passages, and one
    passage a level without `whole_levels`. Exhaustive: one level of all candidates. Without LR all
    are of equal LR.
    """
    if mode is CorrectnessMode.off:
        return []
    if mode is CorrectnessMode.exhaustive:
        return [candidates]
    grades = dict.fromkeys(candidates, threshold) if relevance is None else relevance
    wanted = [c for c in candidates if grades[c] >= threshold]
    wanted = sorted(wanted, key=lambda c: -grades[c])[:top]
    if not whole_levels:
        return [[c] for c in wanted]
    return [list(level) for _, level in itertools.groupby(wanted, key=grades.__getitem__)]


def by_levels(
    plans: dict[str, list[list[str]]],
    evaluate: CorrectnessOf,
    planned: Callable[[int], None] = lambda pairs: None,
) -> dict[str, dict[str, int]]:
    """GAC of each query's passages, level by level until a level holds a GAC = 1.

    `plans` maps a query's id to its levels; `evaluate` gets (query id, passage id) pairs. All
    queries advance together, one level a wave, so that batches stay full. `planned` is told
    before each wave how many pairs are left at most.
    """
    scores = {query: {} for query in plans}
    for wave in itertools.count():
        live = [q for q, plan in plans.items() if wave < len(plan) and 1 not in scores[q].values()]
        if not live:
            return scores
        planned(sum(len(level) for query in live for level in plans[query][wave:]))
        asked = [(query, passage) for query in live for passage in plans[query][wave]]
        for (query, passage), score in zip(asked, evaluate(asked), strict=True):
            scores[query][passage] = score


@dataclass(frozen=True)
class Start:
    """Where a rollout starts: a trajectory up to the query of `turn`, answered by one passage.

    `listed`, of an agent that can visit: what the searches before listed.
    """

    trajectory: Trajectory
    turn: int
    passage: Passage
    listed: tuple[Passage, ...] = ()

    def context(self) -> str:
        """A digest of all that the rollout depends on: what was said, and what is right."""
        turns = self.trajectory.turns[: self.turn + 1]
        said = [(turn.text, turn.information) for turn in turns[:-1]]
        context = [
            self.trajectory.question,
            self.trajectory.golden_answers,
            said,
            turns[-1].text,
            self.passage.contents,
        ]
        return hashlib.sha256(json.dumps(context).encode()).hexdigest()


def finish(
    starts: list[Start],
    agent: Generator,
    search: loop.SearchFunction,
    protocol: AgentProtocol,
    limits: Rollout,
    advance: Callable[[int], object],
) -> list[dict]:
    """Let the agent finish the trajectories. For each of `starts` a row {em, completion_tokens,
    prompt_tokens, lost}.

    Completion tokens are those that the agent adds, prompt tokens all others of the conversation:
    each is read once, since an engine keeps what it has computed of a conversation. `lost` is None,
    or why the agent wrote neither a query nor an answer after the passage, so that its 0 says
    nothing.
    """
    rollouts = [
        loop.prefix(s.trajectory, s.turn, [s.passage], protocol, agent.tokenizer, limits, s.listed)
        for s in starts
    ]
    before = [sum(rollout.mask) for rollout in rollouts]
    searched = [len(rollout.queries) for rollout in rollouts]
    loop.run(rollouts, agent, search, protocol, limits, advance=advance)
    completions = [sum(r.mask) - earlier for r, earlier in zip(rollouts, before, strict=True)]
    spent = ("searches", "visits")
    lost = [
        r.stop if r.answer is None and len(r.queries) == n and r.stop not in spent else None
        for r, n in zip(rollouts, searched, strict=True)
    ]
    return [
        {
            "em": loop.record(r).em,
            "completion_tokens": new,
            "prompt_tokens": len(r.token_ids) - new,
            "lost": why,
        }
        for r, new, why in zip(rollouts, completions, lost, strict=True)
    ]


def listed_before(trajectory: Trajectory, turn: int) -> list[str]:
    """Ids of the passages that the queries before `turn` have shown, each once."""
    before = trajectory.turns[:turn]
    return list(dict.fromkeys(shown.id for each in before for shown in each.passages))


@dataclass
class GacCost:
    """What GAC took: rollouts, and their tokens (see finish); why rollouts were lost, and how
    many."""

    rollouts: int = 0
    completion_tokens: int = 0
    prompt_tokens: int = 0
    lost: Counter[str] = field(default_factory=Counter)


@dataclass
class Finisher:
    """GAC of (query id, passage id) pairs: one rollout for each distinct context.

    `finish` gives the rows of all starts, in order; its second argument is the number of starts
    before these. `advance` is told of pairs that need no rollout of their own.
    """

    queries: dict[str, Query]  # by id
    trajectories: dict[str, Trajectory]  # by question id
    passages: WantedPassages
    finish: Callable[[list[Start], int], Iterable[dict]]
    advance: Callable[[int], object]
    visits: bool = False  # whether the agent may open what searches before have listed
    price: GacCost = field(default_factory=GacCost)
    known: dict[str, int] = field(default_factory=dict)

    def __call__(self, asked: list[tuple[str, str]]) -> list[int]:
        """GAC of each of `asked`."""
        starts = [self._start(query, passage) for query, passage in asked]
        contexts = [start.context() for start in starts]
        new = {c: s for c, s in zip(contexts, starts, strict=True) if c not in self.known}
        self.advance(len(asked) - len(new))
        rows = self.finish(list(new.values()), self.price.rollouts)
        for context, row in zip(new, rows, strict=True):
            self.known[context] = row["em"]
            self.price.completion_tokens += row["completion_tokens"]
            self.price.prompt_tokens += row["prompt_tokens"]
            self.price.lost.update([row["lost"]] if row["lost"] else [])
        self.price.rollouts += len(new)
        return [self.known[context] for context in contexts]

    def _start(self, query: str, passage: str) -> Start:
        asked = self.queries[query]
        trajectory = self.trajectories[asked.question_id]
        listed = listed_before(trajectory, asked.turn) if self.visits else []
        return Start(
            trajectory, asked.turn, self.passages[passage], tuple(self.passages[p] for p in listed)
        )


@dataclass
class CorrectnessCounts:
    """What GAC gave and took so far."""

    price: GacCost = field(default_factory=GacCost)
    sums: Counter[str] = field(default_factory=Counter)

    def add(
        self, scores: dict[str, dict[str, int]], plans: dict[str, list[list[str]]], candidates: int
    ) -> None:
        """Count queries with their GAC and what was planned of their `candidates`."""
        values = [score for query in scores.values() for score in query.values()]
        levels = (level for query in scores for level in plans[query] if level[0] in scores[query])
        self.sums.update(
            {
                "in": len(scores),
                "candidates": candidates,
                "evaluated": len(values),
                "correct": sum(values),
                "queries_with_correct": sum(1 in query.values() for query in scores.values()),
                "levels": sum(1 for _ in levels),
            }
        )

    def metrics(self) -> dict:
        """Counts, the saving against a rollout for each candidate, the rate of GAC = 1, price."""
        sums, rollouts = self.sums, self.price.rollouts
        saved = sums["candidates"] - rollouts
        return {
            "in": sums["in"],
            "out": sums["in"],
            "dropped": {},
            "rollouts": rollouts,
            "rollouts_exhaustive": sums["candidates"],
            "rollouts_saved": saved,
            "saved_share": _share(saved, sums["candidates"]),
            "evaluated": sums["evaluated"],
            "correct": sums["correct"],
            "correct_rate": _share(sums["correct"], sums["evaluated"]),
            "queries_with_correct": sums["queries_with_correct"],
            "levels": sums["levels"],
            "levels_per_query": _share(sums["levels"], sums["in"]),
            "written_tokens": self.price.completion_tokens,
            "read_tokens": self.price.prompt_tokens,
            "lost": dict(sorted(self.price.lost.items())),
        }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
