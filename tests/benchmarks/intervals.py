"""How often the intervals of stages/evaluation/intervals.py hold the true mean, when simulated.

    PYTHONPATH=. python tests/benchmarks/intervals.py

Run by hand, a minute; writes metrics/benchmarks/coverage.csv and the tables of docs/statistics.md.
What is simulated is a paired difference of EM, with the numbers that the pilot of five seeds had: a
question's difference is -1, 0 or 1, questions that share a fact chain move together, and a seed has
an effect of its own beside its questions'. "Bootstrap" is the interval that the studies had before:
seeds, and within each its questions, drawn again.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from stages.common.records import as_csv, write_text
from stages.evaluation.intervals import Estimate, clustered, crossed, nested
from stages.studies.markdown import fill

OUTPUT = Path("metrics/benchmarks/coverage.csv")
PAGE = Path("docs/statistics.md")
SEEDS = (2, 3, 5, 10)
EXPERIMENTS = 4000


@dataclass(frozen=True)
class World:
    """A true difference and its chances, EM from 0 to 1.

    `mean`: of the seeds' own effects; `spread`: their standard deviation; `uneven`: every other
    seed spreads four times as much; `collapse`: the share of seeds that lose `loss` more.
    Of `moved` of the questions the outcome differs; a chain has `chain` questions on average, whose
    outcomes are the same with the chance `together`.
    """

    mean: float = 0.03
    spread: float = 0.02
    uneven: bool = False
    collapse: float = 0.0
    loss: float = 0.15
    moved: float = 0.15
    questions: int = 600
    chains: int = 272
    together: float = 0.5

    @property
    def truth(self) -> float:
        """The mean over all seeds and questions that could be drawn."""
        return self.mean - self.collapse * self.loss


WORLDS = {
    "seeds do not differ": World(spread=0.0),
    "seeds differ by 2 points": World(),
    "seeds differ by 6 points": World(spread=0.06),
    "every other seed spreads four times as much": World(uneven=True),
    "one seed in five loses 15 points": World(collapse=0.2),
}


def effects(world: World, shape: tuple[int, int], draw: np.random.Generator) -> np.ndarray:
    """The seeds' own effects (experiment, seed)."""
    scale = np.full(shape[-1], world.spread)
    if world.uneven:
        scale[1::2] *= 4
    normal = draw.standard_normal(shape) * scale
    return world.mean + normal - world.loss * (draw.random(shape) < world.collapse)


def chains(world: World, draw: np.random.Generator) -> np.ndarray:
    """The chain of each question: every chain has one, the others fall where they may."""
    rest = draw.integers(world.chains, size=world.questions - world.chains)
    return np.concatenate([np.arange(world.chains), rest])


def outcomes(
    effect: np.ndarray, world: World, of: np.ndarray, draw: np.random.Generator
) -> np.ndarray:
    """Differences of EM (..., question) about `effect` (...): -1, 0 or 1."""
    shape = (*effect.shape, world.questions)
    alone, shared = (
        draw.random(shape, np.float32),
        draw.random((*effect.shape, world.chains), np.float32),
    )
    place = np.where(draw.random(shape, np.float32) < world.together, shared[..., of], alone)
    moved = np.maximum(world.moved, np.abs(effect))[..., None]
    up = (moved + effect[..., None]) / 2
    return (place < up).astype(np.int8) - (place > 1 - (moved - up)).astype(np.int8)


def summed(values: np.ndarray, of: np.ndarray, clusters: int) -> np.ndarray:
    """Sums of `values` (..., question) by cluster (..., cluster)."""
    order = np.argsort(of, kind="stable")
    starts = np.searchsorted(of[order], np.arange(clusters))
    return np.add.reduceat(values[..., order].astype(np.int16), starts, axis=-1)


def share_held(estimate: Estimate, truth: float) -> tuple[float, float]:
    """(share of intervals that hold `truth`, their mean width)."""
    low, high = estimate.bounds()
    return float(((low <= truth) & (truth <= high)).mean()), float((high - low).mean())


def of_nested(world: World, seeds: int, experiments: int, draw) -> tuple[float, float]:
    """Coverage and width of t on the seeds' means, each seed with questions of its own."""
    return share_held(nested(_means(world, seeds, experiments, draw)), world.truth)


