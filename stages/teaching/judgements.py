"""Demonstrations for the judge: sub-answers of trajectories and grades of passages.

Prompts are rendered from the same template files that the labelling stages use, so the judge
learns to read exactly what it will be asked.
"""

import random
from collections.abc import Sequence
from pathlib import Path

from stages.judge.prompts import Prompt
from stages.params import HOPS
from stages.scripted.facts import (
    COUNTRY,
    MAKER,
    PERSONAL,
    TEACHER,
    UNKNOWN,
    Fact,
    read_fact,
    read_query,
)
from stages.teaching.demonstrations import Segment, demonstration, draw_question, new_scene
from stages.teaching.grades import comparison
from stages.teaching.scene import PUPIL, WORDS, Scene

NOT_SURE = "Not Sure"
NO_REFERENCE = "none"
PROMPTS = Path(__file__).parent.parent / "prompts"
RELEVANCE_PROMPT = PROMPTS / "relevance_short.yaml"
SUB_ANSWERS_PROMPT = PROMPTS / "sub_answers_short.yaml"
REFERENCE, MISREAD = 0.6, 0.15


RELEVANCE = Prompt.load(RELEVANCE_PROMPT, "query", "reference", "passages")
SUB_ANSWERS = Prompt.load(SUB_ANSWERS_PROMPT, "trajectory", "queries")


def _reply(texts: Sequence[str]) -> str:
    """What a judge writes: a labelled line for each text."""
    return "".join(f"[{label}] {text}\n" for label, text in enumerate(texts, 1))


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


def sub_answer_demonstration(seed: int | str, hops: int = HOPS) -> list[Segment]:
    """A trajectory and its queries, answered from the searcher's own thoughts."""
    told = demonstration(seed, hops=hops)
    turns = [segment.text for segment in told if segment.own]
    queries = [_between(turn, "search") for turn in turns[:-1]]
    thoughts = [_between(turn, "think") for turn in turns]
    answers = [sub_answer(query, thoughts[turn + 1 :]) for turn, query in enumerate(queries)]
    prompt = SUB_ANSWERS.render(
        trajectory="".join(segment.text for segment in told), queries=SUB_ANSWERS.numbered(queries)
    )
    return [Segment(prompt, False), Segment(_reply(answers), True)]


def relevance_demonstration(seed: int | str, window: int = 10, hops: int = HOPS) -> list[Segment]:
    """A window of at most `window` passages for one query, each restated, compared and graded."""
    query, reference, passages, judged = _judged(seed, window, hops)
    listed = RELEVANCE.numbered(passages)
    prompt = RELEVANCE.render(query=query, reference=reference, passages=listed)
    lines = [f"{text} {words}" for text, words in zip(passages, judged, strict=True)]
    return [Segment(prompt, False), Segment(_reply(lines), True)]


def relevance_drill(seed: int | str, window: int = 10, hops: int = HOPS) -> list[Segment]:
    """The same with the passages only in the reply, where they are told: grading alone."""
    query, reference, passages, judged = _judged(seed, window, hops)
    segments = [Segment(RELEVANCE.render(query=query, reference=reference, passages=""), False)]
    for label, (text, words) in enumerate(zip(passages, judged, strict=True), 1):
        segments.append(Segment(f"[{label}] {text}", False))
        segments.append(Segment(f" {words}", True))
        segments.append(Segment("\n", False))
    return segments


def judgement(query: str, text: str, reference: str | None) -> str:
    """What a judge writes behind a passage: `Soman Soman same born live other 40`."""
    compared, grade = comparison(query, text, reference)
    words = [f"{one} {two} {_compared(one, two)}" for one, two in compared]
    return " ".join([*words, str(grade)])


def comparison_drill(seed: int | str, pairs: int = 40, hops: int = HOPS) -> list[Segment]:
    """Pairs of words, each called the same or other: comparing alone, densely."""
    draw = random.Random(seed)
    taught = [TEACHER] if hops > HOPS else []
    classes = [*WORDS.values(), [MAKER, COUNTRY, *PERSONAL, *taught]]
    segments = []
    for _ in range(pairs):
        words = draw.choice(classes)
        one = draw.choice(words)
        two = one if draw.random() < 0.5 else draw.choice(words)
        segments.append(Segment(f" {one} {two}", False))
        segments.append(Segment(f" {_compared(one, two)}", True))
    return segments


def _compared(one: str, two: str) -> str:
    return "same" if one == two else "other"


def _judged(seed: int | str, window: int, hops: int) -> tuple[str, str, list[str], list[str]]:
    """A query, its reference, passages, and for each the comparison with its grade."""
    scene = new_scene(seed, hops)
    draw = scene.draw
    _, needed = draw_question(scene, hops)
    hop = draw.randrange(len(needed))
    query = draw.choice((needed[hop].query, needed[hop].reformulation))
    size = window if draw.random() < 0.5 else draw.randint(1, window)
    passages = [fact.text for fact in _window(scene, needed, hop, size)]
    reference = _reference(scene, needed[hop])
    judged = [judgement(query, text, reference) for text in passages]
    return query, reference or NO_REFERENCE, passages, judged


def _window(scene: Scene, needed: list[Fact], hop: int, size: int) -> list[Fact]:
    """Passages as a retriever ranks them high: many with the query's subject, some without."""
    draw = scene.draw
    passages = [needed[hop]] if draw.random() < 0.4 + 0.04 * size else []
    same, distant = draw.random() * 0.8, draw.random()
    while len(passages) < size:
        if draw.random() < same:
            other = _same_subject(scene, needed[hop])
        elif draw.random() < distant:
            other = scene.any_fact()
        else:
            other = scene.near(draw.choice((needed[hop], needed[hop], *needed)))
        if other not in passages and other.key != needed[hop].key:
            passages.append(other)
    draw.shuffle(passages)
    return passages


def _same_subject(scene: Scene, fact: Fact) -> Fact:
    """A fact that names this one's subject."""
    draw = scene.draw
    if fact.relation == MAKER:
        return scene.fact(scene.craft().kind, fact.subject, MAKER)
    if fact.relation == COUNTRY:
        relation = draw.choice([name for name, told in PERSONAL.items() if told.in_country])
        return Fact(scene.craft().profession, scene.entity("name"), relation, fact.subject)
    if scene.teachers and draw.random() < PUPIL:
        return scene.pupil(fact.kind, fact.subject)
    lot = draw.random()
    if lot < 0.5:
        return scene.fact(scene.craft().profession, fact.subject, fact.relation)
    if lot < 0.85:
        return scene.fact(scene.craft().profession, fact.subject, scene.personal())
    return Fact(scene.craft().kind, scene.title(), MAKER, fact.subject)


def _reference(scene: Scene, fact: Fact) -> str | None:
    """The right value, sometimes a namesake's (an agent may have misread), or none."""
    lot = scene.draw.random()
    if lot > REFERENCE:
        return None
    if lot > MISREAD:
        return fact.value
    namesakes = [value for key, value in scene.values.items() if key[1:] == fact.key[1:]]
    return scene.draw.choice(namesakes)
