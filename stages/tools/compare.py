"""The runs that are here, side by side: changed parameters, EM, searches, by iteration, set, pair.

    python -m stages.tools.compare                   # the commit, this checkout, its experiments
    python -m stages.tools.compare --all             # experiments of other commits, too
    python -m stages.tools.compare main wordy-guan   # two runs: commits, branches, experiments

The first run is what the others are compared with. A figure that was not made with its run's
parameters is left out, and the reason is told. No line is wider than 100 characters.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from stages.plumbing.errors import InputError, run

if TYPE_CHECKING:
    from stages.comparing.runs import Run

WIDTH = 100
SHOWN = 12  # changed parameters of a run
ITERATIONS = 4  # columns of the first table: the last iterations
BESIDE = 4  # runs in the second table
EVERYTHING = r"dvc exp show --drop '.*' --keep 'Experiment|.*(em|searches)\.[0-9]+$'"
NONE = "-"


def main(argv: list[str] | None = None) -> None:
    """Print both tables."""
    args = _arguments(argv)
    runs, unread = _chosen(args.runs) if args.runs else _all(args.all)
    shown = [each for each in runs if each.pairs]
    reasons = [*unread, *(f"{r.name}: {r.missing[0]}" for r in runs if r.missing and not r.pairs)]
    if not shown:
        told = reasons[0] if reasons else "neither metrics/evaluate nor a commit is here"
        raise InputError(f"no run to compare: {told}; `dvc repro evaluate@1` makes one")

    from rich.console import Console

    console = Console(highlight=False, width=WIDTH)
    beside = shown if len(shown) <= BESIDE else [shown[0], *shown[1 - BESIDE :]]
    console.print(_by_iteration(shown))
    console.print(_by_pair(beside))
    for line in [*_notes(shown, beside), *reasons]:
        console.print(line, markup=False)
    console.print("\nThe headline by DVC, for as many runs as there are:")
    console.print(EVERYTHING, markup=False, soft_wrap=True)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="*", help="experiments or revisions; default: what is here")
    parser.add_argument("--all", action="store_true", help="experiments of every commit")
    return parser.parse_args(argv)


def _chosen(names: list[str]) -> tuple[list[Run], list[str]]:
    from stages.comparing.runs import HERE, commit_of, experiments, read_commit, read_run

    known = experiments(None) | experiments(commit_of("HEAD") or "")
    runs = []
    for name in names:
        commit = known.get(name) or commit_of(name)
        if name != HERE and commit is None:
            raise InputError(f"{name}: neither an experiment nor a revision of git")
        runs.append(read_run(HERE) if commit is None else read_commit(name, commit))
    return runs, []


def _all(everywhere: bool) -> tuple[list[Run], list[str]]:
    """The commit, this checkout unless it holds the same as one of the others, experiments; and why
    others cannot be read."""
    from stages.comparing.runs import HERE, commit_of, experiments, read_commit, read_run

    head = commit_of("HEAD")
    places = {f"commit {head[:7]}": head} if head else {}
    places |= experiments(None if everywhere else head) if head else {}
    runs, unread = [], []
    for name, commit in places.items():
        try:
            runs.append(read_commit(name, commit))
        except InputError as error:
            unread.append(str(error))
    try:
        here = read_run(HERE)
    except InputError as error:
        return runs, [*unread, str(error)]
    if not any(each.params == here.params and each.pairs == here.pairs for each in runs):
        runs.insert(1 if head and len(runs) else 0, here)
    return runs, unread


def _by_iteration(runs: list[Run]):
    """A row a run: what was changed, and the flywheel's pairs averaged over question sets."""
    from stages.comparing.runs import changes
    from stages.reporting.results import agent_label, retriever_label

    iterations = {a for each in runs for a, r in each.pairs if a == r and a.isdigit()}
    iterations = sorted(iterations, key=lambda k: (len(k), k))[-ITERATIONS:]
    table = _table("EM (%) and searches per question by iteration, means over question sets")
    table.add_column("run", overflow="fold", max_width=20)
    table.add_column(f"changed since {runs[0].name}", overflow="fold")
    for iteration in iterations:
        label = f"{agent_label(iteration)}\n+ {retriever_label(iteration)}"
        table.add_column(label, justify="right", no_wrap=True)
    for each in runs:
        found = changes(runs[0].params, each.params)
        rest = len(found) - SHOWN
        told = found[:SHOWN] + ([f"and {rest} more"] if rest > 0 else [])
        cells = []
        for iteration in iterations:
            pair = each.pairs.get((iteration, iteration))
            cells.append(_cell(pair.mean("em"), pair.mean("searches")) if pair else NONE)
        table.add_row(_text(each.name), _text("\n".join(told) or NONE), *cells)
    return table


def _by_pair(runs: list[Run]):
    """A row a pair and question set, a column a run."""
    from stages.reporting.results import agent_label, retriever_label

    table = _table("by pair and question set")
    table.add_column("pair", overflow="fold", min_width=12)
    table.add_column("set", overflow="fold", min_width=9)
    for each in runs:
        table.add_column(_text(each.name), justify="right", overflow="fold", min_width=11)
    pairs = dict.fromkeys(key for each in runs for key in each.pairs)
    sets = dict.fromkeys(name for each in runs for name in each.questions)
    for number, (agent, retriever) in enumerate(pairs):
        found = [each.pairs.get((agent, retriever)) for each in runs]
        label = f"{agent_label(agent)} + {retriever_label(retriever)}"
        for name in sets:
            parts = [pair.sets.get(name) if pair else None for pair in found]
            if any(parts):
                cells = [_cell(part.em, part.searches) if part else NONE for part in parts]
                table.add_row(_text(label), _text(name), *cells)
                label = ""
        means = [_cell(p.mean("em"), p.mean("searches")) if p else NONE for p in found]
        table.add_row("", "mean", *means, end_section=number < len(pairs) - 1)
    return table


def _table(title: str):
    from rich import box
    from rich.table import Table

    return Table(title=title, title_justify="left", box=box.ROUNDED)


def _cell(em: float, searches: float) -> str:
    return f"{100 * em:.1f} {searches:5.2f}"


def _text(text: str):
    from rich.text import Text

    return Text(text)


def _notes(runs: list[Run], beside: list[Run]) -> list[str]:
    """What a reader must know before comparing the numbers."""
    told = []
    if len({tuple(sorted(each.questions.items())) for each in runs}) > 1:
        told.append("Not all runs asked the same questions, so means are of different ones:")
        for each in runs:
            counts = ", ".join(f"{name} {count}" for name, count in each.questions.items())
            told.append(f"  {each.name}: {counts}")
    for each in runs:
        if each.missing:
            count = len(each.missing)
            told.append(
                f"{each.name}: {count} pair{'' if count == 1 else 's'} left out, as "
                f"{each.missing[0]}"
            )
    if len(beside) < len(runs):
        told.append(
            f"The second table has {len(beside)} of {len(runs)} runs; others by name: "
            "python -m stages.tools.compare NAME NAME"
        )
    return told


if __name__ == "__main__":
    run(main)
