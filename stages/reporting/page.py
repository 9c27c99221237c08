"""The report as one HTML file that needs no network: everything on it is text, CSS and SVG.

Passages, questions and answers are whatever the corpus and the models hold: the template escapes
all of it. Only our own SVG goes in as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stages.records import Passage
from stages.reporting import plots
from stages.reporting.cases import Case
from stages.reporting.comparisons import Step
from stages.reporting.health import accounts, selection_rate, warnings
from stages.reporting.overview import sentences, verdict
from stages.reporting.results import PairResult, Results
from stages.reporting.tables import numbers

TEMPLATE = "page.html.j2"


@dataclass(frozen=True)
class Measure:
    """A figure with interval that has a table of its own."""

    key: str
    title: str
    scale: float
    digits: int
    more_is_better: bool

    def show(self, value: float) -> str:
        return f"{self.scale * value:.{self.digits}f}"


MEASURES = (
    Measure("em", "Exact match", 100, 1, True),
    Measure("f1", "F1", 100, 1, True),
    Measure("searches", "Searches per question", 1, 2, False),
)


def render(
    results: Results,
    steps: list[Step],
    sides: tuple[PairResult, PairResult] | None,
    cases: list[Case],
    passages: dict[str, Passage],
) -> str:
    """The page's HTML. `cases` follow questions through the pairs `sides`; `passages` are those
    that they show, by id."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    charts = {name: svg and Markup(svg) for name, svg in _charts(results).items()}
    return environment.get_template(TEMPLATE).render(
        results=results,
        verdict=verdict(results),
        sentences=sentences(results, steps),
        warnings=warnings(results),
        measures=MEASURES,
        cell=cell,
        best=best,
        recall=recall_columns(results),
        percent=lambda value: "–" if value is None else f"{100 * value:.1f}",
        steps=steps,
        accounts=accounts(results),
        selection_rate=selection_rate,
        gac=gac_cost(results),
        judge=judge_quality(results),
        charts=charts,
        cases=cases,
        passages=passages,
        sides=[pair.label for pair in sides or ()],
    )


def _charts(results: Results) -> dict[str, str | None]:
    return {
        "em": plots.by_turn(results, "em", "Exact match by turn (%)", 100),
        "searches": plots.by_turn(results, "searches", "Searches per question by turn", 1),
        "ppo": plots.ppo_curves(results),
        "loss": plots.retriever_loss(results),
    }


def cell(pair: PairResult, question_set: str, measure: Measure) -> tuple[str, str]:
    """(figure, interval) as the tables print them; no interval for the mean over sets."""
    if question_set == "mean":
        return measure.show(pair.mean(measure.key)), ""
    figures = pair.sets[question_set]
    low, high = (measure.show(figures[f"{measure.key}_{end}"]) for end in ("low", "high"))
    return measure.show(figures[measure.key]), f"{low}–{high}"


def best(results: Results, question_set: str, measure: Measure) -> str:
    """The best figure of a column, as printed, so that equal figures are marked alike."""
    values = [
        pair.mean(measure.key) if question_set == "mean" else pair.sets[question_set][measure.key]
        for pair in results.pairs
    ]
    return measure.show(max(values) if measure.more_is_better else min(values))


def recall_columns(results: Results) -> list[str]:
    """The k of recall@k, as the evaluation measured them."""
    return list(next(iter(results.pairs[0].sets.values()))["recall"])


def gac_cost(results: Results) -> list[dict]:
    """What GAC cost in each turn: rollouts done, and saved against all candidates of queries."""
    rows = []
    for turn in results.turns:
        figures = results.stages["correctness"][turn]
        done, saved = figures.get("rollouts"), figures.get("rollouts_saved")
        if done is not None and saved is not None:
            share = saved / (done + saved) if done + saved else 0.0
            rows.append({"turn": turn, "done": done, "saved": saved, "share": share})
    return rows


def judge_quality(results: Results) -> list[tuple[str, float]]:
    """Every figure about base models and judge: the base stage's, then the relevance stages'."""
    found = [(name, value) for name, value in numbers(results.base)]
    for turn in results.turns:
        found += numbers(results.stages["relevance"][turn], f"relevance, turn {turn}")
    return found
