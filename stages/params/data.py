"""Blocks of the data: the corpus, the questions, and the world that both can be made from."""

from __future__ import annotations

from dataclasses import dataclass, field

from omegaconf import MISSING

WORLD = "stages/world"  # as a source: the code that it is made by, which DVC hashes

HOPS = 3  # most of a question about a world without teachers
MOST_HOPS = 6  # of one with them


@dataclass
class World:
    """Sizes of the synthetic world: how many words of each class, and bearers of a name. With
    `teachers` it tells who taught whom, which questions of more than three hops ask."""

    names: int = 110
    namesakes_min: int = 5
    namesakes_max: int = 8
    title_words: int = 30
    cities: int = 40
    countries: int = 16
    universities: int = 32
    prizes: int = 32
    test_share: float = 0.4
    teachers: bool = False


@dataclass
class Corpus:
    """`source`: the synthetic world's code, a JSON Lines file, or a description of public files."""

    source: str = WORLD
    world: World = field(default_factory=World)


@dataclass
class Questions:
    """`source`: the synthetic world's code, a folder train.jsonl, test/NAME.jsonl and perhaps
    development/NAME.jsonl, or a description of public sets. Of a file, at most so many questions
    are drawn; null: all. `sets`: the names of test sets; null: all that the source has. `hops`: the
    most of a question about the world.
    `development`: questions to decide by, so many a set of the world, of names that neither
    training nor test asks about; of each file of a folder's at most so many; of described public
    sets so many in all, held out of training. 0, or a folder without such: none, and decisions look
    at the test sets.
    """

    source: str = WORLD
    training: int | None = 1000
    test: int | None = 200  # a set
    sets: list[str] | None = None
    hops: int = HOPS
    development: int = 0


@dataclass
class Published:
    """Training pairs that others have published: a description (conf/data/) of their file."""

    source: str = MISSING
