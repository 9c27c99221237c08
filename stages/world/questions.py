"""Questions of one, two and three hops about a world, with the passages that answer them.

Training questions ask about the training part in three relations. All test sets ask about the test
part, whose names no training question uses: `indomain` asks the same otherwise, `singlehop` for
makers alone, `threehop` for countries alone, and `relations` in two relations that no training
question uses. `wording` and `rephrased` are the questions of `indomain` in words that no training
question uses: a few more at the end, or another order.

Development sets are put as the test sets are, about names of the training part that are kept out of
training then (DEVELOPMENT_NAMES of them), so that they share no name and no fact chain with either.
"""

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from stages.common.records import Question
from stages.common.seeds import seed_of
from stages.plumbing.errors import InputError
from stages.scripted.facts import (
    COUNTRY,
    CRAFT_OF_KIND,
    HELD_OUT_RELATIONS,
    MAKER,
    PERSONAL,
    TRAINING_RELATIONS,
    Fact,
    question_text,
)
from stages.world.world import TEST, TRAIN, SyntheticWorld

DEVELOPMENT_NAMES = 0.2  # of the training part's names
HOPS = {1: 0.2, 2: 0.5, 3: 0.3}
INDOMAIN = "indomain"


@dataclass(frozen=True)
class TestSet:
    """The relations that a set asks in, its mixture of hops, and how it puts a question.

    Sets of one `draw` ask the same questions.
    """

    relations: tuple[str, ...]
    hops: dict[int, float]
    draw: str
    put: Callable[[str], str] = str


def _with_an_end(question: str) -> str:
    return f"{question.removesuffix('?')} in the end?"


def _work_first(question: str) -> str:
    """`the director of the film Barax Tikoq` as `the film Barax Tikoq director`."""
    return re.sub(r"the (\w+) of the (\w+ \w+ \w+)", r"the \2 \1", question)


TEST_SETS = {
    INDOMAIN: TestSet(TRAINING_RELATIONS, HOPS, INDOMAIN),
    "relations": TestSet(HELD_OUT_RELATIONS, {2: 0.625, 3: 0.375}, "relations"),
    "singlehop": TestSet((), {1: 1.0}, "singlehop"),
    "threehop": TestSet(TRAINING_RELATIONS, {3: 1.0}, "threehop"),
    "wording": TestSet(TRAINING_RELATIONS, HOPS, INDOMAIN, _with_an_end),
    "rephrased": TestSet(TRAINING_RELATIONS, HOPS, INDOMAIN, _work_first),
}


def questions_for_training(
    world: SyntheticWorld, count: int, seed: int, development: bool = False
) -> list[Question]:
    """The first n of them are a mixture too, so a stage may take fewer. `development`: whether the
    names of the development sets are kept out."""
    asked = TestSet(TRAINING_RELATIONS, HOPS, "train")
    kept_out = development_names(world, seed) if development else set()
    return _drawn(world, TRAIN, "train", asked, count, seed, lambda name: name not in kept_out)


def questions_for_development(
    world: SyntheticWorld, count: int, seed: int, sets: list[str] | None = None
) -> dict[str, list[Question]]:
    """Sets as those for tests, by the same names; none where `count` is 0."""
    if not count:
        return {}
    names = development_names(world, seed)
    return {
        name: _drawn(
            world, TRAIN, f"development-{name}", _developed(name), count, seed, names.__contains__
        )
        for name in sets or TEST_SETS
    }


def _developed(name: str) -> TestSet:
    return replace(TEST_SETS[name], draw=f"development-{TEST_SETS[name].draw}")


def development_names(world: SyntheticWorld, seed: int) -> set[str]:
    """The names of the training part that development sets ask about."""
    both = zip(world.facts, world.parts, strict=True)
    names = sorted({fact.value for fact, part in both if fact.relation == MAKER and part == TRAIN})
    draw = random.Random(seed_of(seed, "questions", "development"))
    return {*draw.sample(names, max(1, round(DEVELOPMENT_NAMES * len(names))))}


def questions_for_tests(
    world: SyntheticWorld, count: int, seed: int, sets: list[str] | None = None
) -> dict[str, list[Question]]:
    """The test sets `sets` (None: all) by name, `count` questions each."""
    for name in sets or ():
        if name not in TEST_SETS:
            raise InputError(
                f"params.yaml: 'questions.sets': no set '{name}', only {', '.join(TEST_SETS)}"
            )
    return {
        name: _drawn(world, TEST, name, TEST_SETS[name], count, seed) for name in sets or TEST_SETS
    }


def _drawn(
    world: SyntheticWorld,
    part: str,
    name: str,
    asked: TestSet,
    count: int,
    seed: int,
    about: Callable[[str], bool] = lambda _: True,
) -> list[Question]:
    draw = random.Random(seed_of(seed, "questions", asked.draw))
    possible: dict[int, list[tuple[str, list[Fact]]]] = {}
    for text, facts in _possible(world, part, asked.relations):
        if not about(facts[0].value):
            continue
        possible.setdefault(len(facts), []).append((text, facts))
    chosen = []
    for number, wanted in _shares(asked.hops, count).items():
        have = possible.get(number, [])
        if wanted > len(have):
            raise InputError(
                f"params.yaml: 'questions': {name} needs {wanted} questions of {number} hops, "
                f"the world has {len(have)}: ask fewer or raise corpus.world.names"
            )
        chosen += draw.sample(have, wanted)
    draw.shuffle(chosen)
    ids = {fact: str(number) for number, fact in enumerate(world.facts)}
    bearers = _bearers(world)
    return [
        Question(
            f"{name}-{number}",
            asked.put(text),
            [facts[-1].value],
            {
                "hops": len(facts),
                "supporting_ids": [[ids[fact]] for fact in facts],
                "namesakes": bearers[facts[0].value],
            },
        )
        for number, (text, facts) in enumerate(chosen)
    ]


def _shares(hops: dict[int, float], count: int) -> dict[int, int]:
    """How many questions of each number of hops, `count` in all."""
    counts = {number: int(share * count) for number, share in hops.items()}
    counts[max(hops, key=hops.__getitem__)] += count - sum(counts.values())
    return counts


def _bearers(world: SyntheticWorld) -> dict[str, int]:
    bearers: dict[str, int] = {}
    for fact in world.facts:
        if fact.relation == MAKER:
            bearers[fact.value] = bearers.get(fact.value, 0) + 1
    return bearers


def _possible(world: SyntheticWorld, part: str, relations) -> Iterator[tuple[str, list[Fact]]]:
    """Every question about a part of the world and the facts it needs, in order."""
    facts = {fact.key: fact for fact in world.facts}
    for work, belongs in zip(world.facts, world.parts, strict=True):
        if work.relation != MAKER or belongs != part:
            continue
        yield question_text(work), [work]
        for relation in relations:
            person = facts[CRAFT_OF_KIND[work.kind].profession, work.value, relation]
            yield question_text(work, relation), [work, person]
            if PERSONAL[relation].in_country:
                city = facts["city", person.value, COUNTRY]
                yield question_text(work, relation, country=True), [work, person, city]
