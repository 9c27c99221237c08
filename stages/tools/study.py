"""A study: every variant with every seed as a DVC experiment, and tidy tables of them all.

    python -m stages.tools.study                      # all of conf/study/laptop.yaml
    python -m stages.tools.study --variants no_gac    # only some; the tables hold what has been run
    python -m stages.tools.study --collect --into README.md   # run nothing, write the tables
    python -m stages.tools.study --kept     # run nothing, intervals anew from metrics/studies
    python -m stages.tools.study --power    # print what the claims would need

Experiments are those of the commit that is checked out; one that was interrupted is started again
and finds its finished stages in the cache. Writes STUDY.csv (pairs), STUDY_labels.csv (what labels
cost), STUDY_contrasts.csv (differences with intervals) and what else the study asks for (price,
accuracy of the judge, transfer, groups of questions, drift of the queries); documents get what they
have marks for.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from stages.common.records import write_text
from stages.plumbing.errors import InputError, run


def main(argv: list[str] | None = None) -> None:
    """Run what is missing, then write the tables from all that was run."""
    args = _arguments(argv)

    from stages.studies import experiments
    from stages.studies.plan import read_study

    study = read_study(args.study)
    if args.power:
        from stages.studies.power import power_table

        print(power_table(study, args.output))
        return
    if args.kept:
        from stages.studies.kept import MADE, kept_tables

        for document in args.into:
            _text(document)
        found = kept_tables(study, args.output)
        _fill(args.into, write_tables(study, found, args.output, MADE))
        return
    chosen = _chosen(study, args)
    for document in args.into:
        _text(document)  # one that cannot be read is told before hours of experiments
    if not args.collect:
        for number, experiment in enumerate(chosen, 1):
            print(f"{number} of {len(chosen)}: {experiment.name}", file=sys.stderr)
            experiments.run_experiment(experiment)
    commits = {e: experiments.revision(e) for e in study.experiments}
    finished = [experiments.Finished(e, commit) for e, commit in commits.items() if commit]
    if not finished:
        raise InputError(f"{args.study}: none of its experiments was run from this commit")
    found = collected(study, finished)
    _fill(args.into, write_tables(study, found, args.output, found))
    print(f"{len(finished)} of {len(commits)} experiments are in the tables", file=sys.stderr)


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


def collected(study, finished: list) -> dict[str, list]:
    """The study's tables from its experiments."""
    from stages.studies import tables
    from stages.studies.contrasts import contrast_rows
    from stages.studies.groups import group_rows

    labels = tables.label_rows(finished)
    return {
        "": tables.evaluation_rows(finished),
        "labels": labels,
        "contrasts": contrast_rows(study.contrasts, finished, study.claims),
        "price": tables.price_rows(finished, study.price),
        "accuracy": tables.accuracy_rows(finished, labels, study.accuracy),
        "transfer": tables.transfer_rows(finished, study.transfer),
        "groups": group_rows([c for c in study.contrasts if c.name in study.groups], finished),
        "drift": tables.drift_rows(finished, study.drift),
    }


def write_tables(
    study, found: dict[str, list], output: Path, made: Iterable[str]
) -> dict[str, str]:
    """Write the study's tables `made`, without those that have no row; what documents show of all,
    by mark."""
    from stages.reporting.study_rows import as_table, table_path
    from stages.studies.kept import claim_rows
    from stages.studies.markdown import claims, fragments

    for name in made:
        path = table_path(output, study.name, name)
        if rows := found[name]:
            write_text(path, as_table(rows))
        else:
            path.unlink(missing_ok=True)  # of a former state of the study
    parts = fragments(study.name, found, study.base_of_each_seed)
    return parts | {"claims": claims(claim_rows(output))}


if __name__ == "__main__":
    run(main)
