"""GAC as a classifier predicts it: on what it can learn, and on what it cannot."""

import random

import pytest

from stages.errors import InputError
from stages.labels.prediction import features, predict, sampled
from stages.records import Passage

JOBS = {"tower": "architect", "film": "director", "drug": "chemist", "song": "singer"}
PASSAGES = {
    f"{job}{number}": Passage(f"{job}{number}", "", f"The {job} Bo{number} lives here.")
    for job in JOBS.values()
    for number in range(5)
}


def toy(queries: int) -> tuple[list[dict], dict, dict]:
    """Which job is right is said by the question alone: candidates, LR without use, the truth."""
    draw, rows, relevance, truth = random.Random(0), [], {}, {}
    for number in range(queries):
        thing = draw.choice(list(JOBS))
        ids = draw.sample(sorted(PASSAGES), 10)
        row = {"id": f"q{number}", "question": f"Who made the {thing}?", "query": "who made it"}
        rows.append(row | {"candidates": [{"id": i, "score": 0.5} for i in ids]})
        relevance[row["id"]] = dict.fromkeys(ids, 80)
        truth[row["id"]] = {i: int(i.startswith(JOBS[thing])) for i in ids}
    return rows, relevance, truth


def test_the_predictor_learns_which_words_go_together():
    rows, relevance, truth = toy(60)
    known = {query: truth[query] for query in sampled(truth, 0.4, 0, "x")}
    found = predict(rows, relevance, known, PASSAGES)
    assert list(found) == [row["id"] for row in rows]
    assert found == truth
    assert found == predict(rows, relevance, known, PASSAGES)


def test_features_say_what_is_known_before_a_rollout():
    rows, relevance, _ = toy(1)
    first, *_, last = features(rows[0], relevance["q0"], PASSAGES)
    assert (first["lr"], first["score"], first["rank"], last["rank"]) == (0.8, 0.5, 0.0, 0.9)
    assert first["of_question"] == 0.25 and first["made lives"] == 1.0  # "the", of four words
    assert next(features(rows[0], None, PASSAGES))["lr"] == 0.0


@pytest.mark.parametrize("gac", [0, 1])
def test_one_class_teaches_nothing(gac):
    rows, relevance, truth = toy(4)
    known = {"q0": dict.fromkeys(truth["q0"], gac)}
    with pytest.raises(InputError, match=rf"'correctness\.sample': GAC is {gac} for all 10"):
        predict(rows, relevance, known, PASSAGES)


def test_the_sample_is_a_share_that_the_seed_draws():
    queries = [f"q{number}" for number in range(40)]
    chosen = sampled(queries, 0.1, 0, "correctness", "1")
    assert len(chosen) == 4 and chosen == sampled(queries[::-1], 0.1, 0, "correctness", "1")
    assert chosen != sampled(queries, 0.1, 1, "correctness", "1")
    assert len(sampled(queries, 0.001, 0)) == 1
