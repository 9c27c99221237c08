import random

import pytest
from rows import prediction, set_metrics
from scipy.stats import ttest_1samp

from stages.evaluation.bearing import first_hits, normal_text, within
from stages.evaluation.recall import first_query_recall

SUPPORT = [[["a"], ["b", "c"]], [["d"]]]  # a question of two hops, one of one hop
RANKINGS = [[["x", "a"], ["y", "z"], ["c"]], [["d", "e"]]]


def recalled(support: list, rankings: list, k: int) -> dict:
    """The figures of questions whose hops and rankings these are, of which `k` passages a query are
    looked at."""
    rows = [
        prediction(str(number), *map(searched, asked), supporting_ids=hops)
        for number, (hops, asked) in enumerate(zip(support, rankings, strict=True))
    ]
    found = set_metrics(rows, recall_at=[k], shown=k)
    assert found["first_query_recall"][str(k)] == first_query_recall(support, rankings, k)
    return found


def searched(ranking: list[str]) -> dict:
    return {"query": "q", "ranked": ranking}


def test_a_hop_is_looked_for_in_the_query_of_its_turn():
    assert recalled(SUPPORT, RANKINGS, 1)["recall"] == {"1": 1 / 3}, "d alone is first"
    found = recalled(SUPPORT, RANKINGS, 2)["recall"]
    assert found == {"2": 2 / 3}, "c came with the third query, not the second"


def test_a_turn_without_a_query_is_a_miss():
    assert recalled([[["a"], ["b"]]], [[["a"]]], 5)["recall"] == {"5": 1 / 2}
    assert recalled([[["a"]]], [[]], 5)["recall"] == {"5": 0}


def test_found_looks_at_every_query_and_first_at_one():
    found = recalled(SUPPORT, RANKINGS, 2)
    assert found["found"] == 1 and found["first_query_recall"] == {"2": 2 / 3}


def test_without_supporting_passages_there_is_no_recall():
    found = recalled([[], []], [[["a"]], []], 3)
    assert found["recall"] == found["first_query_recall"] == {"3": None} and found["found"] is None


@pytest.mark.parametrize(
    ("gold", "contents", "held"),
    [
        ("Pobiton", "Fomiman\nThe artist lives in pobiton.", True),
        ("Pob", "Fomiman\nThe artist lives in Pobiton.", False),  # words, not letters
        ("the U.S. Navy", '"US Navy"\nA fleet.', True),  # a title counts, punctuation does not
        ("Navy US", "the US Navy", False),  # one after the other
        ("1,000", "about 1000 ships", True),
        ("Zürich", "in Zürich.", True),
    ],
)
def test_a_gold_answer_is_in_a_passage_as_em_reads_both(gold, contents, held):
    passages = {"a": normal_text("nothing"), "b": normal_text(contents)}
    assert first_hits([gold, "no"], [["a"], ["a", "b"]], passages) == [None, 1 if held else None]
    assert within([None, 1 if held else None], 2) is held and not within([None, 1], 1)


@pytest.mark.parametrize("golds", [["yes"], ["No."], ["The"], []])
def test_no_passage_holds_an_answer_that_is_no_name(golds):
    assert first_hits(golds, [["a"]], {"a": normal_text("Yes, no: the end")}) is None


def test_an_interval_of_one_run_is_over_fact_chains_or_else_over_questions():
    em = [int(random.Random(n).random() < 0.6) for n in range(60)]
    rows = [prediction(str(n), em=value) for n, value in enumerate(em)]
    found = set_metrics(rows)
    ends = ttest_1samp(em, 0).confidence_interval()
    assert [found["em_low"], found["em_high"]] == pytest.approx([*ends]), "no passage is named"
    for n, row in enumerate(rows):
        row.supporting_ids = [[f"p{n % 20}"], ["shared"]]
    means = [(em[n] + em[n + 20] + em[n + 40]) / 3 for n in range(20)]
    found, ends = set_metrics(rows), ttest_1samp(means, 0).confidence_interval()
    assert [found["em_low"], found["em_high"]] == pytest.approx([*ends])


def test_an_interval_stays_where_figures_can_be():
    found = set_metrics([prediction(str(n), em=int(n > 0), f1=1.0, answer="a") for n in range(6)])
    assert found["em_high"] == 1 and 0 < found["em_low"] < found["em"]
    assert (found["f1_low"], found["f1_high"]) == (1, 1)
    alone = set_metrics(
        [prediction(n, em=1, f1=1.0, answer="a", supporting_ids=[["p"]]) for n in "ab"]
    )
    ends = (alone["em_low"], alone["em_high"], alone["searches_low"], alone["searches_high"])
    assert ends == (0, 1, 0, 4), "one chain says nothing of others"
