"""Selection (B6) against a brute-force version, and lazy GAC (B5) against the exhaustive one."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.gac.rollouts import by_levels, levels
from stages.params import CorrectnessMode
from stages.selection.rule import FEW_NEGATIVES, NO_CORRECT, NO_RELEVANT, Rule, select

CANDIDATES = [f"p{number}" for number in range(20)]
RULE = Rule(threshold=60, max_positives=3, negatives=15)
LABELS = st.dictionaries(
    st.sampled_from(CANDIDATES),
    st.tuples(st.sampled_from([0, 40, 59, 60, 61, 80, 100]), st.sampled_from([0, 0, 1])),
)


def complete(labels):
    """LR and GAC of all candidates, where those that are not drawn are neither."""
    lr = {c: labels.get(c, (0, 0))[0] for c in CANDIDATES}
    gac = {c: labels.get(c, (0, 0))[1] for c in CANDIDATES}
    return lr, gac


def brute_force(lr, gac, rule, seed):
    """The rule as it is written: sort by (GAC desc, LR desc), look at the top."""
    ranked = sorted(enumerate(CANDIDATES), key=lambda item: (-gac[item[1]], -lr[item[1]], item[0]))
    ranked = [candidate for _, candidate in ranked]
    top = ranked[0]
    if gac[top] != 1 or lr[top] < rule.threshold:
        return None
    tied = [c for c in ranked if (gac[c], lr[c]) == (gac[top], lr[top])]
    pool = sorted(set(CANDIDATES) - set(tied), key=CANDIDATES.index)
    if len(pool) < rule.negatives:
        return None
    return tied[: rule.max_positives], tied, random.Random(seed).sample(pool, rule.negatives)


@given(LABELS, st.integers(0, 9), st.integers(0, 9))
def test_selection_is_the_rule_as_written(labels, seed, negatives):
    lr, gac = complete(labels)
    rule = Rule(60, 3, 11 + negatives)
    found = select(CANDIDATES, lr, gac, rule, seed)
    expected = brute_force(lr, gac, rule, seed)
    if expected is None:
        assert found.dropped and not found.positives and not found.negatives
    else:
        assert (found.positives, found.tied, found.negatives) == expected
        assert found.dropped is None


@settings(max_examples=300)
@given(st.lists(LABELS, min_size=1, max_size=4))
def test_lazy_levels_give_the_selection_of_all_rollouts(queries):
    """Several queries in the same waves: selections equal, and never more evaluated."""
    labelled = {f"q{number}": complete(labels) for number, labels in enumerate(queries)}

    def gac(mode):
        plans = {q: levels(CANDIDATES, lr, mode, 60) for q, (lr, _) in labelled.items()}
        return by_levels(plans, lambda asked: [labelled[q][1][passage] for q, passage in asked])

    lazy, exhaustive = gac(CorrectnessMode.lazy), gac(CorrectnessMode.exhaustive)
    for query, (lr, truth) in labelled.items():
        assert exhaustive[query] == truth
        assert lazy[query].items() <= truth.items()
        assert select(CANDIDATES, lr, lazy[query], RULE, 7) == select(
            CANDIDATES, lr, exhaustive[query], RULE, 7
        )


@given(LABELS)
def test_without_relevance_lazy_evaluates_all(labels):
    _, gac = complete(labels)
    plan = levels(CANDIDATES, None, CorrectnessMode.lazy, 60)
    assert plan == [CANDIDATES]
    found = select(CANDIDATES, None, gac, RULE, 0)
    correct = [c for c in CANDIDATES if gac[c]]
    assert found.tied == (correct if found.dropped != NO_CORRECT else [])
    assert (found.dropped == NO_CORRECT) == (not correct)
    assert (found.dropped == FEW_NEGATIVES) == (len(correct) > 5)


@given(LABELS)
def test_without_correctness_relevance_decides(labels):
    lr, _ = complete(labels)
    found = select(CANDIDATES, lr, None, RULE, 0)
    best = max(lr.values())
    if best < 60:
        assert found.dropped == NO_RELEVANT
    else:
        assert found.tied == [c for c in CANDIDATES if lr[c] == best]


def test_levels_descend_to_the_threshold_in_rank_order():
    lr = {"a": 60, "b": 90, "c": 59, "d": 90, "e": 60}
    assert levels(list("abcde"), lr, CorrectnessMode.lazy, 60) == [["b", "d"], ["a", "e"]]
    assert levels(list("abcde"), lr, CorrectnessMode.exhaustive, 60) == [list("abcde")]
    assert levels(list("abcde"), lr, CorrectnessMode.off, 60) == []


def test_cheaper_levels_are_cut_by_grade_then_rank():
    lr = {"a": 60, "b": 90, "c": 59, "d": 90, "e": 60}
    lazy = CorrectnessMode.lazy
    assert levels(list("abcde"), lr, lazy, 60, top=3) == [["b", "d"], ["a"]]
    assert levels(list("abcde"), lr, lazy, 60, whole_levels=False) == [["b"], ["d"], ["a"], ["e"]]
    assert levels(list("abcde"), lr, lazy, 60, top=1, whole_levels=False) == [["b"]]
    assert levels(list("abcde"), None, lazy, 60, top=2) == [["a", "b"]]
    likelihood, predicted = CorrectnessMode.likelihood, CorrectnessMode.predicted
    assert levels(list("abcde"), lr, likelihood, 60) == [["b", "d", "a", "e"]]
    assert levels(list("ab"), {"a": 1, "b": 2}, likelihood, 60) == []
    assert levels(list("abcde"), lr, predicted, 60) == [list("abcde")]


@given(LABELS)
def test_one_at_a_time_takes_the_fewest_rollouts_and_one_positive(labels):
    lr, gac = complete(labels)

    def evaluated(**options):
        plans = {"q": levels(CANDIDATES, lr, CorrectnessMode.lazy, 60, **options)}
        return by_levels(plans, lambda asked: [gac[passage] for _, passage in asked])["q"]

    one, whole = evaluated(whole_levels=False), evaluated()
    ranked = sorted((c for c in CANDIDATES if lr[c] >= 60), key=lambda c: -lr[c])
    right = [c for c in ranked if gac[c]]
    assert list(one) == (ranked[: ranked.index(right[0]) + 1] if right else ranked)
    assert one.items() <= whole.items() and sum(one.values()) == bool(right)
    found = select(CANDIDATES, lr, one, RULE, 7)
    assert found.dropped == FEW_NEGATIVES or found.positives == right[:1]


def test_evaluation_stops_at_the_first_level_that_is_right():
    waves = []

    def evaluate(asked):
        waves.append(asked)
        return [int(passage == "b") for _, passage in asked]

    planned = []
    plans = {"one": [["a"], ["b", "c"], ["d"]], "two": [["x"], ["y"]], "none": []}
    scores = by_levels(plans, evaluate, planned.append)
    assert scores == {"one": {"a": 0, "b": 1, "c": 0}, "two": {"x": 0, "y": 0}, "none": {}}
    assert waves == [
        [("one", "a"), ("two", "x")],
        [("one", "b"), ("one", "c"), ("two", "y")],
    ]
    assert planned == [6, 4]


def test_ties_beyond_the_limit_are_neither_positives_nor_negatives():
    lr = dict.fromkeys(CANDIDATES, 10) | dict.fromkeys(CANDIDATES[4:9], 80)
    found = select(CANDIDATES, lr, dict.fromkeys(CANDIDATES, 1), RULE, 0)
    assert found.positives == ["p4", "p5", "p6"]
    assert found.tied == ["p4", "p5", "p6", "p7", "p8"]
    assert len(set(found.negatives)) == 15 and not set(found.negatives) & set(found.tied)


def test_correct_below_the_threshold_gives_nothing():
    lr = dict.fromkeys(CANDIDATES, 0) | {"p0": 90, "p1": 59}
    gac = dict.fromkeys(CANDIDATES, 0) | {"p1": 1}
    assert select(CANDIDATES, lr, gac, RULE, 0).dropped == NO_CORRECT


@pytest.mark.parametrize("seed", range(3))
def test_the_draw_depends_on_the_seed_alone(seed):
    lr = dict.fromkeys(CANDIDATES, 0) | {"p0": 90}
    first, again = (select(CANDIDATES, lr, None, RULE, seed).negatives for _ in range(2))
    assert first == again != select(CANDIDATES, lr, None, RULE, seed + 1).negatives
