"""GAC as a classifier predicts it: on what it can learn, and on what it cannot."""

import random

import pytest

from stages.common.records import Passage
from stages.gac.prediction import features, predict, sampled
from stages.plumbing.errors import InputError

PASSAGES = {f"p{n}": Passage(f"p{n}", "", f"The architect Bo{n} lives in C{n}.") for n in range(9)}


def toy(queries: int) -> tuple[list[dict], dict, dict]:
    """GAC is 1 where the trajectory ended right and LR is high: candidates, features, the truth."""
    draw, rows, table, truth = random.Random(0), [], {}, {}
    for number in range(queries):
        row = {"id": f"q{number}", "question": "Where?", "query": "where", "turn": 0}
        row["candidates"] = [{"id": i, "score": 0.5} for i in draw.sample(sorted(PASSAGES), 6)]
        turn = {"text": "", "query": "where", "passages": []}
        told = {"turns": [turn], "golden_answers": ["X"], "em": number % 2}
        lr = {c["id"]: draw.choice((0, 20, 80, 100)) for c in row["candidates"]}
        rows.append(row)
        table[row["id"]] = features(row, lr, told, PASSAGES)
        truth[row["id"]] = {i: int(told["em"] and lr[i] > 50) for i in lr}
    return rows, table, truth


def test_the_predictor_learns_what_separates():
    rows, table, truth = toy(80)
    known = {query: truth[query] for query in sampled(truth, 0.5, 0, "x")}
    found = predict(rows, known, table)
    assert list(found) == [row["id"] for row in rows]
    assert found == truth
    assert found == predict(rows, known, table)


def test_what_is_known_is_kept():
    rows, table, truth = toy(40)
    odd = {i: 1 - gac for i, gac in truth["q1"].items()}
    known = {query: truth[query] for query in sampled(truth, 0.5, 0, "x")} | {"q1": odd}
    assert predict(rows, known, table)["q1"] == odd


def test_features_say_what_is_known_before_a_rollout():
    row = {"question": "Where does the architect live?", "query": "Bo1 lives", "turn": 1}
    row["candidates"] = [{"id": "p1", "score": 0.75}, {"id": "p2", "score": 0.5}]
    turns = [{"text": "first"}, {"text": "second", "passages": [{"id": "p2", "score": 0.5}]}]
    told = {"turns": [*turns, {"text": "architect Bo2 lives in C2"}], "em": 1}
    told["golden_answers"] = [" ", "C1"]
    first, second = features(row, {"p1": 80, "p2": 20}, told, PASSAGES)
    assert first == [0.8, 0.8, 1, 3 / 6, 3 / 6, 0.75, 0.0, 2 / 5, 1.0, 0, 1]
    assert second == [0.2, 0.2, 1, 5 / 6, 5 / 6, 0.5, 0.5, 2 / 5, 0.5, 1, 0]
    wrong = told | {"em": 0, "turns": told["turns"][:2]}
    assert features(row, None, wrong, PASSAGES)[1] == [0, 0, 0, 0, 0, 0.5, 0.5, 2 / 5, 0.5, 1, 0]


@pytest.mark.parametrize("gac", [0, 1])
def test_one_class_teaches_nothing(gac):
    rows, table, truth = toy(4)
    known = {"q0": dict.fromkeys(truth["q0"], gac)}
    with pytest.raises(InputError, match=rf"'correctness\.sample': GAC is {gac} for all 6"):
        predict(rows, known, table)


def test_without_a_query_there_is_nothing_to_predict():
    assert sampled([], 0.5, 0) == set()
    assert predict([], {}, {}) == {}


def test_the_sample_is_a_share_that_the_seed_draws():
    queries = [f"q{number}" for number in range(40)]
    chosen = sampled(queries, 0.1, 0, "correctness", "1")
    assert len(chosen) == 4 and chosen == sampled(queries[::-1], 0.1, 0, "correctness", "1")
    assert chosen != sampled(queries, 0.1, 1, "correctness", "1")
    assert len(sampled(queries, 0.001, 0)) == 1
