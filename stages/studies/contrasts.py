"""Differences between pairs over seeds and questions, with intervals.

Each seed is a world, a training run and a set of questions of its own. Both kinds of chance are
resampled: seeds, and within each seed its questions, the two pairs of a contrast always on the
same question. A difference is called one only when its 95 % interval leaves out zero. With few
seeds such an interval is too narrow rather than too wide: see the number of seeds beside it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import fmean, median
from typing import TYPE_CHECKING

from stages.plumbing.errors import InputError
from stages.reporting.studies import ALL
from stages.studies.experiments import Finished
from stages.studies.plan import Contrast, Side

if TYPE_CHECKING:
    import numpy as np

SAMPLES = 2000
MEASURES = ("em", "searches")
Values = dict[str, list[float]]  # question set -> a value for each question


@dataclass(frozen=True)
class Interval:
    """Mean over seeds, the central 95 % of its two-level bootstrap, and the median over seeds."""

    mean: float
    low: float
    high: float
    median: float
    seeds: int

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0

    def row(self) -> dict:
        """Its columns in a table."""
        metrics = {
            name: round(getattr(self, name), 6) for name in ("mean", "median", "low", "high")
        }
        return {"seeds": self.seeds, **metrics, "clear": self.clear}


def interval(seeds: list[list[float]]) -> Interval:
    """The interval of the mean over seeds of the mean over questions; one list a seed."""
    each = [fmean(values) for values in seeds]
    low, high = bounds([[values] for values in seeds], lambda values: values.mean(axis=-1))
    return Interval(fmean(each), low, high, median(each), len(seeds))


def bounds(
    seeds: list[list[list[float]]], figure: Callable[..., np.ndarray]
) -> tuple[float, float]:
    """The central 95 % of the mean over seeds of a figure of their questions.

    A seed is a list of columns with a number for each question; `figure` takes the columns as
    arrays (resample, question) and gives one number a resample, NaN where it has none: such a
    seed is left out of that resample.
    """
    import numpy as np

    draw = np.random.default_rng(0)
    count = len(seeds)
    metrics = np.empty((count, count, SAMPLES))  # seed, place in the resample, resample
    for number, columns in enumerate(seeds):
        data = [np.asarray(column, dtype=np.float64) for column in columns]
        for place in range(count):
            chosen = draw.integers(len(data[0]), size=(SAMPLES, len(data[0])))
            metrics[number, place] = figure(*(column[chosen] for column in data))
    picked = draw.integers(count, size=(count, SAMPLES))
    places, resamples = np.arange(count)[:, None], np.arange(SAMPLES)
    found = np.ma.masked_invalid(metrics[picked, places, resamples]).mean(axis=0)
    low, high = np.percentile(found.compressed(), [2.5, 97.5])
    return float(low), float(high)


def contrast_rows(contrasts: list[Contrast], finished: list[Finished]) -> list[dict]:
    """A row for each contrast, measure and question set ("all": all questions of the sets that
    both sides were asked); a contrast that no seed has both sides of is left out."""
    rows, seeds = [], experiments_by_seed(finished)
    for contrast in contrasts:
        for measure in MEASURES:
            each = [found for seed in seeds if (found := _paired(contrast, seed, measure))]
            for name, values in _by_set(each).items():
                found = interval(values)
                rows.append(
                    {
                        "contrast": contrast.name,
                        "after": _side(contrast.after),
                        "before": _side(contrast.before),
                        "question_set": name,
                        "measure": measure,
                        **found.row(),
                    }
                )
    return rows


def experiments_by_seed(finished: list[Finished]) -> list[dict[str, Finished]]:
    """Variant -> experiment, for each seed."""
    seeds: dict[int, dict[str, Finished]] = {}
    for one in finished:
        seeds.setdefault(one.experiment.seed, {})[one.experiment.variant] = one
    return list(seeds.values())


def both_ran(contrast: Contrast, seed: dict[str, Finished]) -> bool:
    """Whether one seed has the pairs of both sides."""
    return all(
        side.variant in seed and (side.agent, side.retriever) in seed[side.variant].pairs
        for side in (contrast.after, contrast.before)
    )


def _paired(contrast: Contrast, seed: dict[str, Finished], measure: str) -> Values | None:
    """Question by question, what one seed's `after` has more of than its `before`."""
    if not both_ran(contrast, seed):
        return None
    after, before = (
        measured(seed[side.variant], side, measure) for side in (contrast.after, contrast.before)
    )
    values: Values = {}
    for (name, question), value in after.items():
        if (name, question) in before:
            values.setdefault(name, []).append(value - before[name, question])
    return values or None


def measured(one: Finished, side: Side, measure: str) -> dict[tuple[str, str], float]:
    """(question set, id) -> `measure` of a pair's prediction."""
    metrics = _predicted(one, one.pair(side.agent, side.retriever))
    return {question: values[measure] for question, values in metrics.items()}


@functools.cache
def _predicted(one: Finished, name: str) -> dict[tuple[str, str], dict[str, float]]:
    """(question set, id) -> the measures of a pair's prediction; a file serves many contrasts.

    InputError for a question set whose name stands for all sets in the tables.
    """
    found = {
        row.key: {measure: float(getattr(row, measure)) for measure in MEASURES}
        for row in one.predictions(name)
    }
    if any(question_set == ALL for question_set, _ in found):
        raise InputError(
            f"data/predictions/{name}.jsonl of {one.experiment.name}: a question set is called "
            f"'{ALL}', which stands for all sets in the tables; give it another name"
        )
    return found


def _by_set(seeds: list[Values]) -> dict[str, list[list[float]]]:
    """Question set, or "all" -> the values of each seed."""
    sets: Iterable[str] = dict.fromkeys(name for values in seeds for name in values)
    found = {ALL: [[v for part in values.values() for v in part] for values in seeds]}
    found |= {name: [values[name] for values in seeds if name in values] for name in sets}
    return found if seeds else {}


def _side(side: Side) -> str:
    from stages.reporting.results import agent_label, retriever_label

    variant = "" if side.variant == "full" else f"{side.variant.replace('_', ' ')}: "
    return f"{variant}{agent_label(side.agent)} + {retriever_label(side.retriever)}"
