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
RELEVANCE_PROMPT = PROMPTS / "relevance_short.yaml"
SUB_ANSWERS_PROMPT = PROMPTS / "sub_answers_short.yaml"
REFERENCE, MISREAD = 0.6, 0.15


def _prompt(path: Path) -> tuple[str, str]:
    """The template of a prompt file and that of an item in its numbered list."""
    keys = yaml.safe_load(path.read_text(encoding="utf-8"))
    return keys["template"], keys.get("item", "[{label}] {text}\n")


RELEVANCE, PASSAGE = _prompt(RELEVANCE_PROMPT)
SUB_ANSWERS, QUERY = _prompt(SUB_ANSWERS_PROMPT)
REPLY = "[{label}] {text}\n"


def _listed(item: str, texts: Sequence[object]) -> str:
    """Texts as a list numbered from one."""
    return "".join(item.format(label=label, text=text) for label, text in enumerate(texts, 1))


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
        trajectory="".join(segment.text for segment in told), queries=_listed(QUERY, queries)
    )
    return [Segment(prompt, False), Segment(_listed(REPLY, answers), True)]


def relevance_demonstration(seed: int | str, window: int = 10) -> list[Segment]:
    """A window of at most `window` passages for one query, graded."""
    query, reference, passages, grades = _graded(seed, window)
    prompt = RELEVANCE.format(query=query, reference=reference, passages=_listed(PASSAGE, passages))
    return [Segment(prompt, False), Segment(_listed(REPLY, grades), True)]


def relevance_drill(seed: int | str, window: int = 10) -> list[Segment]:
    """The same with each grade right behind its passage: grading without looking up labels."""
    query, reference, passages, grades = _graded(seed, window)
    prompt = RELEVANCE.format(query=query, reference=reference, passages="\0").partition("\0")[0]
    segments = [Segment(prompt, False)]
    for label, (text, value) in enumerate(zip(passages, grades, strict=True), 1):
        item = PASSAGE.format(label=label, text=text)
        segments += [Segment(item.removesuffix("\n"), False), Segment(f" {value}\n", True)]
    return segments


def _graded(seed: int | str, window: int) -> tuple[str, str, list[str], list[int]]:
    """A query, its reference, passages and their grades."""
    scene = Scene(random.Random(seed))
    draw = scene.draw
    _, needed = draw_question(scene)
    hop = draw.randrange(len(needed))
    query = draw.choice((needed[hop].query, needed[hop].reformulation))
    size = window if draw.random() < 0.5 else draw.randint(1, window)
    passages = _window(scene, needed, hop, size)
    reference = _reference(scene, needed[hop])
    grades = [grade(query, passage.contents, reference) for passage in passages]
    return query, reference or NO_REFERENCE, [passage.text for passage in passages], grades


def _window(scene: Scene, needed: list[Fact], hop: int, size: int) -> list[Fact]:
    draw = scene.draw
    passages = [needed[hop]] if draw.random() < 0.4 + 0.04 * size else []
    distant = 0.5 * draw.random() * (size > 4)
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
    return passages


def _reference(scene: Scene, fact: Fact) -> str | None:
    """The right value, sometimes a namesake's (an agent may have misread), or none."""
    lot = scene.draw.random()
    if lot > REFERENCE:
        return None
    if lot > MISREAD:
        return fact.value
    namesakes = [value for key, value in scene.values.items() if key[1:] == fact.key[1:]]
    return scene.draw.choice(namesakes)
