"""A study: every variant with every seed as a DVC experiment, and one tidy table of them all.

    python -m stages.study                      # all of conf/study/laptop.yaml
    python -m stages.study --variants no_gac    # only some; the table holds what has been run
    python -m stages.study --collect --readme   # run nothing, write the table, and the README's

Experiments are those of the commit that is checked out; one that was interrupted is started again
and finds its finished stages in the cache.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stages.errors import InputError, run
from stages.records import write_text

START, END = "<!-- results:", "<!-- /results -->"


def main(argv: list[str] | None = None) -> None:
    """Run what is missing, then write the table from all that was run."""
    args = _arguments(argv)

    from stages.reporting.tables import as_csv
    from stages.studies import experiments
    from stages.studies.medians import markdown

    wanted = planned(args.study)
    chosen = [e for e in wanted if e.variant in (args.variants or [e.variant])]
    chosen = [e for e in chosen if e.seed in (args.seeds or [e.seed])]
    if not chosen:
        raise InputError(f"{args.study}: has no experiment with these --variants and --seeds")
    done = {}
    for number, experiment in enumerate(chosen, 1):
        if not args.collect:
            print(f"{number} of {len(chosen)}: {experiment.name}", file=sys.stderr)
            done[experiment] = experiments.run(experiment)
    for experiment in wanted:
        commit = done.get(experiment) or experiments.revision(experiment)
        if commit is not None:
            done[experiment] = commit
    rows = [row for e in wanted if e in done for row in experiments.rows(e, done[e])]
    if not rows:
        raise InputError(f"{args.study}: none of its experiments was run from this commit")
    write_text(args.output / f"{args.study.stem}.csv", as_csv(rows))
    write_text(args.output / f"{args.study.stem}.md", markdown(rows))
    if args.readme:
        write_text("README.md", with_results(Path("README.md").read_text(), markdown(rows)))
    print(f"{len(done)} of {len(wanted)} experiments are in the table", file=sys.stderr)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--study", type=Path, default=Path("conf/study/laptop.yaml"))
    parser.add_argument("--variants", nargs="+", help="only these")
    parser.add_argument("--seeds", nargs="+", type=int, help="only these")
    parser.add_argument("--collect", action="store_true", help="run nothing")
    parser.add_argument("--readme", action="store_true", help="put the medians into README.md")
    parser.add_argument("--output", type=Path, default=Path("metrics/studies"))
    return parser.parse_args(argv)


def planned(path: Path) -> list:
    """The experiments of a study file, variant by variant. InputError names what is wrong."""
    import yaml

    from stages.studies.experiments import Experiment

    try:
        study = yaml.safe_load(path.read_text(encoding="utf-8"))
        seeds, variants = study["seeds"], study["variants"]
        return [
            Experiment(path.stem, variant, seed, tuple(overrides))
            for variant, overrides in variants.items()
            for seed in seeds
        ]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, KeyError, TypeError, AttributeError):
        raise InputError(f"{path}: expected 'seeds' (a list) and 'variants' (lists)") from None


def with_results(readme: str, table: str) -> str:
    """`readme` with `table` between its two result marks."""
    start, end = readme.find(START), readme.find(END)
    if start < 0 or end < start:
        raise InputError(f"README.md: needs the lines '{START} ... -->' and '{END}'")
    line_end = readme.index("\n", start) + 1
    return f"{readme[:line_end]}\n{table}\n{readme[end:]}"


if __name__ == "__main__":
    run(main)
