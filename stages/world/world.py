"""A world: people who share names, their works, and cities in countries.

Names are shared by several people, each of another craft and each the maker of one work, so only
the question tells which Soman is meant. A share of the names, with the cities, countries,
universities and prizes of their bearers, is kept for test questions; the passages of both parts
are one corpus.

With `corpus.world.teachers` each person has a teacher of the same craft, so that questions may be
of more hops. Who taught whom stays within the test part, within the names of the development sets
and within those of training: no chain of facts leads from one to another.
"""

import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from stages import params
from stages.common.records import Passage, read_json, write_json
from stages.common.seeds import seed_of
from stages.plumbing.errors import InputError
from stages.scripted.facts import COUNTRY, CRAFT_OF_KIND, CRAFTS, MAKER, PERSONAL, TEACHER, Fact
from stages.world.vocabulary import words

TRAIN, TEST = "train", "test"
DEVELOPMENT_NAMES = 0.2  # of the training part's names


@dataclass(frozen=True)
class SyntheticWorld:
    """Facts in the order of their passages, and the part of the questions each belongs to."""

    facts: tuple[Fact, ...]
    parts: tuple[str, ...]

    @classmethod
    def make(cls, seed: int, sizes: params.World) -> "SyntheticWorld":
        """The world of a seed. InputError where its sizes contradict each other."""
        draw = random.Random(seed_of(seed, "world"))
        told: list[tuple[str, Fact]] = []
        titles = _titles(sizes, draw)
        for part, split in _parts(sizes).items():
            for city in split["city"]:
                country = draw.choice(split["country"])
                told.append((part, Fact("city", city, COUNTRY, country)))
            for name in split["name"]:
                told += [(part, fact) for fact in _namesakes(name, split, titles, sizes, draw)]
        if sizes.teachers:
            told += _teachers(told, seed)
        draw.shuffle(told)
        return cls(tuple(fact for _, fact in told), tuple(part for part, _ in told))

    @property
    def passages(self) -> list[Passage]:
        """One passage a fact; the id is its place in the corpus."""
        return [
            Passage(str(number), f'"{fact.subject}"', fact.text)
            for number, fact in enumerate(self.facts)
        ]

    def save(self, path: str | Path) -> None:
        """Write the facts with the ids of their passages."""
        rows = [
            {"id": str(number), "part": part, **asdict(fact)}
            for number, (part, fact) in enumerate(zip(self.parts, self.facts, strict=True))
        ]
        write_json(path, {"facts": rows})

    @classmethod
    def load(cls, path: str | Path) -> "SyntheticWorld":
        """Read what `save` wrote."""
        try:
            rows = read_json(path)["facts"]
            facts = [
                Fact(row["kind"], row["subject"], row["relation"], row["value"]) for row in rows
            ]
            return cls(tuple(facts), tuple(row["part"] for row in rows))
        except (KeyError, TypeError, json.JSONDecodeError):
            raise InputError(f"{path}: not a world's facts; run the stage corpus again") from None


def development_names(names: Iterable[str], seed: int) -> set[str]:
    """Those of the training part's `names` that development sets ask about."""
    known = sorted(names)
    draw = random.Random(seed_of(seed, "questions", "development"))
    return {*draw.sample(known, max(1, round(DEVELOPMENT_NAMES * len(known))))}


