"""GAC as a small classifier predicts it, which rollouts of a share of the queries have taught.

Its features are what is known before any rollout: LR, the retriever's score and rank, how many
words query and question share with the passage, and every pair of a word of the question and a
word of the passage (hashed), so that it can learn which words of a question call for which
passages.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from stages.errors import InputError
from stages.labels.queries import ranked_ids
from stages.records import Passage
from stages.seeds import seed_of

HASHED = 2**18  # features
Features = dict[str, float]


def sampled(queries: Iterable[str], share: float, seed: int, *names: object) -> set[str]:
    """The ids whose GAC comes from rollouts: a `share` of `queries`, at least one."""
    lucky = sorted(queries, key=lambda query: seed_of(seed, *names, query))
    return set(lucky[: max(1, round(share * len(lucky)))])


def features(
    row: dict, relevance: dict[str, int] | None, passages: dict[str, Passage]
) -> Iterator[Features]:
    """The features of each candidate of a candidates row, in rank order; without LR it is 0."""
    question, query = _words(row["question"]), _words(row["query"])
    for rank, candidate in enumerate(row["candidates"]):
        passage = _words(passages[candidate["id"]].text)
        found = {
            "lr": relevance[candidate["id"]] / 100 if relevance else 0.0,
            "score": candidate["score"],
            "rank": rank / len(row["candidates"]),
            "of_question": _share(question, passage),
            "of_query": _share(query, passage),
        }
        yield found | {f"{asked} {told}": 1.0 for asked in question for told in passage}


def _words(text: str) -> list[str]:
    """Distinct words in a fixed order."""
    return sorted(set(re.findall(r"\w+", text.lower())))


def _share(words: list[str], passage: list[str]) -> float:
    return len(set(words) & set(passage)) / max(1, len(words))


def predict(
    queries: list[dict],
    relevance: dict[str, dict[str, int] | None],
    known: dict[str, dict[str, int]],
    passages: dict[str, Passage],
) -> dict[str, dict[str, int]]:
    """GAC of all candidates of `queries`: as `known`, by query id, or the likelier class.

    Logistic regression by liblinear, whose result depends on neither threads nor chance. InputError
    if what is known is of one class.
    """
    from sklearn.feature_extraction import FeatureHasher
    from sklearn.linear_model import LogisticRegression

    labels = [known[r["id"]][i] for r in queries if r["id"] in known for i in ranked_ids(r)]
    if len(set(labels)) < 2:
        raise InputError(
            f"'correctness.sample': GAC is {labels[0]} for all {len(labels)} candidates of the "
            "sampled queries, so nothing can be learned from them: draw a larger share"
        )

    hasher = FeatureHasher(HASHED)

    def hashed(rows: list[dict]):
        return hasher.transform(f for r in rows for f in features(r, relevance[r["id"]], passages))

    model = LogisticRegression(solver="liblinear", random_state=0)
    model.fit(hashed([row for row in queries if row["id"] in known]), labels)
    scores = {}
    for row in queries:
        scores[row["id"]] = known.get(row["id"])
        if scores[row["id"]] is None:
            told = map(int, model.predict(hashed([row])))
            scores[row["id"]] = dict(zip(ranked_ids(row), told, strict=True))
    return scores
