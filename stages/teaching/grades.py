"""The grades a perfect judge of local relevance would give (Agentic-R, step B4).

Local relevance sees one query and one passage, so the passages of all namesakes are relevant to
"where was Soman born"; only the answer's correctness tells them apart (step B5).
"""

from stages.scripted.facts import read_fact, read_query

HOLDS_REFERENCE, ANSWERS, OTHER_VALUE, SAME_SUBJECT, UNRELATED = 100, 90, 80, 40, 0


def comparison(
    query: str, contents: str, reference: str | None = None
) -> tuple[list[tuple[str, str]], int]:
    """What to compare, in order, up to the first difference; and the grade (0..100) it gives.

    Pairs of a passage's word and the query's: those of the subject, the relation, and the value
    with the reference (the sub-answer) if there is one.
    """
    asked, fact = read_query(query), read_fact(contents)
    if asked is None or fact is None:
        return [], UNRELATED
    compared = []
    for pair in zip(fact.subject.split(), asked[0].split(), strict=False):
        compared.append(pair)
        if pair[0] != pair[1]:
            return compared, UNRELATED
    compared.append((fact.relation, asked[1]))
    if fact.relation != asked[1]:
        return compared, SAME_SUBJECT
    if reference is None:
        return compared, ANSWERS
    compared.append((fact.value, reference))
    return compared, HOLDS_REFERENCE if fact.value == reference else OTHER_VALUE


def true_grade(query: str, contents: str, reference: str | None = None) -> int:
    """The grade of a passage for a query, given the sub-answer if there is one."""
    return comparison(query, contents, reference)[1]
