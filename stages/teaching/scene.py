"""Small made-up worlds, one for each demonstration.

Every scene draws its own entities. So a model can learn no fact from scenes, only to read. Values
of one relation differ between namesakes, as in the real world.
"""

import random

from stages.scripted.facts import (
    COUNTRY,
    CRAFT_OF_KIND,
    CRAFT_OF_PROFESSION,
    CRAFTS,
    MAKER,
    PERSONAL,
    TEACHER,
    Craft,
    Fact,
)
from stages.world.vocabulary import KNOWN, words

PUPIL = 0.2  # of what is near a person, where there are teachers: whom that person taught
WORDS = {kind: words(kind, count) for kind, count in KNOWN.items()}


class Scene:
    """Facts that are drawn when first asked for and stay as they are. With `teachers` people have
    those too; without, every draw is as if there were no such relation."""

    def __init__(self, draw: random.Random, teachers: bool = False):
        self.draw = draw
        self.teachers = teachers
        self.relations = [*PERSONAL, TEACHER] if teachers else [*PERSONAL]
        self.values: dict[tuple[str, str, str], str] = {}
        self.taken: dict[tuple[str, str], set[str]] = {}

    def entity(self, kind: str) -> str:
        """Any entity of a class."""
        return self.draw.choice(WORDS[kind])

    def title(self) -> str:
        """Any work's title."""
        return f"{self.entity('first_title')} {self.entity('second_title')}"

    def craft(self) -> Craft:
        """Any craft."""
        return self.draw.choice(CRAFTS)

    def personal(self) -> str:
        """Any relation of people."""
        return self.draw.choice(self.relations)

    def fact(self, kind: str, subject: str, relation: str) -> Fact:
        """The scene's fact about a subject; namesakes never share a value."""
        key = (kind, subject, relation)
        if key not in self.values:
            taken = self._taken(subject, relation)
            value = self.entity(_value_class(relation))
            while value in taken:
                value = self.entity(_value_class(relation))
            taken.add(value)
            self.values[key] = value
        return Fact(kind, subject, relation, self.values[key])

    def _taken(self, subject: str, relation: str) -> set[str]:
        """The values of `subject` and its namesakes; nobody is taught by a namesake."""
        own = {subject} if relation == TEACHER else set()
        return self.taken.setdefault((subject, relation), own)

    def pupil(self, kind: str, teacher: str) -> Fact:
        """That `teacher` taught someone, or whom else that someone was taught by."""
        name = self.entity("name")
        taken = self._taken(name, TEACHER)
        if (kind, name, TEACHER) in self.values or teacher in taken:
            return self.fact(kind, name, TEACHER)
        taken.add(teacher)
        self.values[kind, name, TEACHER] = teacher
        return Fact(kind, name, TEACHER, teacher)

    def any_fact(self) -> Fact:
        """A fact about anything."""
        lot = self.draw.random()
        if lot < 0.6:
            return self.fact(self.craft().profession, self.entity("name"), self.personal())
        if lot < 0.85:
            return self.fact(self.craft().kind, self.title(), MAKER)
        return self.fact("city", self.entity("city"), COUNTRY)

    def near(self, fact: Fact) -> Fact:
        """A fact that a retriever may bring instead of this one, never this one.

        Every kind that any retriever of the run returns is among them: an agent that never had
        to refuse one of them is fooled by the retriever that returns it.
        """
        while True:
            if fact.relation == MAKER:
                other = self._near_work(fact)
            elif fact.relation == COUNTRY:
                other = self._near_city(fact)
            else:
                other = self._near_person(fact)
            if other.key != fact.key:
                return other

    def _near_work(self, fact: Fact) -> Fact:
        first, second = fact.subject.split()
        lot = self.draw.random()
        if lot < 0.2:  # shares the first title word
            return self.fact(self.craft().kind, f"{first} {self.entity('second_title')}", MAKER)
        if lot < 0.4:  # shares the second title word
            return self.fact(self.craft().kind, f"{self.entity('first_title')} {second}", MAKER)
        if lot < 0.7:  # of the same kind
            return self.fact(fact.kind, self.title(), MAKER)
        if lot < 0.8:  # about a person of that craft
            profession = CRAFT_OF_KIND[fact.kind].profession
            return self.fact(profession, self.entity("name"), self.personal())
        return self.any_fact()

    def _near_city(self, fact: Fact) -> Fact:
        lot = self.draw.random()
        if lot < 0.65:
            return self.fact("city", self.entity("city"), COUNTRY)
        return self.any_fact()

    def _near_person(self, fact: Fact) -> Fact:
        if self.teachers and self.draw.random() < PUPIL:
            return self.pupil(fact.kind, fact.subject)
        lot = self.draw.random()
        if lot < 0.35:  # a namesake, the same relation
            return self.fact(self.craft().profession, fact.subject, fact.relation)
        if lot < 0.42:  # a namesake or the person, another relation
            return self.fact(self.craft().profession, fact.subject, self.personal())
        if lot < 0.49:  # the person, another relation
            return self.fact(fact.kind, fact.subject, self.personal())
        if lot < 0.76:  # another name of the same profession, the same relation
            return self.fact(fact.kind, self.entity("name"), fact.relation)
        if lot < 0.84:  # another name of the same profession, another relation
            return self.fact(fact.kind, self.entity("name"), self.personal())
        if lot < 0.88:  # a work of the same craft
            return self.fact(CRAFT_OF_PROFESSION[fact.kind].kind, self.title(), MAKER)
        return self.any_fact()


def _value_class(relation: str) -> str:
    known = {MAKER: "name", COUNTRY: "country", TEACHER: "name"}
    return known.get(relation) or PERSONAL[relation].value
