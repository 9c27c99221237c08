"""The metrics of one run, read from `metrics/` into one object.

The parameters (`iterations`, `compare`) say which files belong to the run: what other parameters
left there is not read. stages/metrics checks that the files are of this run. Numbers stay as the
stages wrote them.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

from stages.common.evaluations import Evaluation
from stages.metrics import run
from stages.metrics.health import IterationHealth
from stages.metrics.reading import read, read_evaluation
from stages.params import ORACLE, Params
from stages.plumbing.errors import InputError
from stages.plumbing.finite import NotFinite

ITERATION_STAGES = (
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
class PairResult(Evaluation):
    """The figures of one (agent, retriever) pair of the run, with the pair's name."""

    name: str = ""

    @property
    def label(self) -> str:
        """`Agent_1 + R_2`, `base agent + BM25`."""
        return f"{agent_label(self.agent)} + {retriever_label(self.retriever)}"

    @property
    def of_oracle(self) -> bool:
        """Whether it is a bound (stages/oracle.py), which may be of a part of the questions."""
        return is_oracle(self.retriever)


@dataclass(frozen=True)
class Results:
    """All figures of a run: pairs as the parameters order them, stages and curves by iteration."""

    iterations: list[str]
    pairs: list[PairResult]
    stages: dict[str, dict[str, dict]]  # stage -> iteration -> figures
    curves: dict[str, dict[str, list[dict[str, float]]]]  # stage -> iteration -> points, in order
    base: dict

    def health(self, iteration: str) -> IterationHealth:
        """Which failure signatures an iteration shows."""
        return IterationHealth.of(self.stages["health"][iteration])

    def pair(self, agent: str, retriever: str) -> PairResult | None:
        """The evaluated pair, if it is one of the run's."""
        found = (p for p in self.pairs if (p.agent, p.retriever) == (agent, retriever))
        return next(found, None)

    @property
    def flywheel(self) -> list[PairResult]:
        """Agent K with R_K for K = 0, 1, ...; iteration 0 is the base agent with R_0."""
        found = (self.pair(iteration, iteration) for iteration in ["0", *self.iterations])
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


def is_oracle(retriever: str) -> bool:
    """Whether the tables' name of a retriever says that its passages are ranked by GAC."""
    return retriever.endswith(ORACLE)


def retriever_label(retriever: str) -> str:
    """How the page calls a retriever."""
    if is_oracle(retriever):
        return f"{retriever_label(retriever.removesuffix(ORACLE))} ranked by an oracle (a bound)"
    known = {"bm25": "BM25", "replug": "REPLUG"}
    return f"R_{retriever}" if retriever.isdigit() else known.get(retriever, retriever)


def read_results(folder: Path, params: Params) -> Results:
    """Read the metrics that `params` lists.

    InputError names the first file that is missing, or breaks its schema, or is not of this run.
    """
    iterations = list(params.iterations)
    evaluations = pair_names(params)
    if not (params.compare or params.iterations):
        raise InputError("params.yaml: 'iterations' and 'compare' are empty: nothing to report")
    base = folder / "base.json"
    results = Results(
        iterations=iterations,
        pairs=[
            read_pair(folder / "evaluate" / f"{name}.json", name, *pair)
            for name, pair in evaluations.items()
        ],
        stages={
            stage: {k: read(folder / stage / f"{k}.json") for k in iterations}
            for stage in ITERATION_STAGES
        },
        curves={
            stage: {k: read_curve(folder / stage / f"{k}.csv") for k in iterations}
            for stage in CURVE_STAGES
        },
        base=read(base) if base.exists() else {},
    )
    _check_run(folder, results)
    return results


def _check_run(folder: Path, results: Results) -> None:
    """InputError for the first file that does not fit the others, or dvc.lock."""
    evaluations = {folder / "evaluate" / f"{pair.name}.json": pair for pair in results.pairs}
    stages = [
        folder / stage / f"{k}.json" for stage in ITERATION_STAGES for k in results.iterations
    ]
    run.check_lock([*evaluations, *stages, *([folder / "base.json"] if results.base else [])])
    whole, parts = (
        {path: pair.sets for path, pair in evaluations.items() if pair.of_oracle is ranked}
        for ranked in (False, True)
    )
    run.check_same_sets(whole, parts)
    for iteration in results.iterations:
        made = {stage: iterations[iteration] for stage, iterations in results.stages.items()}
        run.check_chain(folder, iteration, made)
        pair = results.pair(iteration, iteration)
        wanted = {"em": pair.decided("em"), "searches": pair.decided("searches")}
        wanted["selection_rate"] = made["pairs"]["positive_selection_rate"]
        health = folder / "health" / f"{iteration}.json"
        run.check_health(health, results.health(iteration).values, wanted)


def pair_names(params: Params) -> dict[str, tuple[str, str]]:
    """Name -> (agent, retriever) of the pairs of the flywheel, of `compare` and of `oracle`, by
    agent, then baselines before R_0, R_1, ..., each before what an oracle ranks of it."""
    pairs = params.pairs_beside | {k: (k, k) for k in params.iterations}
    agents = ["0", *params.iterations]
    retrievers = params.all_retrievers

    def place(name: str) -> tuple[int, int, bool]:
        agent, retriever = pairs[name]
        known = agent in agents  # others, such as a scripted one, come last
        return (
            agents.index(agent) if known else len(agents),
            retrievers.index(retriever.removesuffix(ORACLE)),
            is_oracle(retriever),
        )

    return {name: pairs[name] for name in sorted(pairs, key=place)}


def read_pair(path: Path, name: str, agent: str, retriever: str) -> PairResult:
    """The figures of a pair. InputError if they are another pair's."""
    found = PairResult(**vars(read_evaluation(path)), name=name)
    for key, wanted in (("agent", agent), ("retriever", retriever)):
        if (has := getattr(found, key)) != wanted:
            raise run.foreign(path, f"its {key} is '{has}', and '{wanted}' by params.yaml")
    return found


def read_curve(path: Path) -> list[dict[str, float]]:
    """Points of a curve: `step` and other numbers; empty cells are left out.

    InputError names the line and the column of a cell that holds no number, or none that is finite:
    a curve without it would look like that of a training that went well.
    """
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file)
            return [_numbers(row, f"{path}:{rows.line_num}") for row in rows]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except (UnicodeDecodeError, csv.Error):
        raise InputError(f"{path}: not CSV in UTF-8") from None


def _numbers(row: dict[str, str], where: str) -> dict[str, float]:
    if None in row or None in row.values():  # as the reader says more cells, or fewer
        raise InputError(f"{where}: has another number of cells than the first line")
    return {key: _finite(value, where, key) for key, value in row.items() if value.strip()}


def _finite(text: str, where: str, column: str) -> float:
    """The number of a cell of a CSV file. InputError if it is none, or not finite."""
    try:
        number = float(text)
    except ValueError:
        raise InputError(f"{where}: no number in column '{column}'") from None
    if not math.isfinite(number):
        raise NotFinite(
            f"{where}: '{column}' is {number}: the training diverged, or the file was edited; run "
            "its stage again"
        )
    return number
