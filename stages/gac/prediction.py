"""GAC as a small classifier predicts it, which rollouts of a share of the queries have taught.

Its features are what is known before any rollout: LR, the retriever's score and rank, the words
that the passage shares with question and query, and what the trajectory tells, which was one
rollout from the same place: whether it ended right, whether the passage was shown in it, how much
of the passage its next turn repeats, and whether the passage holds the gold answer. (Words of the
question crossed with words of the passage were tried beside these: with a tenth of the queries to
learn from they made the prediction worse.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from stages.common.queries import ranked_ids
from stages.common.records import Passage
from stages.common.seeds import seed_of
from stages.plumbing.errors import InputError

Scores = dict[str, dict[str, int]]  # GAC by query and passage


def sampled(queries: Iterable[str], share: float, seed: int, *names: object) -> set[str]:
    """The ids whose GAC comes from rollouts: a `share` of `queries`, at least one."""
    lucky = sorted(queries, key=lambda query: seed_of(seed, *names, query))
    return set(lucky[: max(1, round(share * len(lucky)))])


def features(
    row: dict, relevance: dict[str, int] | None, trajectory: dict, passages: dict[str, Passage]
) -> list[list[float]]:
    """The features of each candidate of a candidates row, in rank order; without LR it is 0."""
    question, query = _words(row["question"]), _words(row["query"])
    turn, *later = trajectory["turns"][row["turn"] :]
    repeated = _words(later[0]["text"]) if later else set()
    golden = [_words(gold) for gold in trajectory["golden_answers"] if gold.strip()]
    shown = {passage["id"] for passage in turn["passages"]}
    right = float(trajectory["em"])
    found = []
    for rank, candidate in enumerate(row["candidates"]):
        words = _words(passages[candidate["id"]].text)
        lr = relevance[candidate["id"]] / 100 if relevance else 0.0
        said = _share(words, repeated)
        found.append(
            [
                *(lr, lr * right, right, said, said * right),
                *(candidate["score"], rank / len(row["candidates"])),
                *(_share(question, words), _share(query, words)),
                *(float(candidate["id"] in shown), float(any(gold <= words for gold in golden))),
            ]
        )
    return found


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def _share(words: set[str], others: set[str]) -> float:
    return len(words & others) / max(1, len(words))


def predict(queries: list[dict], known: Scores, table: dict[str, list[list[float]]]) -> Scores:
    """GAC of all candidates of `queries`: as `known`, by query id, or the likelier class.

    `table` has the features of each query. Logistic regression by liblinear, whose result depends
    on neither threads nor chance. InputError if what is known is of one class.
    """
    if not queries:
        return {}
    from sklearn.linear_model import LogisticRegression

    taught = [row for row in queries if row["id"] in known]
    labels = [known[row["id"]][i] for row in taught for i in ranked_ids(row)]
    if len(set(labels)) < 2:
        raise InputError(
            f"'correctness.sample': GAC is {labels[0]} for all {len(labels)} candidates of the "
            "sampled queries, so nothing can be learned from them: draw a larger share"
        )
    model = LogisticRegression(solver="liblinear", random_state=0)
    model.fit([candidate for row in taught for candidate in table[row["id"]]], labels)
    scores = {}
    for row in queries:
        scores[row["id"]] = known.get(row["id"])
        if scores[row["id"]] is None:
            told = map(int, model.predict(table[row["id"]]))
            scores[row["id"]] = dict(zip(ranked_ids(row), told, strict=True))
    return scores
