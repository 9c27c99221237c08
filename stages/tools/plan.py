"""What the run in params.yaml will take, before it starts; and beside it what stages took since.

    python -m stages.tools.compose scale=paper
    python -m stages.tools.plan --accelerator h100 --price 2.5

Prints each stage's rollouts (for relevance: prompts), tokens, time, memory and disk, and the
assumptions behind them (or what a run with these very parameters has measured: dvc.lock). Beside an
estimate stands what the stage took here when DVC ran it with these very parameters
(tmp/usage.jsonl). Estimates are good to a factor of three or so: enough to choose machines by. Each
column has one unit, and no line is wider than 80 characters.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from stages.evaluation.blocks import evaluation_protocol, evaluation_rollout
from stages.gpu_checks.card import DRIVER
from stages.metrics.reading import read_usage
from stages.params import IndexKind, Params, load_params
from stages.planning.approximate import Speed, build_bytes
from stages.planning.costs import FUSED, LOGIT_BYTES, VOCABULARY, Cost, Planner, shown_tokens
from stages.planning.fits import too_large
from stages.planning.hardware import ACCELERATORS, SHARES, Accelerator
from stages.planning.measured import limits_warned, with_measured
from stages.planning.sizes import Sizes, sizes
from stages.plumbing.errors import InputError, run
from stages.plumbing.usage import FILE, params_fingerprint
from stages.ppo.blocks import training_protocol, training_rollout
from stages.retrieval.devices import vectors_fit

FEWER = 10_000  # questions whose labels are an affordable choice
WIDTH = 80
# Units of a column, the largest first, in what costs are counted in: one each, tokens, hours, GB.
COUNTS = (("M", 1e6), ("k", 1e3), ("", 1))
TOKENS = (("G tok", 1e9), ("M tok", 1e6), ("k tok", 1e3))
TIMES = (("h", 1), ("min", 1 / 60), ("s", 1 / 3600))
SIZES = (("TB", 1e3), ("GB", 1), ("MB", 1e-3))
GIB = 2**30 / 1e9  # GB
# What the column of memory is of: never a machine's beside a card's.
MEASURED = {"cpu": "memory_gib", "cuda": "gpu_memory_gib"}


def main(argv: list[str] | None = None) -> None:
    """Print the plan."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--accelerator", choices=sorted(ACCELERATORS), help="default: by device")
    parser.add_argument("--price", type=float, help="of one accelerator and hour")
    parser.add_argument("--metrics-folder", type=Path, default=Path("metrics"))
    parser.add_argument("--lock", type=Path, default=Path("dvc.lock"), help="of those metrics")
    args = parser.parse_args(argv)
    if args.price is not None and not 0 <= args.price < float("inf"):
        raise InputError("--price: must be a number from 0")
    params = load_params(args.params)
    name = args.accelerator or ("cpu" if params.compute.device == "cpu" else "h100")
    known = with_measured(sizes(params), args.params, args.metrics_folder, args.lock)
    copies = _copies()
    planner = Planner(params, known, ACCELERATORS[name], copies)
    costs = planner.costs()

    from rich.console import Console

    console = Console(highlight=False, width=WIDTH)
    count = params.compute.all_devices
    elapsed = [planner.elapsed(cost, count) for cost in costs]
    ran = _measured(args.params)
    console.print(_table(costs, elapsed, ran, MEASURED[params.compute.device]))
    for line in _summary(planner, costs, sum(elapsed), args.price, ran):
        console.print(line)
    if copies > 1:
        console.print(
            "On disk are counted each output and DVC's copy of it; where the file system has "
            "reflinks (Btrfs, XFS), copies take no room."
        )
    measured = args.params, args.metrics_folder, args.lock
    if params.index.kind is IndexKind.ivfpq:
        console.print(_building(params, known, Speed.read(args.metrics_folder)))
    warned = [
        *too_large(params, known, ACCELERATORS[name]),
        *_too_short(params, known),
        *limits_warned(params.iterations, *measured),
    ]
    for line in [*_idle(planner, costs), *_labelling(planner), *warned]:
        console.print(line)
    console.print(_assumptions(known, ACCELERATORS[name]))


def _copies() -> int:
    """How many copies of an output DVC keeps on disk, by its configuration of links."""
    from dvc.config import Config
    from dvc.exceptions import NotDvcRepoError

    try:
        links = Config.from_cwd()["cache"].get("type") or []
    except NotDvcRepoError:
        links = []
    return 1 if {"hardlink", "symlink"} & set(links) else 2


