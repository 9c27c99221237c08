"""Evaluate the retrievers in synthetic worlds that they were not trained in.

    python -m stages.tools.elsewhere --seeds 100 101 --output metrics/studies/elsewhere.csv

Takes the last agent and the first and last retrievers of the run in this checkout into synthetic
worlds of other seeds: all facts are new there, most names are not. Nothing is trained; passages are
indexed and the test sets asked anew. One row for each world, retriever and question set; the last
line printed is the gain, its interval over worlds and questions.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from contextlib import chdir
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from stages import corpus, evaluate, index, questions
from stages.common.evaluations import Evaluation
from stages.common.models import REFERENCE
from stages.common.records import as_csv, read_json, read_yaml, write_json, write_text
from stages.common.trajectories import Trajectory, read_predictions
from stages.metrics.reading import read_evaluation
from stages.params import WORLD, load_params
from stages.plumbing.errors import InputError, run
from stages.running.dependencies import ROOT
from stages.running.scratch import Scratch, inputs_digest

KEYS = ("questions", "em", "em_low", "em_high", "f1", "searches", "unanswered", "found")


@dataclass(frozen=True)
class OtherWorld:
    """The table's `rows` of one world, and question by question (`gains`) the EM that the last
    retriever has more than the first, with the first passage that the question needs."""

    rows: list[dict]
    gains: list[tuple[int, list[str]]]


def main(argv: list[str] | None = None) -> None:
    """Evaluate the run's agent and retrievers in other worlds; what is done survives a kill."""
    args = _arguments(argv)
    params = load_params()
    if params.corpus.source != WORLD or not params.iterations:
        raise InputError("params.yaml: only a trained run of a synthetic world can go elsewhere")
    if params.seed in args.seeds:
        raise InputError(f"--seeds: {params.seed} is the seed of the run's own world")
    if len({*args.seeds}) < len(args.seeds):
        raise InputError("--seeds: a world is named twice")

    last = list(params.iterations)[-1]
    folders = [Path(f"models/agent/{last}"), *(Path(f"models/retriever/{r}") for r in ("0", last))]
    for place in folders:
        if not place.is_dir():
            raise InputError(f"{place}: not there; has the run ended?")
    settings = {key: value for key, value in read_yaml("params.yaml").items() if key != "compute"}
    with Scratch("elsewhere", inputs_digest(settings, *folders, ROOT / "stages")) as scratch:
        for seed in args.seeds:
            if not scratch.has(f"{seed}"):
                scratch.save(f"{seed}", [asdict(_world(seed, params.seed, *folders))])
        worlds = [OtherWorld(**row) for seed in args.seeds for row in scratch.rows(f"{seed}")]
        write_text(args.output, as_csv([row for world in worlds for row in world.rows]))
    print(_gain(last, worlds))


def _world(seed: int, trained: int, agent: Path, first: Path, last: Path) -> OtherWorld:
    rows, answered = [], []
    for retriever in (first, last):
        evaluation, predictions = _asked(seed, agent, retriever)
        answered.append(predictions)
        about = {"seed": trained, "world": seed, "agent": agent.name, "retriever": retriever.name}
        for name, result in evaluation.sets.items():
            values = {key: getattr(result, key) for key in KEYS}
            rows.append(about | {"question_set": name} | values)
    gains = [
        (new.em - old.em, (old.supporting_ids or [[old.id]])[0])
        for old, new in zip(*answered, strict=True)
    ]
    return OtherWorld(rows, gains)


def _gain(last: str, worlds: list[OtherWorld]) -> str:
    """What the last retriever has more than R_0. The interval is over worlds, with the models as
    they are; of one world it is over its questions."""
    from stages.studies.samples import Sample, interval

    found = interval(
        [
            Sample(
                [gain for gain, _ in world.gains],
                [(number, *chain) for _, chain in world.gains],
                [(number, question) for question in range(len(world.gains))],
            )
            for number, world in enumerate(worlds)
        ]
    )
    mean, low, high = (f"{100 * value:+.1f}" for value in (found.mean, found.low, found.high))
    return f"R_{last} less R_0: {mean} EM points ({low} to {high}) in {found.seeds} worlds"


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", nargs="+", type=int, required=True, help="of the other worlds")
    parser.add_argument("--output", type=Path, required=True, help="CSV")
    return parser.parse_args(argv)


def _asked(seed: int, agent: Path, retriever: Path) -> tuple[Evaluation, list[Trajectory]]:
    """The figures and the predictions of the pair in the world of `seed`."""
    params = read_yaml("params.yaml") | {"seed": seed}
    with tempfile.TemporaryDirectory() as world:
        agent, retriever = (_from_anywhere(folder, Path(world)) for folder in (agent, retriever))
        with chdir(world):
            write_text("params.yaml", yaml.safe_dump(params))
            corpus.main(["--output", "corpus"])
            questions.main(["--corpus", "corpus", "--output", "questions"])
            passages = ["--passages", "corpus/passages.jsonl"]
            reads = ["--retriever", str(retriever)]
            index.main([*passages, *reads, "--output", "index", "--metrics", "index.json"])
            pair = ["--agent", str(agent), *reads, "--index", "index", *passages]
            asked = ["--questions", "questions/test"]
            written = ["--output", "rows.jsonl", "--metrics", "figures.json"]
            evaluate.main(["--name", "elsewhere", *pair, *asked, *written])
            return read_evaluation("figures.json"), read_predictions("rows.jsonl")


def _from_anywhere(folder: Path, world: Path) -> Path:
    """The whole path of a model folder; of a copy in `world` if it refers to a local model, whose
    path may be one from this checkout."""
    reference = read_json(folder / REFERENCE) if (folder / REFERENCE).exists() else None
    if reference is None or not Path(reference["model"]).is_dir():
        return folder.absolute()
    copy = world / folder
    shutil.copytree(folder, copy)
    write_json(copy / REFERENCE, reference | {"model": str(Path(reference["model"]).resolve())})
    return copy


if __name__ == "__main__":
    run(main)
