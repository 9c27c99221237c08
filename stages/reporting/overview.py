"""The first lines of the page: did the flywheel turn, and by how much?"""

from __future__ import annotations

from itertools import pairwise

from stages.reporting.comparisons import SEEN, PairChange
from stages.reporting.health import selection_rate, warnings
from stages.reporting.results import PairResult, Results

TURNED, IN_PART, NOT_TURNED = "turned", "turned in part", "did not turn"
NO_ITERATIONS = "was not asked to turn"  # a run without training
NOT_COMPARED = "was not compared with iteration 0"  # the base agent with R_0 was not evaluated


def verdict(results: Results) -> str:
    """`turned`: every iteration has a higher mean EM and fewer searches a question than the one
    before; `turned in part`: the last one has a higher mean EM than iteration 0; else `did not
    turn`. Without iterations, or without figures of iteration 0, it says that."""
    pairs = results.flywheel
    if not results.iterations:
        return NO_ITERATIONS
    if pairs[0].agent != "0":
        return NOT_COMPARED
    if all(_better(a, b) for a, b in pairwise(pairs)):
        return TURNED
    if pairs[-1].mean("em") > pairs[0].mean("em"):
        return IN_PART
    return NOT_TURNED


def _better(before: PairResult, after: PairResult) -> bool:
    return after.mean("em") > before.mean("em") and after.mean("searches") < before.mean("searches")


def sentences(results: Results, steps: list[PairChange]) -> list[str]:
    """Three sentences with figures: the whole way, the half iterations, searches and health."""
    pairs = results.flywheel
    said = []
    if len(pairs) > 1:
        whole = [step for step in steps if (step.before, step.after) == (pairs[0], pairs[-1])]
        said.append(
            f"The flywheel {verdict(results)}: from {pairs[0].label} to {pairs[-1].label}, mean "
            f"EM over {len(results.sets)} question sets went {_path(pairs, 'em', 100, 1)} %"
            f"{''.join(map(_whole, whole))}."
        )
    if halves := _halves(results, steps):
        said.append(_half_iterations(halves))
    last = [_searches(pairs)] if len(pairs) > 1 else []
    last += [_health(results)] if results.iterations else []
    rates = [(k, selection_rate(results, k)) for k in results.iterations]
    told = [f"{100 * rate:.0f} % in iteration {k}" for k, rate in rates if rate is not None]
    if told:
        last.append(f"the queries that gave the retriever a positive were {', '.join(told)}")
    if last:
        text = "; ".join(last)
        said.append(f"{text[0].upper()}{text[1:]}.")
    return said


def needed(results: Results, steps: list[PairChange]) -> str | None:
    """How many questions a half iteration needs to show 2 EM points, against those that it has."""
    each = (step.em.questions_needed for step in _halves(results, steps))
    numbers = [number for number in each if number is not None]
    if not numbers:
        return None
    asked = sum(part.questions for part in results.pairs[0].sets.values())
    span = f"{min(numbers):,} to {max(numbers):,}" if len(numbers) > 1 else f"{numbers[0]:,}"
    return (
        f"To see a difference of {100 * SEEN:g} EM points (at the 5 % level, in four of five "
        f"runs), the half iterations of this run need {span} questions; it asks {asked:,}."
    )


def _halves(results: Results, steps: list[PairChange]) -> list[PairChange]:
    """The steps but that over the whole way."""
    ends = [*results.flywheel[:1], *results.flywheel[-1:]]
    return [step for step in steps if [step.before, step.after] != ends]


def _whole(step: PairChange) -> str:
    clear = "a clear difference" if step.em.clear else "no clear difference"
    return f", {_points(step)} points question by question, {clear}"


def _half_iterations(steps: list[PairChange]) -> str:
    clear, other = ([s for s in steps if s.em.clear == wanted] for wanted in (True, False))
    text = f"Of {len(steps)} half iterations, {len(clear) or 'none'} changed EM clearly"
    text += f": {_list(clear)}" if clear else ""
    return text + (f"; not clear: {_list(other)}." if other else ".")


def _list(steps: list[PairChange]) -> str:
    return "; ".join(f"{step.what} {_points(step)}" for step in steps)


def _searches(pairs: list[PairResult]) -> str:
    return f"searches per question went {_path(pairs, 'searches', 1, 2)}"


def _health(results: Results) -> str:
    shown = len(warnings(results))
    if not shown:
        return "no failure signature showed"
    return f"{shown} failure signature{'s' if shown > 1 else ''} showed (below)"


def _path(pairs: list[PairResult], key: str, scale: float, digits: int) -> str:
    return " → ".join(f"{scale * pair.mean(key):.{digits}f}" for pair in pairs)


def _points(step: PairChange) -> str:
    mean, low, high = (f"{100 * value:+.1f}" for value in (step.em.mean, step.em.low, step.em.high))
    return f"{mean} [{low}, {high}]"
