"""What supports a question, as public data sets name it: the titles of its passages."""

from __future__ import annotations

from dataclasses import dataclass

SUPPORT = ("supporting_facts", "question_decomposition", "paragraphs")  # keys of a data set


@dataclass(frozen=True)
class Support:
    """Titles of the passages that support a question, or None where none is named; `unread` facts,
    steps or paragraphs should have named one.
    """

    titles: list[str] | None
    unread: int = 0


def with_support(row: dict) -> dict:
    """The row of a question with what supports it in its `metadata`, where it stood beside it."""
    metadata = {} if row.get("metadata") is None else row["metadata"]
    beside = {key: row[key] for key in SUPPORT if row.get(key)}
    if not beside or not isinstance(metadata, dict):
        return row
    told = {key: value for key, value in metadata.items() if value or key not in beside}
    kept = {key: value for key, value in row.items() if key not in beside}
    return kept | {"metadata": beside | told}


def read_support(metadata: dict) -> Support:
    """What supports a question: titles in the order of its hops where the data set gives one.

    It is told as `supporting_titles`; as HotpotQA's and 2WikiMultihopQA's `supporting_facts` (two
    lists in an object, or a list of titles, of objects with a title, or of pairs of title and
    sentence); as MuSiQue's `question_decomposition`, a step a hop, each with its paragraph or the
    place of that among `paragraphs`; or as `paragraphs` with `is_supporting`. What is empty is
    passed over. Where a step has no title none is taken: another hop would stand for it.
    """
    if metadata.get("supporting_titles") is not None:
        return Support(metadata["supporting_titles"])
    paragraphs = metadata.get("paragraphs")
    paragraphs = paragraphs if isinstance(paragraphs, list) else []
    facts, unread = _texts(_facts(metadata.get("supporting_facts")))
    if facts:
        return Support(list(dict.fromkeys(facts)), unread)
    steps = metadata.get("question_decomposition") or []
    told = [_title(s, paragraphs) for s in steps] if isinstance(steps, list) else [None]
    hops, untold = _texts(told)
    if hops:
        return Support(None if untold else hops, unread + untold)
    marked = [p for p in paragraphs if isinstance(p, dict) and p.get("is_supporting") is True]
    titles, nameless = _texts([p.get("title") for p in marked])
    if titles:
        return Support(list(dict.fromkeys(titles)), unread + nameless)
    return Support(None, unread + untold + nameless)


def _facts(facts: object) -> list:
    """What should be the titles of supporting facts."""
    if not facts:
        return []
    if isinstance(facts, dict):
        titles = facts.get("title")
        return list(titles) if isinstance(titles, list | tuple) else [titles]
    return [_of_fact(fact) for fact in facts] if isinstance(facts, list | tuple) else [None]


def _of_fact(fact: object) -> object:
    if isinstance(fact, dict):
        return fact.get("title")
    return fact[0] if isinstance(fact, list | tuple) and fact else fact


def _texts(titles: list) -> tuple[list[str], int]:
    """Those that are titles, and how many are not."""
    texts = [title for title in titles if isinstance(title, str) and title.strip()]
    return texts, len(titles) - len(texts)


def _title(step: object, paragraphs: list) -> object:
    """The title of the paragraph that one step of a decomposition needs."""
    step = step if isinstance(step, dict) else {}
    paragraph, place = step.get("support_paragraph"), step.get("paragraph_support_idx")
    if paragraph is None and place is not None:
        numbered = (pair for pair in enumerate(paragraphs) if isinstance(pair[1], dict))
        named = [p for n, p in numbered if _number(p.get("idx", n)) == _number(place)]
        paragraph = named[0] if named else None
    return paragraph.get("title") if isinstance(paragraph, dict) else None


def _number(place: object) -> str:
    """A number as JSON, a text or a table (as a float) holds it."""
    return str(place).strip().removesuffix(".0")
