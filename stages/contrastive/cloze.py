"""Inverse cloze: training pairs for a first retriever from the passages alone.

A passage with most words taken out, put in another order and mixed with words that questions are
full of makes a query; the passage itself, slightly thinned, is what it should find. The retriever
learns to match names and relations, and nothing about any question.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stages.retrieval.corpus import PassageFile


_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Noise:
    """How a passage becomes a query.

    `fillers` are words put in anywhere; a `families` entry is a list of words with one meaning
    (study, studied), any of which may stand for another in a query.
    """

    query_keep: float = 0.5
    passage_keep: float = 0.9
    shuffled: float = 0.5
    fillers: Sequence[str] = ()
    most_fillers: int = 3
    families: Sequence[Sequence[str]] = field(default_factory=tuple)


def cloze_pairs(
    contents: Sequence[str], count: int, batch_size: int, noise: Noise, seed: int
) -> Iterator[tuple[str, str]]:
    """`count` pairs (query, passage); no passage occurs twice in a batch of `batch_size`."""
    draw = random.Random(seed)
    relatives = {word: family for family in noise.families for word in family}
    words = [_WORD.findall(text.lower()) for text in contents]
    for _ in range(0, count, batch_size):
        for position in draw.sample(range(len(words)), batch_size):
            yield (
                " ".join(_query(words[position], noise, relatives, draw)),
                " ".join(_thinned(words[position], noise.passage_keep, draw)),
            )


def passage_queries(passages: PassageFile, count: int, seed: int) -> list[str]:
    """`count` queries (fewer, if there are fewer passages), each half of the words of a passage."""
    positions = random.Random(seed).sample(range(len(passages)), min(count, len(passages)))
    contents = [passages[position].contents for position in sorted(positions)]
    pairs = cloze_pairs(contents, len(contents), len(contents), Noise(), seed)
    return [query for query, _ in pairs]


def _query(words: list[str], noise: Noise, relatives: dict, draw: random.Random) -> list[str]:
    query = _thinned(words, noise.query_keep, draw)
    query = [draw.choice(relatives[word]) if word in relatives else word for word in query]
    if draw.random() < noise.shuffled:
        draw.shuffle(query)
    if noise.fillers:
        for _ in range(draw.randint(0, noise.most_fillers)):
            query.insert(draw.randint(0, len(query)), draw.choice(noise.fillers))
    return query


def _thinned(words: list[str], keep: float, draw: random.Random) -> list[str]:
    return [word for word in words if draw.random() < keep] or words[:2]
