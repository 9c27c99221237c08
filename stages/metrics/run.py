"""Check that metrics are of this run, by the metrics themselves, predictions and question sets.

What dvc.lock knows is checked in stages/metrics/lock.py.

Metrics of another run raise one InputError: which file, how it shows, what to do.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean

from stages.common.evaluations import SetResult
from stages.common.trajectories import Trajectory
from stages.metrics.lock import Lock
from stages.metrics.table import numbers
from stages.plumbing.errors import InputError

QuestionKey = tuple[str, str]  # question set, id
SetsByFile = Mapping[Path, Mapping[str, SetResult]]

CHAIN = (  # what one stage of an iteration gives, the next one takes
    (("trajectories", "out"), ("candidates", "trajectories")),
    (("trajectories", "queries"), ("candidates", "in")),
    (("candidates", "out"), ("relevance", "in")),
    (("relevance", "out"), ("correctness", "in")),
    (("correctness", "out"), ("pairs", "in")),
    (("pairs", "instances"), ("retriever", "in")),
)
MEANS = ("em", "f1", "searches")
CLOSE = {"rel_tol": 1e-9, "abs_tol": 1e-9}
ROUNDED = {"rel_tol": 0, "abs_tol": 2e-6}


def foreign(path: str | Path, reason: str) -> InputError:
    """The error for a file that is not of this run."""
    return InputError(f"{path}: not of this run: {reason}; `dvc repro` makes it anew")


def check_lock(paths: Iterable[Path]) -> None:
    """InputError for the first file that is not what dvc.lock and params.yaml say; nothing to check
    without a dvc.lock."""
    lock = Lock.read()
    for path in paths if lock else ():
        if path.exists() and (reason := lock.reason(path)):
            raise foreign(path, reason)


def check_same_sets(sets: SetsByFile, parts: SetsByFile | None = None) -> None:
    """InputError unless all evaluations (file -> its `sets`) asked the same question sets, of the
    same sizes, at the same depths of recall; those of `parts` may have asked fewer of a set."""
    first, known = next(iter(sets.items()))
    there = questions_by_set(known)
    for path, found in {**sets, **(parts or {})}.items():
        here = questions_by_set(found)
        fewer = here.keys() == there.keys() and all(here[name] <= there[name] for name in here)
        if here != there and not (path in (parts or {}) and fewer):
            raise foreign(path, f"it has {told(here)}, and {first} has {told(there)}")
        if depths(found) != depths(known):
            raise foreign(path, f"it has recall at other depths than {first}")


def check_chain(folder: Path, iteration: str, stages: Mapping[str, dict]) -> None:
    """InputError unless each stage of an iteration took what the one before it gave."""
    for (giver, given), (taker, taken) in CHAIN:
        gave, took = stages[giver][given], stages[taker][taken]
        if gave != took:
            raise foreign(
                folder / taker / f"{iteration}.json",
                f"'{taken}' is {took}, and '{given}' of {giver} is {gave}",
            )


def check_health(path: Path, values: dict, wanted: Mapping[str, float]) -> None:
    """InputError where the health of an iteration speaks of figures other than those there."""
    for name, figure in wanted.items():
        value = values.get(name)
        if value is not None and not math.isclose(value, figure, **ROUNDED):
            raise foreign(
                path, f"'{name}' is {value:g} there, and {figure:g} by the iteration's files"
            )


def prediction_reason(
    sets: Mapping[str, SetResult],
    predictions: Iterable[Trajectory],
    path: Path,
    questions: Collection[QuestionKey] | None = None,
    again: Callable[[], SetMeans] | None = None,
    *,
    part: bool = False,
) -> str | None:
    """How figures (`sets`) differ from those of their `predictions`, read from `path`, or None.
    Those of gold answers in passages are not compared: predictions hold no passage's text.

    `questions`: those of the question sets, all of which must be predicted, but where `part` says
    that some are enough. `again` begins all
    figures of a set anew; without it the means are compared alone. Predictions are read once, and
    none is kept.
    """
    asked: dict[str, SetMeans] = {}
    counts: dict[str, int] = {}
    left = set(questions or ())
    others = 0
    for prediction in predictions:
        name = prediction.set
        if name not in asked:
            asked[name], counts[name] = (again or SetMeans)(), 0
        asked[name].add(prediction)
        counts[name] += 1
        others += prediction.key not in left
        left.discard(prediction.key)
    if counts != questions_by_set(sets):
        return f"it has {told(questions_by_set(sets))}, and {path} {told(counts)}"
    if questions is not None and ((left and not part) or others):
        return f"{path} has other questions than the question sets"
    for name, part in asked.items():
        made = dict(numbers(part.metrics()))
        here = dict(numbers(replace(sets[name], answer_recall=None).row()))
        for key in made | (here if again else {}):
            if key in made and key in here and math.isclose(here[key], made[key], **CLOSE):
                continue
            has, wanted = (
                f"{found[key]:.6g}" if key in found else "none" for found in (here, made)
            )
            return f"'{key}' of {name} is {has}, and {wanted} by {path}"
    return None


@dataclass
class SetMeans:
    """The means of a set that need nothing but outcomes, of predictions added one by one."""

    values: dict[str, array] = field(default_factory=lambda: {key: array("d") for key in MEANS})
    unanswered: int = 0

    def add(self, prediction: Trajectory) -> None:
        """One more question."""
        for key, values in self.values.items():
            values.append(getattr(prediction, key))
        self.unanswered += prediction.answer is None

    def metrics(self) -> dict[str, float]:
        """As an evaluation has them."""
        found = {key: fmean(values) for key, values in self.values.items()}
        return found | {"unanswered": self.unanswered / len(self.values["em"])}


def questions_by_set(sets: Mapping[str, SetResult]) -> dict[str, int]:
    """Question set -> number of questions."""
    return {name: part.questions for name, part in sets.items()}


def depths(sets: Mapping[str, SetResult]) -> list[str]:
    """The k of recall@k, which are the same in all sets of a file."""
    return list(next(iter(sets.values())).recall)


def told(counts: Mapping[str, int]) -> str:
    """`2 question sets (hotpotqa 500, musique 200)`."""
    named = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
    return f"{len(counts)} question set{'' if len(counts) == 1 else 's'} ({named})"
