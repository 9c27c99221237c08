"""Sizes that costs depend on: models, corpus, questions. As the parameters say, else assumed."""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass
from pathlib import Path

from stages.params import WORLD, Baseline, BaseModel, Encoder, Params
from stages.scripted.facts import PERSONAL
from stages.sources.arrays import is_array
from stages.sources.description import corpus_files, is_description, pair_file, question_files
from stages.sources.questions import development_files, test_files, training_file
from stages.world.questions import sets_of

BERT, QWEN3 = (0.109e9, 768), (0.596e9, 1024)  # parameters, dimension of a vector
KNOWN = {
    "intfloat/e5-base-v2": BERT,
    "liuwenhan/Agentic-R_e5": BERT,
    "BAAI/bge-base-en-v1.5": BERT,
    "Qwen/Qwen3-Embedding-0.6B": QWEN3,
    "Yuqi-Zhou/LRAT-Qwen3-Embedding-0.6B": QWEN3,
    "ielabgroup/ITER-Qwen3-Embedding-0.6B": QWEN3,
    "Tevatron/AgentIR-4B": (4.02e9, 2560),
}
SMALL = 1.0e6  # parameters of a model made from scratch
ENCODER = (0.1e9, 768)  # of an encoder that no table knows


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
    visits: float = 0.0  # calls of a visit tool a search
    turn_tokens: float = 120.0
    passage_tokens: float = 150.0
    lazy_share: float = 0.15  # of the exhaustive GAC rollouts of the queries that are rolled out
    visited: float = 0.5  # of the queries: a visit in a right trajectory, where visits come first
    selected: float = 0.8  # of the queries
    development: int = 0  # questions of all development sets
    sets: tuple[int, ...] = ()  # test questions of each set
    measured: tuple[str, ...] = ()  # which of these come from this run's metrics

    def drawn(self, count: int | None) -> int:
        """Test questions, if `count` of each set are asked at most; None: all."""
        return sum(each if count is None else min(count, each) for each in self.sets)


def sizes(params: Params) -> Sizes:
    """The sizes of a run that has measured nothing yet."""
    training, sets = _questions(params)
    small = params.base.agent.model is None
    return Sizes(
        agent=language_model(params.base.agent),
        judge=language_model(params.base.judge),
        encoder=encoder_model(params.encoder)[0],
        dimension=encoder_model(params.encoder)[1],
        passages=_passages(params),
        training=training,
        test=sum(sets),
        sets=sets,
        development=_development(params),
        visits=0.0 if params.protocol.visit_tool is None else 1.0,
        turn_tokens=min(20.0 if small else 120.0, params.rollout.max_turn_tokens),
        passage_tokens=15.0 if small else 150.0,
    )


def language_model(block: BaseModel) -> float:
    """Parameters, as the model's name says (`Qwen2.5-7B`: 7e9)."""
    if block.model is None:
        return SMALL
    sizes = re.findall(r"(\d+(?:\.\d+)?)([bm])\b", block.model.lower())
    number, unit = sizes[-1] if sizes else ("7", "b")
    return float(number) * (1e9 if unit == "b" else 1e6)


def encoder_model(block: Encoder | Baseline) -> tuple[float, int]:
    """Parameters of R_0 or of a baseline, and the dimension of its vectors."""
    if block.model is None:
        return 0.3e6, block.width
    return KNOWN.get(block.model, ENCODER)


def published_pairs(source: str) -> int | None:
    """Training pairs of a description's file, where it or a local file of lines says how many."""
    entry = pair_file(source)
    if entry.count is not None or entry.path is None:
        return entry.count
    path = Path(entry.path)
    return _lines(path) if path.exists() and not is_array(path) else None


def _passages(params: Params) -> int:
    source = params.corpus.source
    if source == WORLD:
        world = params.corpus.world
        facts = 1 + len(PERSONAL) + world.teachers  # of a person: a work, and what is personal
        people = world.names * (world.namesakes_min + world.namesakes_max) / 2
        return round(people * facts) + world.cities
    if is_description(source):
        return sum(entry.count or 0 for files in corpus_files(source).values() for entry in files)
    return _lines(Path(source))


def _questions(params: Params) -> tuple[int, tuple[int, ...]]:
    """Training questions, and test questions of each set."""
    block = params.questions
    if block.source == WORLD:
        sets = block.sets or sets_of(params.corpus.world.teachers)
        return block.training, (block.test,) * len(sets)
    if is_description(block.source):
        blocks = question_files(block.source)
        training = sum(entry.count or 0 for entry in blocks["train"].values()) - block.development
        sets = {name: entry.count or 0 for name, entry in blocks["test"].items()}
    else:
        folder = Path(block.source)
        training = _lines(training_file(folder))
        sets = {name: _lines(file) for name, file in test_files(folder).items()}
    asked = [count for name, count in sets.items() if name in (block.sets or sets)]
    test = tuple(min(count, block.test or count) for count in asked)
    return min(training, block.training or training), test


def _development(params: Params) -> int:
    """Questions of all development sets."""
    block = params.questions
    if block.source == WORLD:
        return block.development * len(block.sets or sets_of(params.corpus.world.teachers))
    if is_description(block.source):
        return block.development
    files = development_files(Path(block.source)).values()
    return sum(min(_lines(file), block.development) for file in files)


def _lines(path: Path) -> int:
    if not path.exists():
        return 0
    with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
        return sum(1 for _ in file)
