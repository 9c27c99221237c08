"""What the claims of a study would need, worked out from the seeds that it has.

The variance of a seed's mean is split first: what its questions explain (`question_error`, a
sandwich over fact chains) and the rest, which is the seeds' own. More questions help with the first
alone. Then seeds are counted until a t test at the strictest level of Holm's rule (5 % divided by
the number of claims) sees the effect that was found in four of five studies.
"""

from __future__ import annotations

from pathlib import Path

from stages.plumbing.errors import InputError
from stages.reporting.study_rows import ContrastResult
from stages.studies.contrasts import SIGNIFICANT
from stages.studies.kept import claim_rows
from stages.studies.plan import Study

WANTED = 0.8
TIMES = (1, 2, 4)  # as many questions as were asked
MOST = 100


def seeds_needed(effect: float, variance: float, level: float) -> int | None:
    """The fewest seeds with which a two-sided t test at `level` sees `effect` in WANTED of all
    studies; `variance`: of a seed's mean. None: more than MOST."""
    if variance == 0:
        return 2 if effect else None
    counts = range(2, MOST + 1)
    return next((n for n in counts if power(effect, variance, n, level) >= WANTED), None)


def power(effect: float, variance: float, seeds: int, level: float) -> float:
    """The chance that the t test says so: over the quantiles of the estimated deviation, as
    scipy's noncentral t has no value far from zero."""
    import numpy as np
    from scipy import stats

    free, away = seeds - 1, abs(effect) * (seeds / variance) ** 0.5
    edge = stats.t.ppf(1 - level / 2, free)
    deviation = np.sqrt(stats.chi2.ppf((np.arange(2000) + 0.5) / 2000, free) / free)
    seen = stats.norm.sf(edge * deviation - away) + stats.norm.cdf(-edge * deviation - away)
    return float(seen.mean())


def power_table(study: Study, folder: Path) -> str:
    """A table of the study's claims for a terminal. InputError where it has none with seeds."""
    rows = [row for row in claim_rows(folder).get(study.name, ()) if row.spread is not None]
    if not rows:
        raise InputError(
            f"{folder}/{study.name}_contrasts.csv: holds no claim of two seeds or more; run the "
            "study first, with 'claims' in its file"
        )
    level = SIGNIFICANT / len(study.claims)
    heads = [f"{times}x questions" if times > 1 else "as now" for times in TIMES]
    lines = [
        f"Seeds for a power of {WANTED:.0%} at p < {level:.4f} ({SIGNIFICANT:g} over "
        f"{len(study.claims)} claims), if its effect is the one found:",
        "",
        f"{'claim':58} {'effect':>7} {'seeds sd':>9} {'of questions':>13}  "
        + "  ".join(f"{head:>12}" for head in heads),
    ]
    return "\n".join([*lines, *(_line(row, level) for row in rows)])


def _line(row: ContrastResult, level: float) -> str:
    spread, questions = row.spread, row.question_error
    counts = []
    for times in TIMES:
        if questions is None and times > 1:
            counts.append("?")
            continue
        variance = seed_variance(spread, questions or 0.0, times)
        found = seeds_needed(row.mean, variance, level)
        counts.append(f"over {MOST}" if found is None else str(found))
    share = "not kept"
    if questions is not None:
        share = "all" if questions >= spread else f"{(questions / spread) ** 2:.0%}"
    return (
        f"{row.contrast:58} {100 * row.mean:+7.1f} {100 * spread:9.1f} {share:>13}  "
        + "  ".join(f"{count:>12}" for count in counts)
    )


def seed_variance(spread: float, questions: float, times: float) -> float:
    """The variance of a seed's mean with `times` as many questions: the seeds' own, which is what
    their `spread` has beyond what the `questions` explain, and the questions' over `times`. The
    questions' part is no more than all of it: the two are estimates."""
    of_questions = min(questions, spread) ** 2
    return spread**2 - of_questions + of_questions / times
