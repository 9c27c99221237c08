"""How visits agree with GAC on a finished laptop run, and which rollouts they would have saved.

    PYTHONPATH=. python tests/benchmarks/visits.py --run FOLDER

Run by hand; nothing in FOLDER, a checkout with a finished run, is changed. Writes
metrics/benchmarks/visits.json and the table of docs/ablations.md. Of each iteration: a visit counts
if its trajectory ended right, as `pairs.source: visits` has it; rollouts are those of exact lazy
GAC, and what is left of them where queries with a visit take none.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from stages.common.candidates import by_trajectory, iter_labelled
from stages.common.corpus import WantedPassages
from stages.common.instances import iter_instances
from stages.common.records import write_json, write_text
from stages.common.trajectories import iter_trajectories
from stages.studies.markdown import fill
from stages.visiting.told import restated, shown_queries

ROOT = Path(__file__).parents[2]
OUTPUT, PAGE = ROOT / "metrics/benchmarks/visits.json", ROOT / "docs/ablations.md"
ROWS = {
    "queries": "queries with labels",
    "visited": "of them with a visit in a right trajectory",
    "positive": "with a positive by GAC",
    "both": "with a visit and a positive by GAC",
    "same": "where the visit is that positive",
    "never_shown": "with a positive by GAC, none of which the agent was shown",
    "rollouts": "rollouts of exact lazy GAC",
    "left": "rollouts that `visits_then_gac` leaves of them",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="checkout with a finished run")
    data = parser.parse_args().run.resolve() / "data"
    found = {file.stem: counts(data, file.stem) for file in sorted(data.glob("pairs/*.jsonl"))}
    write_json(OUTPUT, found)
    head = "".join(f" iteration {iteration} |" for iteration in found)
    lines = [f"| |{head}", "| --- |" + " --- |" * len(found)]
    for key, words in ROWS.items():
        lines.append(f"| {words} |" + "".join(f" {each[key]:,} |" for each in found.values()))
    table = "\n".join(lines)
    write_text(PAGE, fill(PAGE.read_text(encoding="utf-8"), {"visits": table}))


def counts(data: Path, iteration: str) -> dict[str, int]:
    """The counts of one iteration, by the keys of ROWS."""
    files = {
        name: data / name / f"{iteration}.jsonl"
        for name in ("trajectories", "candidates", "relevance", "correctness", "pairs")
    }
    labelled = [files[name] for name in ("candidates", "relevance", "correctness")]
    positives: dict[str, set[str]] = {}
    for _, instance in iter_instances(files["pairs"]):
        positives.setdefault(instance.query_id, set()).add(instance.positive.id)
    shown = {
        passage
        for trajectory in iter_trajectories(files["trajectories"])
        for query in shown_queries(trajectory)
        for passage in query.shown
    }
    passages = WantedPassages(data / "corpus/passages.jsonl", shown)
    sums: Counter[str] = Counter(dict.fromkeys(ROWS, 0))
    told = by_trajectory(
        files["trajectories"], iter_labelled(*labelled), lambda row: row[0].query, labelled[0]
    )
    for trajectory, rows in told:
        queries = {query.id: query for query in shown_queries(trajectory)}
        for asked, _, gac in rows:
            query, positive = queries[asked.id], positives.get(asked.id, set())
            texts = [passages[each] for each in query.shown]
            visits = {*restated(query.thought or "", texts)} if trajectory.em else set()
            rollouts = len(gac.scores)
            sums.update({"queries": 1, "rollouts": rollouts, "left": rollouts * (not visits)})
            sums.update({"visited": bool(visits), "positive": bool(positive)})
            sums["both"] += bool(visits and positive)
            sums["same"] += bool(visits & positive)
            sums["never_shown"] += bool(positive) and not positive & {*query.shown}
    return dict(sums)


if __name__ == "__main__":
    main()
