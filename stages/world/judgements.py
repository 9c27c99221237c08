"""Demonstrations for the judge: sub-answers of trajectories and grades of passages.

Prompts are rendered from the same template files that the labelling stages use, so the judge
learns to read exactly what it will be asked.
"""

import random
from collections.abc import Sequence
from pathlib import Path

import yaml

from stages.world.demonstrations import Segment, demonstration, draw_question
from stages.world.facts import UNKNOWN, Fact, read_fact, read_query
from stages.world.grades import grade
from stages.world.scene import Scene

NOT_SURE = "Not Sure"
NO_REFERENCE = "none"
PROMPTS = Path(__file__).parent.parent / "prompts"
REFERENCE, MISREAD = 0.6, 0.15


def template(name: str) -> str:
    """The template of a prompt file."""
    return yaml.safe_load((PROMPTS / f"{name}.yaml").read_text(encoding="utf-8"))["template"]


RELEVANCE, SUB_ANSWERS = template("relevance_short"), template("sub_answers_short")


def listed(values: Sequence[object]) -> str:
    """Lines numbered from one: `[1] ...`."""
    return "".join(f"[{number}] {value}\n" for number, value in enumerate(values, 1))


def sub_answer(query: str, thoughts: Sequence[str]) -> str:
    """The value that the thoughts after a query give to what it asks, or "Not Sure"."""
    asked = read_query(query)
    for thought in thoughts:
        fact = read_fact(thought)
        if fact and (fact.subject, fact.relation) == asked and fact.value != UNKNOWN:
            return fact.value
    return NOT_SURE


def _between(text: str, tag: str) -> str:
    return text.partition(f"<{tag}> ")[2].partition(f" </{tag}>")[0]


def sub_answer_demonstration(seed: int | str) -> list[Segment]:
    """A trajectory and its queries, answered from the searcher's own thoughts."""
    told = demonstration(seed)
    turns = [segment.text for segment in told if segment.own]
    queries = [_between(turn, "search") for turn in turns[:-1]]
    thoughts = [_between(turn, "think") for turn in turns]
    answers = [sub_answer(query, thoughts[turn + 1 :]) for turn, query in enumerate(queries)]
    prompt = SUB_ANSWERS.format(
        trajectory="".join(segment.text for segment in told), queries=listed(queries)
    )
    return [Segment(prompt, False), Segment(listed(answers), True)]


def relevance_demonstration(seed: int | str, window: int = 10) -> list[Segment]:
    """A window of passages for one query, graded; in half of them fewer than `window`."""
    scene = Scene(random.Random(seed))
    draw = scene.draw
    _, needed = draw_question(scene)
    hop = draw.randrange(len(needed))
    fact = needed[hop]
    query = draw.choice((fact.query, fact.reformulation))
    passages = _window(
        scene, needed, hop, window if draw.random() < 0.5 else draw.randint(1, window)
    )
    reference = _reference(scene, fact)
    grades = [grade(query, passage.contents, reference) for passage in passages]
    prompt = RELEVANCE.format(
        query=query,
        reference=reference or NO_REFERENCE,
        passages=listed([passage.text for passage in passages]),
    )
    return [Segment(prompt, False), Segment(listed(grades), True)]


def _window(scene: Scene, needed: list[Fact], hop: int, size: int) -> list[Fact]:
    draw = scene.draw
    passages = [needed[hop]] if draw.random() < 0.75 else []
    distant = draw.random() * 0.5
    while len(passages) < size:
        lot = draw.random()
        if lot < distant:
            other = scene.any_fact()
        elif lot < distant + 0.1:
            other = scene.near(draw.choice(needed))
        else:
            other = scene.near(needed[hop])
        if other not in passages and other.key != needed[hop].key:
            passages.append(other)
    draw.shuffle(passages)
    return passages[:size]


def _reference(scene: Scene, fact: Fact) -> str | None:
    """The right value, sometimes a namesake's (an agent may have misread), or none."""
    lot = scene.draw.random()
    if lot > REFERENCE:
        return None
    if lot > MISREAD:
        return fact.value
    namesakes = [value for key, value in scene.values.items() if key[1:] == fact.key[1:]]
    return scene.draw.choice(namesakes)
