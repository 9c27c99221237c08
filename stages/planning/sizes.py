"""Sizes that costs depend on: models, corpus, questions. Read from what is there, else assumed."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from stages.params import WORLD, BaseModel, Encoder, Params
from stages.records import read_json
from stages.sources.description import is_description, read_description

KNOWN = {"intfloat/e5-base-v2": 0.109e9, "liuwenhan/Agentic-R_e5": 0.109e9}
SMALL = 1.0e6  # parameters of a model made from scratch
ENCODER = 0.1e9  # of an encoder that no table knows


@dataclass(frozen=True)
class Sizes:
    """`dimension` of a vector, parameters of models, numbers of passages and questions; the rest
    are means a question, a query, a passage, in units or tokens.
    """

    agent: float
    judge: float
    encoder: float
    dimension: int
    passages: int
    training: int
    test: int
    searches: float = 2.5
    turn_tokens: float = 120.0
    passage_tokens: float = 150.0
    lazy_share: float = 0.15  # of the exhaustive GAC rollouts
    selected: float = 0.8  # of the queries
    measured: tuple[str, ...] = ()  # which of these come from this run's metrics


def sizes(params: Params, metrics: Path, corpus: Path) -> Sizes:
    """The sizes of a run; where its stages have written metrics, those replace assumptions."""
    training, test = _questions(params)
    small = params.base.agent.model is None
    assumed = Sizes(
        agent=language_model(params.base.agent),
        judge=language_model(params.base.judge),
        encoder=encoder_model(params.encoder),
        dimension=params.encoder.width if params.encoder.model is None else 768,
        passages=_passages(params, corpus),
        training=training,
        test=test,
        turn_tokens=min(20.0 if small else 120.0, params.rollout.max_turn_tokens),
        passage_tokens=15.0 if small else 150.0,
    )
    return _measured(assumed, metrics)


def language_model(block: BaseModel) -> float:
    """Parameters, as the model's name says (`Qwen2.5-7B`: 7e9)."""
    if block.model is None:
        return SMALL
    sizes = re.findall(r"(\d+(?:\.\d+)?)([bm])\b", block.model.lower())
    number, unit = sizes[-1] if sizes else ("7", "b")
    return float(number) * (1e9 if unit == "b" else 1e6)


def encoder_model(block: Encoder) -> float:
    """Parameters of R_0."""
    return 0.3e6 if block.model is None else KNOWN.get(block.model, ENCODER)


def _passages(params: Params, corpus: Path) -> int:
    starts = sorted(corpus.parent.glob("index/*/index.json"))
    if starts:
        return read_json(starts[0])["passages"]
    source = params.corpus.source
    if source == WORLD:
        world = params.corpus.world
        return round(world.names * (world.namesakes_min + world.namesakes_max) / 2 * 5)
    if is_description(source):
        blocks = read_description(source)
        return sum(entry.count or 0 for entry in blocks.get("passages", blocks.get("contexts")))
    return _lines(Path(source))


def _questions(params: Params) -> tuple[int, int]:
    """Training questions, and test questions of all sets."""
    block = params.questions
    if block.source == WORLD:
        return block.training, 3 * block.test
    if not is_description(block.source):
        folder = Path(block.source)
        return _lines(folder / "train.jsonl"), sum(_lines(f) for f in folder.glob("test/*.jsonl"))
    blocks = read_description(block.source)
    counts = {name: [e.count or 0 for e in blocks[name].values()] for name in ("train", "test")}
    training = min(sum(counts["train"]), block.training or sum(counts["train"]))
    return training, sum(min(count, block.test or count) for count in counts["test"])


def _lines(path: Path) -> int:
    if not path.exists():
        return 0
    with open(path, "rb") as file:
        return sum(1 for _ in file)


def _measured(assumed: Sizes, metrics: Path) -> Sizes:
    """`assumed`, with what turn 1 of the run measured."""
    found = {}
    for field, stage, key in (
        ("searches", "trajectories", "searches"),
        ("selected", "pairs", "positive_selection_rate"),
    ):
        path = metrics / stage / "1.json"
        if path.exists() and read_json(path).get(key) is not None:
            found[field] = read_json(path)[key]
    path = metrics / "correctness" / "1.json"
    if path.exists() and read_json(path).get("saved_share") is not None:
        found["lazy_share"] = 1 - read_json(path)["saved_share"]
    return replace(assumed, measured=tuple(sorted(found)), **found)
