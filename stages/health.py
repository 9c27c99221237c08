"""Stage health@k: check iteration k for the method's failure signatures. May stop the run.

Agentic-R's signatures are searches that rise over iterations, a positive selection rate that
collapses ("GAC collapse") and an iteration worse than the one before; ours beside them are a
collapse of PPO (entropy, response length, reward) and a judge that gives one grade to all.

in:  figures of the iteration's stages; the health of the one before (0: the figures of none)
out: OUTPUT, which the next iteration's agent waits for: whether to go on; METRICS, every signature
     with its value and its limit (`health` in params.yaml)

EM and searches are those of the development sets, so that no decision sees a test question; where
there are none (`questions.development: 0`), of the test sets.

A figure that its stage should have written and that is missing, or is no finite number, breaks
its limit too. With `health.stop` an iteration that shows a signature ends the run: exit code 3 and
the reasons.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

from stages.common.records import write_json
from stages.metrics.health import IterationHealth, Signature
from stages.metrics.reading import read, read_health
from stages.params import Health, load_params
from stages.plumbing.errors import run

STOPPED = 3  # exit code
MISSING = math.nan  # stands for a figure that should be there
WITHOUT_JUDGE = {"in", "out", "dropped"}  # all that `relevance.mode: off` has to tell


def main(argv: list[str] | None = None) -> int:
    """Check one iteration; the exit code is 3 if the run ends here."""
    args = _arguments(argv)
    limits = load_params().health

    now = values_of(args.iteration, args.metrics_folder)
    before = read_health(args.before).values if args.before else {}
    found = signatures(now, before, limits, decided_by(args.iteration, args.metrics_folder))
    shown = [signature.sentence for signature in found if signature.shows]
    values = {name: _plain(value) for name, value in now.items()}
    write_json(args.metrics, IterationHealth(values, found, shown).row())
    for sentence in shown:
        print(f"health of iteration {args.iteration}: {sentence}", file=sys.stderr)
    if shown and limits.stop:
        print(
            f"The flywheel ends at iteration {args.iteration} ('health.stop' is on). To report "
            "what there is, take the later ones out of 'iterations'; to go on, turn 'health.stop' "
            "off.",
            file=sys.stderr,
        )
        return STOPPED
    write_json(args.output, {"iteration": args.iteration, "go_on": True})
    return 0


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--iteration", required=True, help="k, the iteration of the flywheel; 0: before it"
    )
    parser.add_argument("--before", type=Path, help="metrics of the health of the iteration before")
    parser.add_argument("--metrics-folder", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True, help="whether to go on, JSON")
    parser.add_argument("--metrics", type=Path, required=True, help="all signatures, JSON")
    return parser.parse_args(argv)


def values_of(iteration: str, metrics: Path) -> dict[str, float | None]:
    """The figures of an iteration that signatures look at; 0 has none. Not finite: missing."""
    if iteration == "0":
        return {}
    names = ("agent", "evaluate", "pairs", "relevance")
    agent, evaluation, pairs, relevance = (
        read(metrics / n / f"{iteration}.json", partial=True) for n in names
    )
    sets = list((evaluation.get("development") or evaluation.get("sets", {})).values())
    ends = [agent.get(end, {}) for end in ("first", "last")]
    lengths, rewards = ([_figure(end, k) for end in ends] for k in ("response_length", "reward"))
    nothing_graded = relevance.get("uniform_share", MISSING) is None
    judged = relevance.keys() != WITHOUT_JUDGE and not nothing_graded
    return {
        "em": _mean(sets, "em"),
        "searches": _mean(sets, "searches"),
        "selection_rate": _figure(pairs, "positive_selection_rate"),
        "entropy": _figure(ends[1], "entropy"),
        "length_ratio": _ratio(lengths[1], lengths[0]),
        "reward_gain": round(rewards[1] - rewards[0], 6),
        "uniform_share": _figure(relevance, "uniform_share") if judged else None,
    }


def decided_by(iteration: str, metrics: Path) -> str | None:
    """Which kind of sets EM and searches are of; None of iteration 0, which has none."""
    if iteration == "0":
        return None
    evaluation = read(metrics / "evaluate" / f"{iteration}.json", partial=True)
    return "development sets" if evaluation.get("development") else "test sets"


def _figure(metrics: dict, key: str) -> float:
    """The number at `key`; MISSING where there is none."""
    value = metrics.get(key)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else MISSING


def _mean(sets: list[dict], key: str) -> float:
    return round(sum(_figure(s, key) for s in sets) / len(sets), 6) if sets else MISSING


def _plain(value: float | None) -> float | None:
    """As JSON can say it."""
    return value if value is not None and math.isfinite(value) else None


def signatures(now: dict, before: dict, limits: Health, sets: str | None = None) -> list[Signature]:
    """Every signature of an iteration, against the values of the iteration before; `sets`: what EM
    and searches are of.

    Both are empty, as in iteration 0, or have all figures: one that is missing breaks its limit.
    """
    of = f" ({sets})" if sets else ""
    fewer, more = f"the iteration answers fewer questions{of}", f"the iteration searches more{of}"
    rate = _ratio(*_both("selection_rate", now, before))
    gain, rise = (_difference(*_both(key, now, before)) for key in ("em", "searches"))
    length, entropy = _value("length_ratio", now), _value("entropy", now)
    reward, uniform = _value("reward_gain", now), _value("uniform_share", now)
    return [
        _signature("em_gain", gain, limits.em_gain, None, fewer),
        _signature("searches_rise", rise, None, limits.searches_rise, more),
        _signature("selection_ratio", rate, limits.selection_ratio, None, "GAC collapse"),
        _signature("entropy", entropy, limits.entropy, None, "PPO has no variety left"),
        _signature("length_ratio", length, limits.length_ratio, None, "responses collapse in PPO"),
        _signature("reward_gain", reward, limits.reward_gain, None, "PPO loses reward"),
        _signature(
            "uniform_share",
            uniform,
            None,
            limits.uniform_share,
            "the judge gives one grade to all passages",
        ),
    ]


def _signature(
    name: str, value: float | None, least: float | None, most: float | None, meaning: str
) -> Signature:
    """The signature of a figure: None where there is nothing to compare, not finite where it is
    missing or broken."""
    kept = value is None or (
        math.isfinite(value)
        and (least is None or least <= value)
        and (most is None or value <= most)
    )
    return Signature(name, _plain(value), least, most, meaning, not kept)


def _ratio(now: float | None, before: float | None) -> float | None:
    return round(now / before, 6) if now is not None and before else None


def _value(key: str, values: dict) -> float | None:
    """The iteration's figure: None where it has no figures, MISSING where it has others."""
    return values.get(key, MISSING if values else None)


def _both(key: str, now: dict, before: dict) -> tuple[float | None, float | None]:
    """The figure in both iterations; None twice where one of them has no figures to compare."""
    if not now or not before:
        return None, None
    values = (_value(key, iteration) for iteration in (now, before))
    return tuple(MISSING if value is None else value for value in values)


def _difference(now: float | None, before: float | None) -> float | None:
    return None if now is None else round(now - before, 6)


if __name__ == "__main__":
    run(main)
