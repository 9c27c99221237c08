"""A study: every variant with every seed as a DVC experiment, and tidy tables of them all.

    python -m stages.tools.study                      # all of conf/study/laptop.yaml
    python -m stages.tools.study --variants no_gac    # only some; the tables hold what has been run
    python -m stages.tools.study --collect --into README.md   # run nothing, write the tables
    python -m stages.tools.study --kept     # run nothing, tables anew from metrics/studies
    python -m stages.tools.study --power    # print what the claims would need

Experiments are those of the commit that is checked out; one that was interrupted is started again
and finds its finished stages in the cache. Writes STUDY.csv (pairs), STUDY_labels.csv (what labels
cost), STUDY_seeds.csv (what each seed says of each contrast), and from these
STUDY_contrasts.csv (differences with intervals) and what else the study asks for (price, accuracy
of the judge, transfer, grid, groups of questions, drift of the queries); documents get what they
have marks for.

A study goes on elsewhere: commit the tables, pull them in another clone, and `--seeds 7 8` there
adds its rows. They must be of the same state (stages/studies/states.py) as those in the tables, or
`--join` keeps rows of several states, which the tables then tell; `--replace` leaves the others
out. What was run again replaces its rows. Where all seeds are asked the same questions, all of them
must be run in one clone.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from stages.common.records import write_text
from stages.plumbing.errors import InputError, run


@dataclass(frozen=True)
class Fresh:
    """Tables of each seed, and the questions behind the rows of the table of seeds."""

    tables: dict[str, list]
    samples: dict


def main(argv: list[str] | None = None) -> None:
    """Run what is missing, then write the tables from all that was run."""
    args = _arguments(argv)

    from stages.studies import experiments
    from stages.studies.kept import join_rows, kept_tables, of_other_states, refuse, without
    from stages.studies.plan import read_study

    study = read_study(args.study)
    if args.power:
        from stages.studies.power import power_table

        print(power_table(study, args.output))
        return
    for document in args.into:
        _text(document)  # one that cannot be read is told before hours of experiments
    kept = kept_tables(study, args.output)
    if args.kept:
        _fill(args.into, _kept(study, kept, args.output))
        return
    chosen = _chosen(study, args)
    kept = _listed(study, kept, args.study)
    if not args.collect:
        _check_before(study, chosen, kept, args)
        for number, experiment in enumerate(chosen, 1):
            print(f"{number} of {len(chosen)}: {experiment.name}", file=sys.stderr)
            experiments.run_experiment(experiment)
    commits = {e: experiments.revision(e) for e in study.experiments}
    finished = [experiments.Finished(e, commit) for e, commit in commits.items() if commit]
    if not finished:
        raise InputError(f"{args.study}: none of its experiments was run from this commit")
    fresh = collected(study, finished, _seeds(study, args.output))
    others = of_other_states(kept, fresh.tables)
    if args.replace:
        kept = without(kept, others)
    elif not args.join:
        refuse(_seeds(study, args.output), others)
    tables = join_rows(study, kept, fresh.tables)
    _fill(args.into, write_tables(study, tables, args.output, fresh.samples))
    print(f"{len(finished)} of {len(commits)} experiments are in the tables", file=sys.stderr)
    seeds = {(row.seed, row.variant) for row in tables[""]}
    if more := len(seeds - {(e.seed, e.variant) for e in commits if commits[e]}):
        print(f"{more} more, run elsewhere or from another commit, are as kept", file=sys.stderr)


def _seeds(study, folder: Path) -> Path:
    from stages.reporting.study_rows import table_path

    return table_path(folder, study.name, "seeds")


def _listed(study, kept: dict[str, list], file: Path) -> dict[str, list]:
    """What is kept of the study's own experiments; tells how many rows are of others."""
    from stages.studies.kept import listed

    found = listed(study, kept)
    if more := sum(map(len, kept.values())) - sum(map(len, found.values())):
        print(
            f"{more} kept rows are of seeds, variants or contrasts that {file} does not have: left "
            "out",
            file=sys.stderr,
        )
    return found


def _check_before(study, chosen: list, kept: dict[str, list], args: argparse.Namespace) -> None:
    """InputError before anything runs, if the rows could not stand beside those in the tables."""
    from stages.studies import experiments
    from stages.studies.kept import of_other_code, refuse
    from stages.studies.states import code_of

    if kept[""] and not args.join and not args.replace:
        here = [e for e in study.experiments if experiments.revision(e)]
        coming = {(e.seed, e.variant) for e in [*chosen, *here]}
        others = of_other_code(kept, code_of(experiments.head()), coming)
        refuse(_seeds(study, args.output), others)


