"""Questions of one, two and three hops about a world, with the passages that answer them.

Training questions ask about the training part in three relations. The test set `indomain` asks
the same of the test part, `relations` asks in two relations that no training question uses, and
`singlehop` asks for makers alone.
"""

import random
from collections.abc import Iterator

from stages.errors import InputError
from stages.records import Question
from stages.seeds import seed_of
from stages.world.facts import (
    COUNTRY,
    CRAFT_OF_KIND,
    HELD_OUT_RELATIONS,
    MAKER,
    PERSONAL,
    TRAINING_RELATIONS,
    Fact,
    question_text,
)
from stages.world.world import TEST, TRAIN, World

HOPS = {1: 0.2, 2: 0.5, 3: 0.3}
TEST_SETS = {
    "indomain": (TRAINING_RELATIONS, HOPS),
    "relations": (HELD_OUT_RELATIONS, {2: 0.625, 3: 0.375}),
    "singlehop": ((), {1: 1.0}),
}


def questions_for_training(world: World, count: int, seed: int) -> list[Question]:
    """The first n of them are a mixture too, so a stage may take fewer."""
    return _drawn(world, TRAIN, "train", TRAINING_RELATIONS, HOPS, count, seed)


def questions_for_tests(world: World, count: int, seed: int) -> dict[str, list[Question]]:
    """The test sets by name, `count` questions each."""
    return {
        name: _drawn(world, TEST, name, relations, hops, count, seed)
        for name, (relations, hops) in TEST_SETS.items()
    }


def _drawn(world, part, name, relations, hops, count, seed) -> list[Question]:
    draw = random.Random(seed_of(seed, "questions", name))
    possible: dict[int, list[tuple[str, list[Fact]]]] = {}
    for text, facts in _possible(world, part, relations):
        possible.setdefault(len(facts), []).append((text, facts))
    chosen = []
    for number, wanted in _shares(hops, count).items():
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
            text,
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


def _bearers(world: World) -> dict[str, int]:
    bearers: dict[str, int] = {}
    for fact in world.facts:
        if fact.relation == MAKER:
            bearers[fact.value] = bearers.get(fact.value, 0) + 1
    return bearers


def _possible(world: World, part: str, relations) -> Iterator[tuple[str, list[Fact]]]:
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
