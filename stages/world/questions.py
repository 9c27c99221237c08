"""Questions of one to six hops about a world, with the passages that answer them.

Training questions ask about the training part in three relations. All test sets ask about the test
part, whose names no training question uses: `indomain` asks the same otherwise, `singlehop` for
makers alone, `threehop` for countries alone, and `relations` in two relations that no training
question uses. `wording` and `rephrased` are the questions of `indomain` in words that no training
question uses: a few more at the end, or another order.

In a world with teachers `questions.hops` lets training questions and the sets of their mixture have
up to six hops, as many each of every number: "In which country was the teacher of the teacher of
the director of the film Barax Tikoq born?" has five. `sixhop` asks for six alone.

Development sets are put as the test sets are, about names of the training part that are kept out of
training then (a share of them), so that they share no name and no fact chain with either.
"""

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from stages.common.records import Question
from stages.common.seeds import seed_of
from stages.params import HOPS
from stages.plumbing.errors import InputError
from stages.scripted.facts import (
    COUNTRY,
    CRAFT_OF_KIND,
    CRAFT_OF_ROLE,
    HELD_OUT_RELATIONS,
    MAKER,
    PERSONAL,
    TEACHER,
    TRAINING_RELATIONS,
    Fact,
    question_text,
)
from stages.world.world import TEST, TRAIN, SyntheticWorld, development_names

MIXTURE = {1: 0.2, 2: 0.5, 3: 0.3}  # of up to three hops
INDOMAIN = "indomain"


@dataclass(frozen=True)
class TestSet:
    """The relations that a set asks in, its mixture of hops (None: that of training), and how it
    puts a question.

    Sets of one `draw` ask the same questions.
    """

    relations: tuple[str, ...]
    hops: dict[int, float] | None
    draw: str
    put: Callable[[str], str] = str


ROLES = "|".join(CRAFT_OF_ROLE)


def _with_an_end(question: str) -> str:
    return f"{question.removesuffix('?')} in the end?"


def _work_first(question: str) -> str:
    """`the director of the film Barax Tikoq` as `the film Barax Tikoq director`."""
    return re.sub(rf"the ({ROLES}) of the (\w+ \w+ \w+)", r"the \2 \1", question)


TEST_SETS = {
    INDOMAIN: TestSet(TRAINING_RELATIONS, None, INDOMAIN),
    "relations": TestSet(HELD_OUT_RELATIONS, {2: 0.625, 3: 0.375}, "relations"),
    "singlehop": TestSet((), {1: 1.0}, "singlehop"),
    "threehop": TestSet(TRAINING_RELATIONS, {3: 1.0}, "threehop"),
    "wording": TestSet(TRAINING_RELATIONS, None, INDOMAIN, _with_an_end),
    "rephrased": TestSet(TRAINING_RELATIONS, None, INDOMAIN, _work_first),
    "sixhop": TestSet(TRAINING_RELATIONS, {6: 1.0}, "sixhop"),
}


def sets_of(teachers: bool) -> list[str]:
    """The names of all sets that can be asked about a world, with `teachers` or without."""
    return [name for name, asked in TEST_SETS.items() if teachers or max(asked.hops or [0]) <= HOPS]


def mixture(most: int) -> dict[int, float]:
    """Shares of the numbers of hops in training, of which `most` is the largest."""
    if most == HOPS:
        return MIXTURE
    return dict.fromkeys(range(1, most + 1), 1 / most)


def questions_for_training(
    world: SyntheticWorld, count: int, seed: int, development: bool = False, hops: int = HOPS
) -> list[Question]:
    """The first n of them are a mixture too, so a stage may take fewer. `development`: whether the
    names of the development sets are kept out. `hops`: the most of a question."""
    asked = TestSet(TRAINING_RELATIONS, mixture(hops), "train")
    kept_out = _developed_names(world, seed) if development else set()
    return _drawn(world, TRAIN, "train", asked, count, seed, lambda name: name not in kept_out)


def questions_for_development(
    world: SyntheticWorld,
    count: int,
    seed: int,
    sets: list[str] | None = None,
    hops: int = HOPS,
) -> dict[str, list[Question]]:
    """Sets as those for tests, by the same names; none where `count` is 0."""
    if not count:
        return {}
    names = _developed_names(world, seed)
    return {
        name: _drawn(
            world, TRAIN, f"development-{name}", _developed(asked), count, seed, names.__contains__
        )
        for name, asked in _asked(world, sets, hops).items()
    }


def _developed(asked: TestSet) -> TestSet:
    return replace(asked, draw=f"development-{asked.draw}")


def _developed_names(world: SyntheticWorld, seed: int) -> set[str]:
    """The names of the training part that development sets ask about."""
    both = zip(world.facts, world.parts, strict=True)
    names = {fact.value for fact, part in both if fact.relation == MAKER and part == TRAIN}
    return development_names(names, seed)


def questions_for_tests(
    world: SyntheticWorld,
    count: int,
    seed: int,
    sets: list[str] | None = None,
    hops: int = HOPS,
) -> dict[str, list[Question]]:
    """The test sets `sets` (None: all that the world can ask) by name, `count` questions each; sets
    of training's mixture have questions of up to `hops`."""
    return {
        name: _drawn(world, TEST, name, asked, count, seed)
        for name, asked in _asked(world, sets, hops).items()
    }


def _asked(world: SyntheticWorld, sets: list[str] | None, hops: int) -> dict[str, TestSet]:
    """What each set asks, in the order of `sets`. InputError for one that is not there."""
    for name in sets or ():
        if name not in TEST_SETS:
            raise InputError(
                f"params.yaml: 'questions.sets': no set '{name}', only {', '.join(TEST_SETS)}"
            )
    names = sets or sets_of(any(fact.relation == TEACHER for fact in world.facts))
    return {
        name: replace(TEST_SETS[name], hops=TEST_SETS[name].hops or mixture(hops)) for name in names
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
    for text, facts in _possible(world, part, asked):
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
                + (", or set corpus.world.teachers" if number > HOPS and not have else "")
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


def _possible(world: SyntheticWorld, part: str, asked: TestSet) -> Iterator[tuple[str, list[Fact]]]:
    """Every question about a part of the world and the facts it needs, in order."""
    facts = {fact.key: fact for fact in world.facts}
    for work, belongs in zip(world.facts, world.parts, strict=True):
        if work.relation != MAKER or belongs != part:
            continue
        profession = CRAFT_OF_KIND[work.kind].profession
        for chain in _chains(facts, work, profession, max(asked.hops) - HOPS):
            known, name = len(chain) - 1, chain[-1].value
            yield question_text(work, teachers=known), chain
            for relation in asked.relations:
                person = facts[profession, name, relation]
                yield question_text(work, relation, teachers=known), [*chain, person]
                if PERSONAL[relation].in_country:
                    city = facts["city", person.value, COUNTRY]
                    text = question_text(work, relation, country=True, teachers=known)
                    yield text, [*chain, person, city]


def _chains(facts: dict, work: Fact, profession: str, teachers: int) -> Iterator[list[Fact]]:
    """The work's maker, then also the maker's teacher, and so on for so many `teachers`, who are
    all different people: a chain ends before it comes back to one."""
    chain = [work]
    yield chain
    for _ in range(teachers):
        taught = facts.get((profession, chain[-1].value, TEACHER))
        if taught is None or taught.value in [fact.value for fact in chain]:
            return
        chain = [*chain, taught]
        yield chain
