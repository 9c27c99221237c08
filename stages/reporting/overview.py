"""The first lines of the page: did the flywheel turn, and by how much?"""

from __future__ import annotations

from itertools import pairwise

from stages.reporting.comparisons import Step
from stages.reporting.health import selection_rate
from stages.reporting.results import PairResult, Results

TURNED, IN_PART, NOT_TURNED = "turned", "turned in part", "did not turn"
NO_TURNS = "was not asked to turn"  # a run without training


def verdict(results: Results) -> str:
    """`turned`: every turn has a higher mean EM and fewer searches a question than the one before;
    `turned in part`: the last turn has a higher mean EM than turn 0; else `did not turn`."""
    pairs = results.flywheel
    if not results.turns:
        return NO_TURNS
    if len(pairs) > 1 and all(_better(a, b) for a, b in pairwise(pairs)):
        return TURNED
    if len(pairs) > 1 and pairs[-1].mean("em") > pairs[0].mean("em"):
        return IN_PART
    return NOT_TURNED


def _better(before: PairResult, after: PairResult) -> bool:
    return after.mean("em") > before.mean("em") and after.mean("searches") < before.mean("searches")


def sentences(results: Results, steps: list[Step]) -> list[str]:
    """Three plain sentences with figures: the whole way, each half turn, the labels."""
    pairs = results.flywheel
    said = []
    if len(pairs) > 1:
        said.append(
            f"The flywheel {verdict(results)}: from {pairs[0].label} to {pairs[-1].label}, mean "
            f"EM over {len(results.sets)} question sets went {_path(pairs, 'em', 100, 1)}, and "
            f"searches per question {_path(pairs, 'searches', 1, 2)}."
        )
    if steps:
        said.append(f"EM points, with their 95 % interval: {'; '.join(map(_step, steps))}.")
    rates = [(turn, selection_rate(results, turn)) for turn in results.turns]
    told = [f"{100 * rate:.0f} % in turn {turn}" for turn, rate in rates if rate is not None]
    if told:
        said.append(f"Queries that gave the retriever a positive: {', '.join(told)}.")
    return said


def _path(pairs: list[PairResult], key: str, scale: float, digits: int) -> str:
    return " → ".join(f"{scale * pair.mean(key):.{digits}f}" for pair in pairs)


def _step(step: Step) -> str:
    mean, low, high = (f"{100 * value:+.1f}" for value in (step.em.mean, step.em.low, step.em.high))
    clear = "" if step.em.clear else ", no clear difference"
    return f"{step.what} {mean} [{low}, {high}]{clear}"
