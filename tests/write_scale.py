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
from stages.planning.approximate import build_bytes, file_bytes
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
        f"{params.compute.devices} x h100 | adding, one core |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    measured = json.loads((BENCHMARKS / "ivfpq.json").read_text())
    for count, block in LARGE.items():
        known = replace(plan.sizes, passages=count)
        index = replace(params.index, kind=IndexKind.exact)
        sized = replace(plan, sizes=known, params=replace(params, index=index))
        cost = next(cost for cost in sized.costs() if cost.stage == "index-0")
        hours = sized.elapsed(cost, params.compute.devices)
        width = known.dimension
        work = block.lists * width / (measured["lists"] * measured["dimension"])
        adding = count * measured["microseconds_to_add_a_passage"] / 1e6 / 3600 * work
        memory = build_bytes(count, width, block, block.lists * SAMPLED)
        cells = [
            f"{count:,}",
            f"{block.lists:,}",
            f"{count * width * 2 / 1e9:,.0f} GB",
            f"{file_bytes(count, width, block) / 1e9:,.1f} GB",
            f"{memory / 1e9:,.0f} GB",
            f"{hours:,.2g} h",
            f"{adding:,.0f} h",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "Checked against builds here:", ""]
    lines.append("| passages | file | by the plan | memory | at most, by the plan | seconds |")
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for row in measured["builds"]:
        mb = [
            f"{row[name] / 1e6:,.1f} MB"
            for name in ("file_bytes", "planned_file_bytes", "memory_bytes", "planned_memory_bytes")
        ]
        lines.append(f"| {row['passages']:,} | {' | '.join(mb)} | {row['seconds']:.1f} |")
    told = f"{measured['dimension']} components, {measured['lists']} lists, {measured['bytes']}"
    lines += ["", f"Vectors of {told} bytes a passage, on a {measured['machine']}."]
    return "\n".join(lines) + "\n"


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