def _measured(params: Path) -> dict[str, dict]:
    """The last measured run of each stage with the parameters in this file."""
    wanted = params_fingerprint(params)
    rows = [row for row in read_usage(FILE) if wanted and row.get("params") == wanted]
    return {row["stage"]: row for row in rows}


def _table(costs: list[Cost], hours: list[float], measured: dict[str, dict], memory_key: str):
    """`memory_key`: which measured memory is of the kind that is planned."""
    from rich.table import Table

    ran = [measured.get(cost.stage, {}) for cost in costs]
    took = [row.get("hours") or 0 for row in ran]
    filled = [(row.get(memory_key) or 0) * GIB for row in ran]
    memory = [cost.memory for cost in costs]
    time = _unit([*hours, *took], TIMES)
    room = _unit([*memory, *filled], SIZES)
    columns = [
        ("rollouts", [cost.rollouts for cost in costs], _unit([c.rollouts for c in costs], COUNTS)),
        ("read", [cost.read for cost in costs], _unit([c.read for c in costs], TOKENS)),
        ("written", [cost.written for cost in costs], _unit([c.written for c in costs], TOKENS)),
        ("time", hours, time),
        ("took", took, time),
        ("memory", memory, room),
        ("took", filled, room),
        ("disk", [cost.disk for cost in costs], _unit([cost.disk for cost in costs], SIZES)),
    ]
    if not any(ran):
        columns = [column for column in columns if column[0] != "took"]
    title = "Expected" + (", and what it took here with these parameters" if any(ran) else "")
    table = Table(
        title=title, title_justify="left", box=None, collapse_padding=True, pad_edge=False
    )
    table.add_column("stage", overflow="fold")
    for name, _, (unit, _) in columns:
        table.add_column(f"{name}\n{unit}", justify="right", no_wrap=True)
    for number, cost in enumerate(costs):
        cells = [_number(values[number] / size) for _, values, (_, size) in columns]
        table.add_row(cost.stage, *cells)
    return table


def _unit(values: list[float], units: tuple[tuple[str, float], ...]) -> tuple[str, float]:
    """The largest unit of which the greatest value is one or more; the smallest where none is."""
    most = max(values, default=0)
    return next(((name, size) for name, size in units if most >= size), units[-1])


def _number(value: float) -> str:
    """At most 7 characters; nothing for nothing."""
    if not value:
        return ""
    if value < 0.01:
        return "<0.01"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _hours(value: float | None) -> str:
    if not value:
        return ""
    return f"{value:.2f} h" if value >= 0.1 else f"{value * 3600:.1f} s"


def _summary(
    planner: Planner,
    costs: list[Cost],
    elapsed: float,
    price: float | None,
    measured: dict[str, dict],
):
    """`elapsed`: hours of the whole run; `measured`: what its stages took."""
    params, known, accelerator = planner.params, planner.sizes, planner.accelerator
    count = params.compute.all_devices
    disk = sum(cost.disk for cost in costs)
    unit, size = _unit([disk], SIZES)
    yield (
        f"In all {_hours(elapsed) or 'no time'} on {count} x {accelerator.name} "
        f"({elapsed * count:.3g} accelerator hours), {_number(disk / size)} {unit} on disk."
    )
    if params.compute.device == "cuda":
        yield f"It needs NVIDIA's driver {DRIVER} or newer (CUDA 13)."
    yield _protocols(params)
    for what in ("passages", "training", "test"):
        if not getattr(known, what):
            yield f"The number of {what} is not known before the files are there: counted as none."
    if price is not None:
        yield f"At {price:g} an accelerator hour: {price * elapsed * count:,.0f}."
    for cost in costs:
        if cost.host:
            took = (measured.get(cost.stage, {}).get("memory_gib") or 0) * GIB
            yield (
                f"In a node's memory {cost.stage} keeps {cost.host / params.compute.nodes:.0f} GB"
                + (f" (its processes took {took:.0f})" if took else "")
                + ": the models and moments that verl has taken off the accelerators."
            )
    if params.compute.device == "cuda" and any(r.get("gpu_memory_gib") for r in measured.values()):
        yield (
            "The memory that a stage took is the most that it put on one card; vLLM fills "
            "compute.gpu_memory of a card, whatever it needs."
        )
    if params.compute.device == "cuda" and params.index.kind is IndexKind.exact:
        yield _index_place(params, known, accelerator)
    room = count * accelerator.memory
    for cost in costs:
        if cost.memory > room:
            yield (
                f"{cost.stage} wants {cost.memory:.0f} GB and there are {room}: it needs more "
                "devices, or offloading to the host's memory."
            )


