"""What a run of the pipeline left in `metrics/`, as one object.

Which files belong to the run is said by the parameters (`iterations`, `compare`), so that figures
left by other parameters are never read. JSON lists and numbers are kept as the stages wrote them.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

from stages.common.records import read_json
from stages.params import POOLED, Params
from stages.plumbing.errors import InputError

TURN_STAGES = (
    "agent",
    "trajectories",
    "candidates",
    "relevance",
    "correctness",
    "pairs",
    "retriever",
    "health",
)
CURVE_STAGES = ("agent", "retriever")


@dataclass(frozen=True)
class PairResult:
    """The figures of one (agent, retriever) pair; `sets` as stages/evaluate.py writes them."""

    name: str
    agent: str
    retriever: str
    sets: dict[str, dict]

    @property
    def label(self) -> str:
        """`Agent_1 + R_2`, `base agent + BM25`."""
        return f"{agent_label(self.agent)} + {retriever_label(self.retriever)}"

    def mean(self, key: str) -> float:
        """The figure `key` averaged over question sets, each set weighing the same."""
        return sum(figures[key] for figures in self.sets.values()) / len(self.sets)


@dataclass(frozen=True)
class Results:
    """All figures of a run: pairs in the order of the parameters, stages and curves by turn."""

    turns: list[str]
    pairs: list[PairResult]
    stages: dict[str, dict[str, dict]]  # stage -> turn -> figures
    curves: dict[str, dict[str, list[dict[str, float]]]]  # stage -> turn -> points, in order
    base: dict

    def pair(self, agent: str, retriever: str) -> PairResult | None:
        """The evaluated pair, if it is one of the run's."""
        found = (p for p in self.pairs if (p.agent, p.retriever) == (agent, retriever))
        return next(found, None)

    @property
    def flywheel(self) -> list[PairResult]:
        """Agent K with R_K for K = 0, 1, ...; turn 0 is the base agent with R_0."""
        found = (self.pair(turn, turn) for turn in ["0", *self.turns])
        return [pair for pair in found if pair is not None]

    @property
    def sets(self) -> list[str]:
        """Names of the question sets, in the order of the evaluation."""
        return list(self.pairs[0].sets)


def agent_label(agent: str) -> str:
    """How the page calls an agent."""
    if agent == "0":
        return "base agent"
    return f"Agent_{agent}" if agent.isdigit() else f"{agent} agent"


def retriever_label(retriever: str) -> str:
    """How the page calls a retriever."""
    known = {"bm25": "BM25", "replug": "REPLUG"}
    return f"R_{retriever}" if retriever.isdigit() else known.get(retriever, retriever)


def read_results(folder: Path, params: Params) -> Results:
    """Read the metrics that `params` lists. InputError names the first file that is missing."""
    turns = list(params.iterations)
    evaluations = _pair_names(params)
    if not evaluations:
        raise InputError("params.yaml: 'iterations' and 'compare' are empty: nothing to report")
    base = folder / "base.json"
    return Results(
        turns=turns,
        pairs=[_pair(folder / "evaluate" / f"{name}.json", name) for name in evaluations],
        stages={
            stage: {turn: read_json(folder / stage / f"{turn}.json") for turn in turns}
            for stage in TURN_STAGES
        },
        curves={
            stage: {turn: read_curve(folder / stage / f"{turn}.csv") for turn in turns}
            for stage in CURVE_STAGES
        },
        base=read_json(base) if base.exists() else {},
    )


def _pair_names(params: Params) -> list[str]:
    """Pairs of the flywheel and of `compare`, by agent, then baselines before R_0, R_1, ..."""
    pairs = {name: (pair.agent, pair.retriever) for name, pair in params.compare.items()}
    pairs |= {turn: (turn, turn) for turn in params.iterations}
    agents = ["0", *params.iterations]
    retrievers = params.all_retrievers

    def place(name: str) -> tuple[int, int]:
        agent, retriever = pairs[name]
        known = agent in agents  # others, such as a scripted one, come last
        return agents.index(agent) if known else len(agents), retrievers.index(retriever)

    return sorted(pairs, key=place)


def _pair(path: Path, name: str) -> PairResult:
    row = read_json(path)
    for taken in POOLED:
        if taken in row["sets"]:
            raise InputError(
                f"{path}: a question set is called '{taken}', as tables call all sets together: "
                "give its file in 'questions.source' another name"
            )
    return PairResult(name, row["agent"], row["retriever"], row["sets"])


def read_curve(path: Path) -> list[dict[str, float]]:
    """Points of a curve: `step` and other numbers; cells without a finite number are left out."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return [_numbers(row) for row in csv.DictReader(file)]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None


def _numbers(row: dict[str, str]) -> dict[str, float]:
    numbers = {}
    for key, value in row.items():
        try:
            number = float(value)
        except (TypeError, ValueError):
            continue
        if math.isfinite(number):
            numbers[key] = number
    return numbers
