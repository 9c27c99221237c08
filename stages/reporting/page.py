"""The report as one HTML file that needs no network: text, CSS, SVG and one small script.

Passages, questions and answers are whatever the corpus and the models hold: the templates escape
all of it. Only our own SVG, CSS and script go in as they are, and the page's policy lets a browser
run that one script, known by its hash, and load nothing.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from stages.common.records import Passage
from stages.reporting import links, plots
from stages.reporting.breakdown import BY, Breakdown
from stages.reporting.cases import KINDS, Case, gold_hops
from stages.reporting.comparisons import PairChange
from stages.reporting.drift import drift_means, drift_table
from stages.reporting.grid import heat_map, line_name
from stages.reporting.health import accounts, every_signature, limits, selection_rate, warnings
from stages.reporting.labelled import LabelledQueries
from stages.reporting.overview import needed, sentences, verdict
from stages.reporting.results import PairResult, Results, agent_label
from stages.reporting.studies import StudyTables, matrix, retriever_name
from stages.reporting.study_rows import ALL
from stages.reporting.tables import printed_numbers
from stages.reporting.unread import Unread

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Content:
    """All that the page shows. `cases` follow questions through the pairs `sides`; `traced` are
    predictions that MLflow has traces of; `passages` are those that the page shows, by id;
    `unordered` names the sets whose gold passages have no order; `unread` are the judge's replies
    that could not be read, `bounds` what oracle rankings gave. A section without content is left
    out."""

    results: Results
    steps: list[PairChange]
    sides: tuple[PairResult, PairResult] | None = None
    cases: list[Case] = field(default_factory=list)
    breakdowns: list[Breakdown] = field(default_factory=list)
    labelled: LabelledQueries = field(default_factory=LabelledQueries)
    studies: list[StudyTables] = field(default_factory=list)
    drift: dict[str, dict] = field(default_factory=dict)
    traced: list[dict] = field(default_factory=list)
    passages: dict[str, Passage] = field(default_factory=dict)
    unordered: list[str] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)
    bounds: list[PairChange] = field(default_factory=list)


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


def render_page(content: Content) -> str:
    """The page's HTML."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "signed": signed, "count": "{:,}".format}
    environment.filters |= {"fixed": fixed}
    environment.filters["zipped"] = lambda values: [(value, value) for value in values]
    environment.globals |= {"cell": cell, "best": best_cell, "matrix": matrix, "links": links}
    environment.globals |= {"agent_label": agent_label, "retriever_name": retriever_name}
    environment.globals |= {"gold_hops": gold_hops, "drift_means": drift_means}
    environment.globals |= {"heat_map": heat_map, "line_name": line_name}
    results = content.results
    script = (TEMPLATES / "filter.js").read_text(encoding="utf-8")
    return environment.get_template("page.html.j2").render(
        **vars(content),
        style=Markup((TEMPLATES / "style.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_hash=_hash(script),
        verdict=verdict(results),
        sentences=sentences(results, content.steps),
        needed=needed(results, content.steps),
        warnings=warnings(results),
        measures=MEASURES,
        recall=recall_columns(results),
        f1_is_em=f1_is_em(results),
        has_answers=has_answers(results),
        accounts=accounts(results),
        limits=limits(results),
        signatures=every_signature(results),
        selection_rate=selection_rate,
        gac=gac_cost(results),
        judge=judge_quality(results),
        charts=_charts(results),
        prices={s.name: _safe(plots.price_chart(s.price)) for s in content.studies if s.price},
        drift_rows=drift_table(content.drift),
        breakdown_names=BY,
        case_kinds=KINDS,
        label_kinds=content.labelled.kinds,
        all_sets=ALL,
        traced_cases={row.key for row in content.traced},
    )


def _hash(script: str) -> str:
    """The script as a Content-Security-Policy names it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def percent(value: float | None) -> str:
    """A share as per cent with one digit."""
    return "–" if value is None else f"{100 * value:.1f}"


def fixed(value: float | None, digits: int) -> str:
    """A figure with so many digits."""
    return "–" if value is None else f"{value:.{digits}f}"


def signed(value: float, digits: int = 1) -> str:
    """A difference with its sign."""
    return f"{value:+.{digits}f}"


def _safe(pictures: list[str]) -> list:
    from markupsafe import Markup

    return [Markup(svg) for svg in pictures]


def _charts(results: Results) -> dict[str, list]:
    pictures = {
        "iterations": [
            plots.by_iteration(results, "em", "Exact match by iteration (%)", 100),
            plots.by_iteration(results, "searches", "Searches per question by iteration", 1),
        ],
        "ppo": plots.ppo_curves(results),
        "loss": plots.retriever_loss(results),
    }
    return {name: _safe(svgs) for name, svgs in pictures.items()}


def cell(pair: PairResult, question_set: str, measure: Measure) -> tuple[str, str]:
    """(figure, interval) as the tables print them; no interval for the mean over sets."""
    if question_set == "mean":
        return measure.show(pair.mean(measure.key)), ""
    part = pair.sets[question_set]
    low, high = map(measure.show, part.ends(measure.key))
    return measure.show(getattr(part, measure.key)), f"{low}–{high}"


def best_cell(results: Results, question_set: str, measure: Measure) -> str:
    """The best figure of a column, as printed, so that equal figures are marked alike."""
    values = [
        pair.mean(measure.key)
        if question_set == "mean"
        else getattr(pair.sets[question_set], measure.key)
        for pair in results.pairs
    ]
    return measure.show(max(values) if measure.more_is_better else min(values))


def f1_is_em(results: Results) -> bool:
    """Whether no figure of F1 differs from EM's, so that a table of it would say nothing new."""
    parts = (part for pair in results.pairs for part in pair.sets.values())
    return all(abs(part.f1 - part.em) < 1e-9 for part in parts)


def recall_columns(results: Results) -> list[str]:
    """The k of recall@k, as the evaluation measured them."""
    return list(next(iter(results.pairs[0].sets.values())).recall)


def has_answers(results: Results) -> bool:
    """Whether some pair was asked for gold answers in passages: none of version 0.1.0 was."""
    parts = (part for pair in results.pairs for part in pair.sets.values())
    return any(part.answer_recall is not None for part in parts)


def gac_cost(results: Results) -> list[dict]:
    """What GAC cost in each iteration: rollouts done, and those saved against all candidates."""
    rows = []
    for iteration in results.iterations:
        metrics = results.stages["correctness"][iteration]
        done, saved = metrics.get("rollouts"), metrics.get("rollouts_saved")
        if done is not None and saved is not None:
            share = saved / (done + saved) if done + saved else 0.0
            rows.append({"iteration": iteration, "done": done, "saved": saved, "share": share})
    return rows


def judge_quality(results: Results) -> list[tuple[str, float]]:
    """Every figure about base models and judge: the base stage's, then the relevance stages'."""
    found = [(name, value) for name, value in printed_numbers(results.base)]
    for iteration in results.iterations:
        found += printed_numbers(
            results.stages["relevance"][iteration], f"relevance, iteration {iteration}"
        )
    return found
