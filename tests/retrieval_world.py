"""A small corpus of namesakes, and a retriever of random weights that reads it."""

import random
from pathlib import Path

from stages.common.records import Passage, write_passages
from stages.contrastive.fresh import fresh_encoder, vocabulary
from stages.encoders import folder
from stages.encoders.query_format import QueryFormat

PROFESSIONS = ("filmmaker", "novelist", "vocalist", "architect")


def corpus(names: int = 12, seed: int = 0) -> list[Passage]:
    """Two facts about each of four namesakes of each name; passages repeat no text."""
    draw = random.Random(seed)
    passages = []
    for number in range(names):
        name = f"N{number}man"
        for profession in PROFESSIONS:
            for clause in ("was born in", "studied at"):
                text = f"The {profession} {name} {clause} V{draw.randrange(40)}ton."
                passages.append(Passage(f"p{len(passages)}", name, text))
    return passages


def write_corpus(path: Path, passages: list[Passage]) -> Path:
    write_passages(path, passages)
    return path


def tiny_retriever(
    path: Path, query_format: QueryFormat | None = None, seed: int = 0, **sizes
) -> Path:
    """A retriever folder of random weights."""
    tokens = vocabulary(["where was who study did film director of the", *_texts()])
    sizes = {"layers": 1, "width": 32, "heads": 2, "max_length": 48} | sizes
    folder.save_retriever(
        fresh_encoder(tokens, seed=seed, **sizes), path, query_format or QueryFormat()
    )
    return path


def _texts() -> list[str]:
    return [passage.contents for passage in corpus(40)]
