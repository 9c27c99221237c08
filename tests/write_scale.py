"""Put what the plan says of many nodes and of large corpora into docs/scale.md, between its marks.

    PYTHONPATH=.:tests python -m write_scale

Nothing is measured here but what metrics/benchmarks/ivfpq.json and driver.json say; the rest is
the plan's arithmetic at the scale `paper`.
"""

import json
import tempfile
from dataclasses import replace
from pathlib import Path

from stages.common.records import write_text
from stages.composing.compose import compose
from stages.params import IndexKind, Ivfpq, Params, load_params
from stages.planning.approximate import Speed, build_bytes, file_bytes
from stages.planning.costs import Planner
from stages.planning.hardware import ACCELERATORS
from stages.planning.sizes import sizes
from stages.studies.markdown import fill

PAGE = Path("docs/scale.md")
BENCHMARKS = Path("metrics/benchmarks")
NODES = (1, 4, 16, 64)
LARGE = {  # passages -> lists, about twice the root
    21_015_324: Ivfpq(lists=8192, bytes=64),
    100_000_000: Ivfpq(lists=32_768, bytes=64),
    1_000_000_000: Ivfpq(lists=65_536, bytes=64),
}
SAMPLED = 64  # vectors of the sample for each list


def of_paper(*overrides: str) -> Params:
    with tempfile.TemporaryDirectory() as folder:
        compose(Path(folder) / "params.yaml", ["scale=paper", *overrides])
        return load_params(Path(folder) / "params.yaml")


def planner(params: Params) -> Planner:
    return Planner(params, sizes(params), ACCELERATORS["h100"])


def nodes() -> str:
    """Hours of each stage of iteration 1, and of the run, on so many nodes of eight."""
    plan = planner(of_paper())
    devices = plan.params.compute.devices
    head = [str(count) for count in NODES]
    lines = [f"| hours on nodes of {devices} | {' | '.join(head)} | uses at most | because |"]
    lines.append(f"| --- |{' --- |' * (len(NODES) + 2)}")
    costs = plan.costs()
    for cost in costs:
        if cost.stage.partition("@")[2] not in ("", "1") or not cost.hours:
            continue
        hours = [f"{plan.elapsed(cost, count * devices):.2g}" for count in NODES]
        most = plan.bound(cost)
        lines.append(f"| `{cost.stage}` | {' | '.join(hours)} | {most.devices:,} | {most.why} |")
    whole = [sum(plan.elapsed(cost, count * devices) for cost in costs) for count in NODES]
    paid = [hours * count * devices for hours, count in zip(whole, NODES)]
    lines.append(f"| all stages | {' | '.join(f'{hours:.3g}' for hours in whole)} | | |")
    lines.append(f"| accelerator hours | {' | '.join(f'{hours:,.0f}' for hours in paid)} | | |")
    return "\n".join(lines) + "\n"


def passages() -> str:
    """Disk, memory and hours of an IVF-PQ index by the number of passages."""
    params = of_paper()
    plan = planner(params)
    lines = [
        "| passages | lists | vectors, 16 bits | IVF-PQ file | memory of its build | encoding on "
        f"{params.compute.devices} x h100 | training, one core | adding, one core |",
        f"| --- |{' --- |' * 7}",
    ]
    measured = json.loads((BENCHMARKS / "ivfpq.json").read_text())
    speed = Speed.read(Path("metrics"))
    for count, block in LARGE.items():
        known = replace(plan.sizes, passages=count)
        index = replace(params.index, kind=IndexKind.exact)
        sized = replace(plan, sizes=known, params=replace(params, index=index))
        cost = next(cost for cost in sized.costs() if cost.stage == "index-0")
        width, sample = known.dimension, block.lists * SAMPLED
        cells = [
            f"{count:,}",
            f"{block.lists:,}",
            f"{count * width * 2 / 1e9:,.0f} GB",
            f"{file_bytes(count, width, block) / 1e9:,.1f} GB",
            f"{build_bytes(count, width, block, sample) / 1e9:,.0f} GB",
            f"{sized.elapsed(cost, params.compute.devices):,.2g} h",
            f"{speed.train_hours(width, block, sample):,.1f} h",
            f"{speed.add_hours(count, width, block):,.0f} h",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", "Checked against builds here:", "", *_builds(measured)]) + "\n"


def _builds(measured: dict) -> list[str]:
    """What builds took, each beside what the plan says of it."""
    lines = [
        "| passages | lists | vectors | file | memory, at most | training | adding |",
        f"| --- |{' --- |' * 6}",
    ]
    for row in measured["builds"]:
        cells = [
            f"{row['passages']:,}",
            f"{row['lists']:,}",
            f"{row['vectors_bytes'] / 1e6:,.0f} MB",
        ]
        for name in ("file", "memory"):
            own, planned = row[f"{name}_bytes"] / 1e6, row[f"planned_{name}_bytes"] / 1e6
            cells.append(f"{own:,.1f} MB (plan: {planned:,.1f})")
        for name in ("train", "add"):
            cells.append(
                f"{row[f'{name}_seconds']:,.0f} s (plan: {row[f'planned_{name}_seconds']:,.0f})"
            )
        lines.append(f"| {' | '.join(cells)} |")
    told = f"{measured['dimension']} components, {measured['bytes']} bytes a passage"
    return [
        *lines,
        "",
        f"Vectors of {told}, one thread, on {measured['machine']}. Planned seconds follow from "
        "the first build's.",
    ]


def driver() -> str:
    """What handing out a part takes."""
    found = json.loads((BENCHMARKS / "driver.json").read_text())
    memory = " / ".join(map(str, found["memory_mb_after_each_tenth"]))
    return (
        f"{found['parts']:,} parts over {found['workers']} workers in {found['seconds']:,.0f} s: "
        f"{found['milliseconds_of_the_driver_a_part']:.2f} ms a part, of which "
        f"{found['processor_milliseconds_a_part']:.2f} ms of the driver's processor time, and "
        f"{found['bytes_kept_a_part']:.0f} bytes kept; the driver's memory after each tenth: "
        f"{memory} MB ({found['machine']}).\n"
    )


def main() -> None:
    parts = {"nodes": nodes()}
    for table in (passages, driver):
        name = {"passages": "ivfpq", "driver": "driver"}[table.__name__]
        if (BENCHMARKS / f"{name}.json").exists():
            parts[table.__name__] = table()
    write_text(PAGE, fill(PAGE.read_text(encoding="utf-8"), parts))


if __name__ == "__main__":
    main()
