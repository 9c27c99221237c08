"""Does a retriever help in a world that it was not trained in?

    python -m stages.elsewhere --seeds 100 101 --output metrics/studies/elsewhere.csv

Takes the last agent and the first and last retrievers of the run in this checkout into synthetic
worlds of other seeds: all facts are new there, most names are not. Nothing is trained; passages are
indexed and the test sets asked anew. One row for each world, retriever and question set; the last
line printed is the gain, its interval over worlds and questions.
"""

from __future__ import annotations

import argparse
import tempfile
from contextlib import chdir
from pathlib import Path

import yaml

from stages import corpus, evaluate, index, questions
from stages.errors import InputError, run
from stages.params import WORLD, load_params
from stages.records import read_json, read_jsonl, read_yaml, write_text

KEYS = ("questions", "em", "em_low", "em_high", "f1", "searches", "unanswered", "found")


def main(argv: list[str] | None = None) -> None:
    """Evaluate the run's agent and retrievers in other worlds."""
    args = _arguments(argv)
    params = load_params()
    if params.corpus.source != WORLD or not params.iterations:
        raise InputError("params.yaml: only a trained run of a synthetic world can go elsewhere")
    if params.seed in args.seeds:
        raise InputError(f"--seeds: {params.seed} is the seed of the run's own world")

    from stages.reporting.tables import as_csv

    last, rows, gains = list(params.iterations)[-1], [], []
    for seed in args.seeds:
        right = {}
        for retriever in ("0", last):
            figures, predictions = _asked(seed, last, retriever)
            right[retriever] = [row["em"] for row in predictions]
            for name, values in figures["sets"].items():
                row = {"seed": params.seed, "world": seed, "agent": last, "retriever": retriever}
                rows.append(row | {"question_set": name} | {key: values[key] for key in KEYS})
        gains.append([new - old for new, old in zip(right[last], right["0"], strict=True)])
    write_text(args.output, as_csv(rows))
    print(_gain(last, gains))


def _gain(last: str, gains: list[list[float]]) -> str:
    """What the last retriever has more than R_0; `gains`: a world's differences of EM."""
    from stages.studies.contrasts import interval

    found = interval(gains)
    mean, low, high = (f"{100 * value:+.1f}" for value in (found.mean, found.low, found.high))
    return f"R_{last} less R_0: {mean} EM points ({low} to {high}) in {found.seeds} worlds"


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", nargs="+", type=int, required=True, help="of the other worlds")
    parser.add_argument("--output", type=Path, required=True, help="CSV")
    return parser.parse_args(argv)


def _asked(seed: int, agent: str, retriever: str) -> tuple[dict, list[dict]]:
    """The figures and the predictions of the pair in the world of `seed`."""
    here = Path.cwd()
    agent_folder, folder = here / f"models/agent/{agent}", here / f"models/retriever/{retriever}"
    for place in (agent_folder, folder):
        if not place.is_dir():
            raise InputError(f"{place.relative_to(here)}: not there; has the run ended?")
    params = read_yaml("params.yaml") | {"seed": seed}
    with tempfile.TemporaryDirectory() as world, chdir(world):
        write_text("params.yaml", yaml.safe_dump(params))
        corpus.main(["--output", "corpus"])
        questions.main(["--corpus", "corpus", "--output", "questions"])
        passages = ["--passages", "corpus/passages.jsonl"]
        built = ["--output", retriever, "--metrics", "index.json"]
        index.main([*passages, "--retriever", str(folder), *built])
        asked = ["--questions", "questions/test", "--output", "rows.jsonl", "--metrics", "m.json"]
        pair = ["--agent", str(agent_folder), "--retriever", str(folder), "--index", retriever]
        evaluate.main(["--name", "elsewhere", *pair, *passages, *asked])
        return read_json("m.json"), read_jsonl("rows.jsonl")


if __name__ == "__main__":
    run(main)
