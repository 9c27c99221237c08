"""The grades a perfect judge of local relevance would give (Agentic-R, step B4).

Local relevance sees one query and one passage, so the passages of all namesakes are relevant to
"where was Soman born"; only the answer's correctness tells them apart (step B5).
"""

from stages.world.facts import read_fact, read_query

HOLDS_REFERENCE, ANSWERS, OTHER_VALUE, SAME_SUBJECT, UNRELATED = 100, 90, 80, 40, 0


def grade(query: str, contents: str, reference: str | None = None) -> int:
    """The grade (0..100) of a passage for a query, given the sub-answer if there is one."""
    asked, fact = read_query(query), read_fact(contents)
    if asked is None or fact is None:
        return UNRELATED
    if asked == (fact.subject, fact.relation):
        if reference is None:
            return ANSWERS
        return HOLDS_REFERENCE if reference == fact.value else OTHER_VALUE
    return SAME_SUBJECT if asked[0] in (fact.subject, fact.value) else UNRELATED
