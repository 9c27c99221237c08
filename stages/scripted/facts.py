"""Facts and the English they are told in: passages, queries, questions and thoughts.

A fact is told in one sentence, `The filmmaker Soman was born in Kaliton.`: what the subject is,
its name, a clause that belongs to the relation, and the value last, close to its key.
"""

import re
from dataclasses import dataclass

from stages.params import HOPS, MOST_HOPS

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Craft:
    """A profession and the works it makes.

    Passages say the profession, questions say the role, so a retriever has to learn that the
    director of a film is a filmmaker.
    """

    profession: str
    kind: str
    role: str
    verb: str


CRAFTS = (
    Craft("filmmaker", "film", "director", "directed"),
    Craft("novelist", "book", "author", "wrote"),
    Craft("vocalist", "song", "singer", "sang"),
    Craft("architect", "tower", "designer", "designed"),
    Craft("dramatist", "play", "playwright", "staged"),
    Craft("artist", "canvas", "painter", "painted"),
    Craft("chemist", "drug", "discoverer", "found"),
    Craft("programmer", "game", "creator", "made"),
)
CRAFT_OF_KIND = {craft.kind: craft for craft in CRAFTS}
CRAFT_OF_PROFESSION = {craft.profession: craft for craft in CRAFTS}
CRAFT_OF_ROLE = {craft.role: craft for craft in CRAFTS}


@dataclass(frozen=True)
class Relation:
    """How a relation is told, asked for, and asked for again in other words.

    `{x}` is the subject's name; `{maker}` stands for "director of the film Barax Tikoq".
    `in_country` is the question for the country of the value, where the value is a city.
    """

    name: str
    clause: str
    value: str  # the value's class in the vocabulary
    query: str
    reformulation: str
    question: str
    in_country: str | None = None


PERSONAL = {
    relation.name: relation
    for relation in (
        Relation(
            "born", "was born in", "city",
            "where was {x} born", "birth city of {x}", "Where was the {maker} born?",
            "In which country was the {maker} born?",
        ),
        Relation(
            "live", "lives in", "city",
            "where does {x} live", "home city of {x}", "Where does the {maker} live?",
            "In which country does the {maker} live?",
        ),
        Relation(
            "study", "studied at", "university",
            "where did {x} study", "university of {x}", "Where did the {maker} study?",
        ),
        Relation(
            "die", "died in", "city",
            "where did {x} die", "death city of {x}", "Where did the {maker} die?",
            "In which country did the {maker} die?",
        ),
        Relation(
            "award", "won the", "prize",
            "which prize did {x} win", "prize of {x}", "Which prize did the {maker} win?",
        ),
    )
}  # fmt: skip
TRAINING_RELATIONS = ("born", "live", "study")
HELD_OUT_RELATIONS = ("die", "award")
MAKER, COUNTRY = "maker", "country"
TEACHER = "teacher"  # of the same craft; only worlds with teachers tell it
MOST_TEACHERS = MOST_HOPS - HOPS  # in one question
CLAUSES = {MAKER: "is by", COUNTRY: "is in", TEACHER: "was taught by"} | {
    relation.name: relation.clause for relation in PERSONAL.values()
}


@dataclass(frozen=True)
class Fact:
    """One fact: `kind` is what the subject is (filmmaker, film, city)."""

    kind: str
    subject: str
    relation: str
    value: str

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes the fact another one: everything but its value."""
        return self.kind, self.subject, self.relation

    @property
    def stem(self) -> str:
        """The sentence up to its value, as a thought begins it."""
        return f"{self.kind} {self.subject} {CLAUSES[self.relation]}"

    @property
    def text(self) -> str:
        """The sentence a passage tells the fact in."""
        return f"The {self.stem} {self.value}."

    @property
    def contents(self) -> str:
        """The passage: title, newline, text."""
        return f'"{self.subject}"\n{self.text}'

    @property
    def query(self) -> str:
        """The query that asks for the value."""
        if self.relation == MAKER:
            return f"who {CRAFT_OF_KIND[self.kind].verb} {self.subject}"
        if self.relation == COUNTRY:
            return f"which country is {self.subject} in"
        if self.relation == TEACHER:
            return f"who taught {self.subject}"
        return PERSONAL[self.relation].query.format(x=self.subject)

    @property
    def reformulation(self) -> str:
        """The same query in other words."""
        if self.relation == MAKER:
            return maker_phrase(self)
        if self.relation == COUNTRY:
            return f"country of {self.subject}"
        if self.relation == TEACHER:
            return f"teacher of {self.subject}"
        return PERSONAL[self.relation].reformulation.format(x=self.subject)


def maker_phrase(work: Fact) -> str:
    """How questions name a person: by the role and the work."""
    return f"{CRAFT_OF_KIND[work.kind].role} of the {work.kind} {work.subject}"


def question_text(
    work: Fact, relation: str | None = None, country: bool = False, teachers: int = 0
) -> str:
    """A question of one hop (no relation), two, or three (`country`), and one more for each of
    `teachers`: it asks about the teacher of the teacher of the maker."""
    person = "teacher of the " * teachers + maker_phrase(work)
    if relation is None:
        return f"Who is the {person}?"
    told = PERSONAL[relation]
    return (told.in_country if country else told.question).format(maker=person)


_SENTENCE = re.compile(
    r"(?<!\w)(?P<kind>\w++) (?P<subject>\w++(?: \w++)?) (?P<clause>"
    + "|".join(CLAUSES.values())
    + r") (?P<value>\w+)"
)
_RELATION_OF_CLAUSE = {clause: relation for relation, clause in CLAUSES.items()}


def read_fact(text: str) -> Fact | None:
    """The fact that a passage or a thought tells, or None where it tells none."""
    found = _SENTENCE.search(text.rpartition("The ")[2])
    if found is None:
        return None
    relation = _RELATION_OF_CLAUSE[found["clause"]]
    return Fact(found["kind"], found["subject"], relation, found["value"])


def _query_patterns() -> list[tuple[str, re.Pattern[str]]]:
    patterns = [(COUNTRY, "which country is {x} in"), (COUNTRY, "country of {x}")]
    patterns += [(TEACHER, "who taught {x}"), (TEACHER, "teacher of {x}")]
    for relation in PERSONAL.values():
        patterns += [(relation.name, relation.query), (relation.name, relation.reformulation)]
    for craft in CRAFTS:
        patterns += [(MAKER, f"who {craft.verb} {{x}}")]
        patterns += [(MAKER, f"{craft.role} of the {craft.kind} {{x}}")]
    subject = r"(?P<x>\w+(?: \w+)?)"
    return [(relation, re.compile(text.format(x=subject))) for relation, text in patterns]


_QUERIES = _query_patterns()


def read_query(query: str) -> tuple[str, str] | None:
    """The (subject, relation) that a query asks for, or None where it is not understood."""
    for relation, pattern in _QUERIES:
        if found := pattern.fullmatch(query.strip()):
            return found["x"], relation
    return None
