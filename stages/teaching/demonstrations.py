"""Demonstrations of a patient searcher, and drills in reading, each in a scene of its own.

The searcher restates in each thought the fact it looked for, in the passage's own words, ending
with its value or with "unknown", so that reading is copying after a matching phrase. Where no
passage fits it asks once more in other words, then gives up.
"""

import random
from dataclasses import dataclass

from stages.params import HOPS
from stages.scripted.actions import answer_text, first_thought, search_text
from stages.scripted.facts import (
    COUNTRY,
    CRAFT_OF_KIND,
    MAKER,
    MOST_TEACHERS,
    PERSONAL,
    TEACHER,
    UNKNOWN,
    Fact,
    question_text,
)
from stages.teaching.scene import Scene

FOUND, ALONE, BACKWARD = 0.65, 0.25, 0.15
FOUND_AGAIN = 0.8
SHARES = (0.15, 0.5, 0.35)  # of one, two and three hops, where there are no more
SHOWN = 3


@dataclass(frozen=True)
class Segment:
    """A piece of text; `own` says that the model writes it."""

    text: str
    own: bool


def question_segment(question: str) -> Segment:
    """The prompt of the laptop protocol."""
    return Segment(f"Question: {question}\n", False)


def information_segment(facts: list[Fact]) -> Segment:
    """What a search returns in the laptop protocol."""
    lines = "".join(f"{fact.text}\n" for fact in facts)
    return Segment(f"\n<information>\n{lines}</information>\n", False)


def new_scene(seed: int | str, hops: int = HOPS) -> Scene:
    """A scene in which questions of up to `hops` can be asked."""
    return Scene(random.Random(seed), teachers=hops > HOPS)


def draw_question(scene: Scene, most: int = HOPS) -> tuple[str, list[Fact]]:
    """A question of 1 to `most` hops and the facts it needs, in order.

    Above three, all numbers are as frequent; so are the numbers of teachers that make up one.
    """
    draw, teachers = scene.draw, 0
    if most == HOPS:
        hops = draw.choices((1, 2, 3), SHARES)[0]
    else:
        hops = draw.randint(1, most)
        teachers = draw.randint(max(0, hops - HOPS), min(hops - 1, MOST_TEACHERS))
        hops -= teachers
    work = scene.fact(scene.craft().kind, scene.title(), MAKER)
    profession, chain = CRAFT_OF_KIND[work.kind].profession, [work]
    for _ in range(teachers):
        chain.append(scene.fact(profession, chain[-1].value, TEACHER))
    if hops == 1:
        return question_text(work, teachers=teachers), chain
    names = [name for name, told in PERSONAL.items() if hops == 2 or told.in_country]
    relation = draw.choice(names)
    person = scene.fact(profession, chain[-1].value, relation)
    if hops == 2:
        return question_text(work, relation, teachers=teachers), [*chain, person]
    city = scene.fact("city", person.value, COUNTRY)
    text = question_text(work, relation, country=True, teachers=teachers)
    return text, [*chain, person, city]


def _passages(scene: Scene, needed: list[Fact], hop: int, found: bool) -> list[Fact]:
    """What a retriever brings for a hop: the fact, if found, among near ones."""
    draw = scene.draw
    shown = 1 if draw.random() < ALONE else SHOWN
    facts = [needed[hop]] if found else []
    while len(facts) < shown:
        about = needed[draw.randrange(hop)] if hop and draw.random() < BACKWARD else needed[hop]
        back = about is not needed[hop] and draw.random() < 0.5
        fact = about if back else scene.near(about)
        if fact not in facts and fact.key != needed[hop].key:
            facts.append(fact)
    draw.shuffle(facts)
    return facts


def demonstration(seed: int | str, doubt: float = 0.0, hops: int = HOPS) -> list[Segment]:
    """One question answered, or given up, by the patient searcher.

    With probability `doubt` it asks again, in other words, for what it has just found: a habit
    that wastes searches, and with them the questions of many hops.
    """
    scene = new_scene(seed, hops)
    question, needed = draw_question(scene, hops)
    segments = [question_segment(question)]
    thought = first_thought(CRAFT_OF_KIND[needed[0].kind].role)
    for hop, fact in enumerate(needed):
        for query in (fact.query, fact.reformulation):
            segments.append(Segment(search_text(thought, query), True))
            found = scene.draw.random() < FOUND
            segments.append(information_segment(_passages(scene, needed, hop, found)))
            thought = f"{fact.stem} {fact.value if found else UNKNOWN}"
            if found:
                break
        else:
            return [*segments, Segment(answer_text(thought, UNKNOWN), True)]
        if query == fact.query and doubt and scene.draw.random() < doubt:
            segments.append(Segment(search_text(thought, fact.reformulation), True))
            again = scene.draw.random() < FOUND_AGAIN
            segments.append(information_segment(_passages(scene, needed, hop, again)))
    return [*segments, Segment(answer_text(thought, needed[-1].value), True)]


def drill(seed: int | str, facts: int = 5, asked: int = 8, hops: int = HOPS) -> list[Segment]:
    """Passages, then many facts restated with their value or "unknown": reading, densely.

    Only the value is the model's own; what it restates is told.
    """
    scene = new_scene(seed, hops)
    question, needed = draw_question(scene, hops)
    shown: list[Fact] = []
    while len(shown) < facts:
        fact = scene.near(scene.draw.choice(shown + needed))
        if scene.draw.random() < 0.3:
            fact = scene.draw.choice(needed)
        if all(fact.key != other.key for other in shown):
            shown.append(fact)
    segments = [question_segment(question), information_segment(shown)]
    for _ in range(asked):
        fact = scene.draw.choice(shown)
        if scene.draw.random() < 0.35:
            fact = scene.near(fact)
        value = fact.value if fact in shown else UNKNOWN
        segments.append(Segment(f"<think> {fact.stem}", False))
        segments.append(Segment(f" {value} </think>", True))
        segments.append(Segment("\n", False))
    return segments
