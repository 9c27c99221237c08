"""Demonstrations of a patient searcher, and drills in reading, each in a scene of its own.

The searcher restates in each thought the fact it looked for, in the passage's own words, ending
with its value or with "unknown", so that reading is copying after a matching phrase. Where no
passage fits it asks once more in other words, then gives up.
"""

import random
from dataclasses import dataclass

from stages.scripted.facts import (
    COUNTRY,
    CRAFT_OF_KIND,
    MAKER,
    PERSONAL,
    UNKNOWN,
    Fact,
    question_text,
)
from stages.teaching.scene import Scene

FOUND, ALONE, BACKWARD = 0.65, 0.25, 0.15
FOUND_AGAIN = 0.8
HOPS = (0.15, 0.5, 0.35)
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


def search_text(thought: str, query: str) -> str:
    """A turn that searches."""
    return f"<think> {thought} </think> <search> {query} </search>"


def answer_text(thought: str, answer: str) -> str:
    """A turn that answers."""
    return f"<think> {thought} </think> <answer> {answer} </answer>"


def first_thought(role: str) -> str:
    """The thought before anything is known."""
    return f"find the {role}"


def draw_question(scene: Scene) -> tuple[str, list[Fact]]:
    """A question of 1, 2 or 3 hops and the facts it needs, in order."""
    draw = scene.draw
    hops = draw.choices((1, 2, 3), HOPS)[0]
    work = scene.fact(scene.craft().kind, scene.title(), MAKER)
    if hops == 1:
        return question_text(work), [work]
    names = [name for name, told in PERSONAL.items() if hops == 2 or told.in_country]
    relation = draw.choice(names)
    person = scene.fact(CRAFT_OF_KIND[work.kind].profession, work.value, relation)
    if hops == 2:
        return question_text(work, relation), [work, person]
    city = scene.fact("city", person.value, COUNTRY)
    return question_text(work, relation, country=True), [work, person, city]


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


def demonstration(seed: int | str, doubt: float = 0.0) -> list[Segment]:
    """One question answered, or given up, by the patient searcher.

    With probability `doubt` it asks again, in other words, for what it has just found: a habit
    that wastes searches, and with them the questions of many hops.
    """
    scene = Scene(random.Random(seed))
    question, needed = draw_question(scene)
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


def drill(seed: int | str, facts: int = 5, asked: int = 8) -> list[Segment]:
    """Passages, then many facts restated with their value or "unknown": reading, densely.

    Only the value is the model's own; what it restates is told.
    """
    scene = Scene(random.Random(seed))
    question, needed = draw_question(scene)
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