def _kept(study, kept: dict[str, list], output: Path) -> dict[str, str]:
    """What documents show of the rows that are kept; of a study whose table of seeds is not there,
    as in version 0.1.0, of its tables as they were written."""
    from stages.reporting.study_rows import TABLES
    from stages.studies.kept import kept_tables

    if not kept[""]:
        raise InputError(f"{output}/{study.name}.csv: not there; run the study")
    if kept["seeds"]:
        return write_tables(study, kept, output)
    print(f"{_seeds(study, output)}: not there, so the tables stay as they are", file=sys.stderr)
    return parts(study, kept_tables(study, output, TABLES), output)


def _fill(documents: list[Path], parts: dict[str, str]) -> None:
    """Put the parts between their marks, and tell which."""
    from stages.studies.markdown import fill, marked

    for document in documents:
        text = _text(document)
        write_text(document, fill(text, parts))
        filled = ", ".join(marked(text, parts)) or "nothing, as it has no mark of this study"
        print(f"{document}: filled {filled}", file=sys.stderr)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--study", type=Path, default=Path("conf/study/laptop.yaml"))
    parser.add_argument("--variants", nargs="+", help="only these")
    parser.add_argument("--seeds", nargs="+", type=int, help="only these")
    parser.add_argument("--collect", action="store_true", help="run nothing")
    parser.add_argument("--kept", action="store_true", help="run nothing, read no experiment")
    other = parser.add_mutually_exclusive_group()
    other.add_argument("--join", action="store_true", help="keep rows of other states")
    other.add_argument("--replace", action="store_true", help="leave out rows of other states")
    parser.add_argument("--power", action="store_true", help="print what the claims would need")
    parser.add_argument("--into", nargs="+", type=Path, default=[], help="documents with marks")
    parser.add_argument("--output", type=Path, default=Path("metrics/studies"))
    return parser.parse_args(argv)


def _chosen(study, args: argparse.Namespace) -> list:
    """The experiments that the command line asks for. InputError names one that is not there."""
    chosen = study.experiments
    for key in ("variants", "seeds"):
        asked, known = getattr(args, key), {getattr(e, key[:-1]) for e in study.experiments}
        unknown = [str(name) for name in asked or () if name not in known]
        if unknown:
            raise InputError(f"{args.study}: has no {', '.join(unknown)} (--{key})")
        chosen = [e for e in chosen if not asked or getattr(e, key[:-1]) in asked]
    return chosen


def _text(document: Path) -> str:
    try:
        return document.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{document}: cannot be read ({error})") from None


def collected(study, finished: list, path: Path) -> Fresh:
    """What each seed's experiments say; `path`: of the table of seeds."""
    from stages.studies import tables
    from stages.studies.seeds import seed_table

    seeds = seed_table(study, finished, path)
    found = {
        "": tables.evaluation_rows(finished),
        "labels": tables.label_rows(finished),
        "seeds": seeds.rows,
        "drift": tables.drift_rows(finished, study.drift),
    }
    return Fresh(found, seeds.samples)


def over_seeds(study, tables: dict[str, list], path: Path, samples: dict) -> dict[str, list]:
    """The tables whose rows are of several seeds, from those of each seed."""
    from stages.studies.contrasts import contrast_rows
    from stages.studies.grid import grid_rows
    from stages.studies.groups import group_rows
    from stages.studies.seeds import SeedTable
    from stages.studies.tables import accuracy_rows, price_rows, transfer_rows

    seeds, labels = SeedTable(path, tables["seeds"], samples), tables["labels"]
    return {
        "contrasts": contrast_rows(study.contrasts, seeds, study.claims),
        "price": price_rows(seeds, labels, study.price),
        "accuracy": accuracy_rows(seeds, labels, study.accuracy),
        "transfer": transfer_rows(seeds, tables[""], labels, study.transfer),
        "groups": group_rows([c for c in study.contrasts if c.name in study.groups], seeds),
        "grid": grid_rows(study, seeds),
    }


def write_tables(
    study, tables: dict[str, list], output: Path, samples: dict | None = None
) -> dict[str, str]:
    """Write all of the study's tables, without those that have no row, from the rows of each seed
    and the samples that are here; what documents show of all, by mark."""
    from stages.reporting.study_rows import as_table, table_path

    found = tables | over_seeds(study, tables, _seeds(study, output), samples or {})
    for name, rows in found.items():
        path = table_path(output, study.name, name)
        if rows:
            write_text(path, as_table(rows))
        else:
            path.unlink(missing_ok=True)  # of a former state of the study
    return parts(study, found, output)


def parts(study, found: dict[str, list], output: Path) -> dict[str, str]:
    """What documents show, by mark."""
    from stages.studies.kept import claim_rows, mixed_states, pilots
    from stages.studies.markdown import claims, fragments

    made = fragments(study.name, found, study.base_of_each_seed, mixed_states(found))
    return made | {"claims": claims(claim_rows(output), pilots(output))}


if __name__ == "__main__":
    run(main)