def _parts(sizes: params.World) -> dict[str, dict[str, list[str]]]:
    """The words of each class that belong to training and to test questions."""
    counts = {
        "name": sizes.names,
        "city": sizes.cities,
        "country": sizes.countries,
        "university": sizes.universities,
        "prize": sizes.prizes,
    }
    test = {kind: round(count * sizes.test_share) for kind, count in counts.items()}
    for kind in ("city", "university", "prize"):
        least = min(test[kind], counts[kind] - test[kind])
        if least < sizes.namesakes_max:
            raise InputError(
                f"params.yaml: 'corpus.world': {counts[kind]} words of the class {kind} leave "
                f"{least} in one part, fewer than namesakes_max ({sizes.namesakes_max})"
            )
    if not 2 <= sizes.namesakes_min <= sizes.namesakes_max <= len(CRAFTS):
        raise InputError(
            "params.yaml: 'corpus.world': needs "
            f"2 <= namesakes_min <= namesakes_max <= {len(CRAFTS)}"
        )
    if any(min(test[kind], counts[kind] - test[kind]) < 1 for kind in ("name", "country")):
        raise InputError(
            "params.yaml: 'corpus.world': test_share leaves a part without names or countries"
        )
    known = {kind: words(kind, count) for kind, count in counts.items()}
    return {
        TRAIN: {kind: known[kind][test[kind] :] for kind in counts},
        TEST: {kind: known[kind][: test[kind]] for kind in counts},
    }


def _titles(sizes: params.World, draw: random.Random) -> list[str]:
    """Titles in a random order; their words are shared, the titles are not."""
    count = sizes.title_words
    if count**2 < sizes.names * sizes.namesakes_max:
        raise InputError(
            f"params.yaml: 'corpus.world.title_words': {count} words give {count**2} titles, "
            f"{sizes.names * sizes.namesakes_max} works need one each"
        )
    firsts, seconds = words("first_title", count), words("second_title", count)
    titles = [f"{first} {second}" for first in firsts for second in seconds]
    draw.shuffle(titles)
    return titles


def _namesakes(
    name: str,
    split: dict[str, list[str]],
    titles: list[str],
    sizes: params.World,
    draw: random.Random,
) -> list[Fact]:
    """All facts of the people called `name`, whose values differ in every relation."""
    count = draw.randint(sizes.namesakes_min, sizes.namesakes_max)
    crafts = draw.sample(CRAFTS, count)
    facts = [Fact(craft.kind, titles.pop(), MAKER, name) for craft in crafts]
    for relation in PERSONAL.values():
        values = draw.sample(split[relation.value], count)
        facts += [
            Fact(craft.profession, name, relation.name, value)
            for craft, value in zip(crafts, values, strict=True)
        ]
    return facts


def _teachers(told: list[tuple[str, Fact]], seed: int) -> list[tuple[str, Fact]]:
    """A teacher for each person of these facts, with the part."""
    crafts: dict[str, dict[str, list[str]]] = {TRAIN: {}, TEST: {}}  # by part and name
    for part, fact in told:
        if fact.relation == MAKER:
            profession = CRAFT_OF_KIND[fact.kind].profession
            crafts[part].setdefault(fact.value, []).append(profession)
    apart = development_names(crafts[TRAIN], seed)
    draw = random.Random(seed_of(seed, "world", "teachers"))
    found = []
    for part, group in (
        (TRAIN, {name: of for name, of in crafts[TRAIN].items() if name not in apart}),
        (TRAIN, {name: of for name, of in crafts[TRAIN].items() if name in apart}),
        (TEST, crafts[TEST]),
    ):
        found += [(part, fact) for fact in _taught(group, draw)]
    return found


def _taught(crafts: dict[str, list[str]], draw: random.Random) -> Iterator[Fact]:
    """Who taught each person, of the same craft; teachers of namesakes have different names.

    `crafts`: by name, the professions of its bearers. A chain of teachers may lead back to where it
    began; no question follows such a chain (stages/world/questions.py).
    """
    for name, professions in crafts.items():
        left = sorted(professions)
        for other in draw.sample([*crafts], len(crafts)):
            able = [one for one in left if other != name and one in crafts[other]]
            if able:
                profession = draw.choice(able)
                left.remove(profession)
                yield Fact(profession, name, TEACHER, other)
        if left:
            raise InputError(
                f"params.yaml: 'corpus.world.teachers': no teacher is left for a {left[0]} among "
                f"{len(crafts)} names: raise corpus.world.names"
            )