def _means(world: World, seeds: int, experiments: int, draw) -> np.ndarray:
    of = chains(world, draw)
    found = [
        outcomes(effects(world, (500, seeds), draw), world, of, draw).mean(axis=-1)
        for _ in range(experiments // 500)
    ]
    return np.concatenate(found)


def of_bootstrap(world: World, seeds: int, experiments: int, draw) -> tuple[float, float]:
    """The same of the bootstrap over seeds and questions; the questions' chance by its normal."""
    means = _means(world, seeds, experiments, draw)
    noise = np.sqrt(world.moved / world.questions)  # as independent as it took them to be
    picked = draw.integers(seeds, size=(1000, seeds))
    low, high = np.empty((2, experiments))
    for number, mean in enumerate(means):
        found = (mean[picked] + noise * draw.standard_normal(picked.shape)).mean(axis=-1)
        low[number], high[number] = np.percentile(found, [2.5, 97.5])
    return float(((low <= world.truth) & (world.truth <= high)).mean()), float((high - low).mean())


def of_crossed(
    world: World, seeds: int, experiments: int, draw, shared: float = 0.08
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Coverage and width of `crossed`, and of `nested` where it is wrong: one test set for all
    seeds, whose chains differ in what they gain (a standard deviation of `shared`)."""
    of = chains(world, draw)
    counts = np.broadcast_to(np.bincount(of), (500, seeds, world.chains))
    held = []
    for _ in range(experiments // 500):
        effect = effects(world, (500, seeds), draw)
        easy = draw.standard_normal((500, 1, world.chains)) * shared
        sums = summed(outcomes(effect, world, of, draw), of, world.chains)
        sums = sums + easy * counts
        held.append(
            [
                share_held(crossed(sums, counts), world.truth),
                share_held(nested(sums.sum(axis=-1) / world.questions), world.truth),
            ]
        )
    both = np.mean(held, axis=0)
    return tuple(both[0]), tuple(both[1])


def of_one_run(
    world: World, experiments: int, draw
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Coverage and width of `clustered` over chains, and over questions as if independent."""
    of = chains(world, draw)
    values = outcomes(np.full(experiments, world.mean), world, of, draw)
    sums = summed(values, of, world.chains)
    counts = np.broadcast_to(np.bincount(of), sums.shape)
    ones = np.ones(values.shape, np.int8)
    return (
        share_held(clustered(sums, counts), world.mean),
        share_held(clustered(values, ones), world.mean),
    )


def simulate(experiments: int = EXPERIMENTS) -> list[dict]:
    """One row for each world, number of seeds and interval; widths in points of EM."""
    rows = []

    def add(world: str, design: str, interval: str, seeds: int, found: tuple[float, float]) -> None:
        row = {"world": world, "design": design, "interval": interval, "seeds": seeds}
        rows.append(row | {"coverage": round(found[0], 3), "width": round(100 * found[1], 2)})

    for number, (name, world) in enumerate(WORLDS.items()):
        for seeds in SEEDS:
            draw = np.random.default_rng([number, seeds])
            add(
                name, "nested", "t on seed means", seeds, of_nested(world, seeds, experiments, draw)
            )
            found = of_bootstrap(world, seeds, experiments, draw)
            add(name, "nested", "bootstrap", seeds, found)
            both, wrong = of_crossed(world, seeds, experiments, draw)
            add(name, "crossed", "two-way sandwich", seeds, both)
            add(name, "crossed", "t on seed means", seeds, wrong)
    for name, together in (
        ("chains move together by half", 0.5),
        ("questions are independent", 0.0),
    ):
        draw = np.random.default_rng([9, int(10 * together)])
        by_chain, alone = of_one_run(replace(World(), together=together), experiments, draw)
        add(name, "one run", "sandwich by chain", 1, by_chain)
        add(name, "one run", "by question", 1, alone)
    return rows


def table(rows: list[dict], design: str) -> str:
    """Coverage in per cent, and mean width in brackets: worlds and intervals down, seeds across."""
    mine = [row for row in rows if row["design"] == design]
    seeds = sorted({int(row["seeds"]) for row in mine})
    heads = "".join(f" {n} seeds |" if n > 1 else " one run |" for n in seeds)
    lines = [f"| world | interval |{heads}", f"| --- | --- |{' --- |' * len(seeds)}"]
    for world, interval in dict.fromkeys((row["world"], row["interval"]) for row in mine):
        cells = {
            int(row["seeds"]): f" {100 * float(row['coverage']):.1f} ({float(row['width']):.1f}) |"
            for row in mine
            if (row["world"], row["interval"]) == (world, interval)
        }
        lines.append(f"| {world} | {interval} |{''.join(cells[n] for n in seeds)}")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Simulate all, write the table and the page."""
    write_text(OUTPUT, as_csv(simulate()))
    with open(OUTPUT, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    parts = {f"coverage {name}": table(rows, name) for name in ("nested", "crossed", "one run")}
    write_text(PAGE, fill(PAGE.read_text(encoding="utf-8"), parts))


if __name__ == "__main__":
    main()