def _idle(planner: Planner, costs: list[Cost]):
    """Where there are several nodes: what cannot use them all."""
    params = planner.params
    count, said = params.compute.all_devices, {}
    if params.compute.nodes == 1:
        return
    for cost in costs:
        most = planner.bound(cost)
        if cost.hours and most.devices < count:
            said.setdefault((most.devices, most.why), []).append(cost.stage)
    for (devices, why), stages in said.items():
        yield f"{', '.join(stages)}: {devices} of {count} devices work ({why})."


def _index_place(params: Params, known: Sizes, accelerator: Accelerator) -> str:
    """Whether the vectors are held on the devices of a machine, beside vLLM."""
    share, memory = params.compute.gpu_memory, round(accelerator.memory * 1e9)
    part = -(-known.passages // params.compute.devices)
    fit = vectors_fit(part, known.dimension, memory, memory, share)
    return (
        f"{part * known.dimension * 2 / 1e9:.3g} GB of vectors a device "
        + ("are held" if fit else "do not fit and are read from disk at each search,")
        + f" beside compute.gpu_memory={share:g} of {accelerator.memory} GB."
    )


def _building(params: Params, known: Sizes, speed: Speed | None) -> str:
    """What building an IVF-PQ index of R_k's vectors takes beside encoding."""
    index, count, width = params.index, known.passages, known.dimension
    room = build_bytes(count, width, index.ivfpq, index.sample)
    unit, size = _unit([room / 1e9], SIZES)
    told = (
        f"Each IVF-PQ index is built in one process, in up to {_number(room / 1e9 / size)} {unit} "
        "of a machine's memory"
    )
    if speed is None:
        return f"{told}; how long that takes has not been measured here."
    trained = speed.train_hours(width, index.ivfpq, min(index.sample, count))
    added = speed.add_hours(count, width, index.ivfpq)
    card = "; with device cuda faiss does both on a card" if params.compute.device == "cuda" else ""
    return (
        f"{told}: on one core {_hours(trained) or 'no time'} of training and "
        f"{_hours(added) or 'no time'} of adding, by builds on {speed.machine}{card}. Not in the "
        "table."
    )


def _labelling(planner: Planner):
    """Where all training questions are labelled: what the run takes, and what with fewer."""
    everything = planner.sizes.training
    if planner.params.trajectories.questions is None and planner.params.iterations:
        yield f"It labels all {everything:,} training questions each iteration."
        if everything > FEWER:
            hours = planner.labelling(FEWER).hours()
            yield f"With trajectories.questions={FEWER} it takes {hours:.3g} accelerator hours."


def _too_short(params: Params, known: Sizes) -> Iterator[str]:
    """Warnings of limits that would cut most observations."""
    blocks = {"rollout": (params.rollout, params.protocol)}
    if evaluation_rollout(params) != params.rollout:
        blocks["evaluate.rollout"] = evaluation_rollout(params), evaluation_protocol(params)
    if params.iterations:
        blocks["agent"] = training_rollout(params), training_protocol(params)
    for name, (block, protocol) in blocks.items():
        shown = shown_tokens(block, protocol, known)
        if shown > block.max_information_tokens:
            yield (
                f"{block.top_k} passages take about {shown:.0f} tokens, and "
                f"'{name}.max_information_tokens' leaves {block.max_information_tokens}: most "
                "observations would be cut."
            )


def _protocols(params: Params) -> str:
    """In which frames agents read: PPO's and evaluation's may be others than the run's."""
    told = f"Rollouts talk {params.protocol.name}"
    if params.iterations:
        told += f", in PPO {training_protocol(params).name}"
    if params.evaluate.protocol is not None:
        told += f", in evaluation {params.evaluate.protocol.name}"
    return f"{told}."


def _assumptions(known: Sizes, accelerator: Accelerator) -> str:
    values = [
        f"{f.name} {getattr(known, f.name):.4g}"
        + (" (measured)" if f.name in known.measured else "")
        for f in fields(known)
        if f.name not in ("measured", "sets") and (f.name != "visits" or known.visits)
    ]
    shares = ", ".join(f"{name} {share:.0%}" for name, share in SHARES.items())
    return (
        f"Assumed: {', '.join(values)}; {accelerator.tera:g} tera operations a second, of which "
        f"{shares} are reached; PPO has {LOGIT_BYTES} bytes for each of {VOCABULARY:,} logits "
        f"of {FUSED} tokens."
    )


if __name__ == "__main__":
    run(main)
