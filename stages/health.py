"""After a turn: does a failure signature of the method show, and shall the run go on?

Agentic-R's signatures are searches that rise over turns, a positive selection rate that collapses
("GAC collapse") and a turn worse than the one before; ours beside them are a collapse of PPO
(entropy, response length, reward) and a judge that gives one grade to all.

in:  figures of the turn's stages; the health of the turn before (turn 0: the figures of none)
out: OUTPUT, which the next turn's agent waits for: whether to go on; METRICS, every signature with
     its value and its limit (`health` in params.yaml)

With `health.stop` a turn that shows a signature ends the run: exit code 3 and the reasons.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from stages.common.records import read_json, write_json
from stages.params import Health, load_params
from stages.plumbing import errors

STOPPED = 3  # exit code


@dataclass(frozen=True)
class Signature:
    """A figure and the limit it must keep to; `value` None where there is nothing to compare."""

    name: str
    value: float | None
    least: float | None
    most: float | None
    meaning: str

    @property
    def shows(self) -> bool:
        """Whether the limit is broken."""
        if self.value is None:
            return False
        low = self.least is not None and self.value < self.least
        return low or (self.most is not None and self.value > self.most)

    @property
    def sentence(self) -> str:
        """What shows, for people."""
        limit = f"at least {self.least:g}" if self.least is not None else f"at most {self.most:g}"
        return f"{self.meaning}: {self.name} is {self.value:.4g}, the limit is {limit}"


def values_of(turn: str, metrics: Path) -> dict[str, float | None]:
    """The figures of a turn that signatures look at; turn 0 has none."""
    if turn == "0":
        return {}
    names = ("agent", "evaluate", "pairs", "relevance")
    agent, evaluation, pairs, relevance = (read_json(metrics / n / f"{turn}.json") for n in names)
    sets = list(evaluation["sets"].values())
    first, last = agent["first"], agent["last"]
    return {
        "em": round(sum(figures["em"] for figures in sets) / len(sets), 6),
        "searches": round(sum(figures["searches"] for figures in sets) / len(sets), 6),
        "selection_rate": pairs["positive_selection_rate"],
        "entropy": last["entropy"],
        "length_ratio": _ratio(last["response_length"], first["response_length"]),
        "reward_gain": round(last["reward"] - first["reward"], 6),
        "uniform_share": relevance.get("uniform_share"),
    }


def signatures(now: dict, before: dict, limits: Health) -> list[Signature]:
    """Every signature of a turn, against the values of the turn before."""
    rate = _ratio(now.get("selection_rate"), before.get("selection_rate"))
    gain, rise = _difference("em", now, before), _difference("searches", now, before)
    length = now.get("length_ratio")
    return [
        Signature("em_gain", gain, limits.em_gain, None, "the turn answers fewer questions"),
        Signature("searches_rise", rise, None, limits.searches_rise, "the turn searches more"),
        Signature("selection_ratio", rate, limits.selection_ratio, None, "GAC collapse"),
        Signature("entropy", now.get("entropy"), limits.entropy, None, "PPO has no variety left"),
        Signature("length_ratio", length, limits.length_ratio, None, "responses collapse in PPO"),
        Signature(
            "reward_gain", now.get("reward_gain"), limits.reward_gain, None, "PPO loses reward"
        ),
        Signature(
            "uniform_share",
            now.get("uniform_share"),
            None,
            limits.uniform_share,
            "the judge gives one grade to all passages",
        ),
    ]


def _ratio(now: float | None, before: float | None) -> float | None:
    return round(now / before, 6) if now is not None and before else None


def _difference(key: str, now: dict, before: dict) -> float | None:
    if now.get(key) is None or before.get(key) is None:
        return None
    return round(now[key] - before[key], 6)


def main(argv: list[str] | None = None) -> int:
    """Check one turn; the exit code is 3 if the run ends here."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turn", required=True, help="k, the turn of the flywheel; 0: before it")
    parser.add_argument("--before", type=Path, help="metrics of the health of the turn before")
    parser.add_argument("--metrics-folder", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True, help="whether to go on, JSON")
    parser.add_argument("--metrics", type=Path, required=True, help="all signatures, JSON")
    args = parser.parse_args(argv)
    limits = load_params().health

    now = values_of(args.turn, args.metrics_folder)
    before = read_json(args.before)["values"] if args.before else {}
    found = signatures(now, before, limits)
    shown = [signature.sentence for signature in found if signature.shows]
    rows = [{**asdict(signature), "shows": signature.shows} for signature in found]
    write_json(args.metrics, {"values": now, "signatures": rows, "shown": shown})
    for sentence in shown:
        print(f"health of turn {args.turn}: {sentence}", file=sys.stderr)
    if shown and limits.stop:
        print(
            f"The flywheel ends at turn {args.turn} ('health.stop' is on). To report what there "
            "is, take the later turns out of 'iterations'; to go on, turn 'health.stop' off.",
            file=sys.stderr,
        )
        return STOPPED
    write_json(args.output, {"turn": args.turn, "go_on": True})
    return 0


if __name__ == "__main__":
    errors.run(main)
