"""Selection (B6) against a brute-force version, and lazy GAC (B5) against the exhaustive one."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.common.records import write_jsonl
from stages.common.visits import QueryVisits
from stages.gac.rollouts import by_levels, levels
from stages.params import CorrectnessMode, Pairs, PairSource, Params
from stages.plumbing.errors import InputError
from stages.selection.instances import LabelFiles, SelectionCounts, selected
from stages.selection.rule import (
    FEW_NEGATIVES,
    NO_CORRECT,
    NO_RELEVANT,
    NO_VISIT,
    NOT_DRAWN,
    NOTHING_SHOWN,
    WRONG_ANSWER,
    Selection,
    select,
    select_observed,
    select_ranked,
)

CANDIDATES = [f"p{number}" for number in range(20)]
SHOWN = CANDIDATES[:3]
RULE = Pairs(threshold=60, max_positives=3, negatives=15)
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
    rule = Pairs(60, 3, 11 + negatives)
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


# by what the agent did


def by(source: str, **values) -> Pairs:
    return Pairs(**{"source": PairSource[source], "negatives": 15, **values})


def seen(*visits: str, em: int = 1, shown=SHOWN) -> QueryVisits:
    return QueryVisits("q#0", em, list(shown), list(visits))


def test_a_visit_in_a_right_trajectory_is_the_positive_and_the_rest_of_the_list_negative():
    exact = select_observed(CANDIDATES, seen("p1"), by("visits", negatives=2), 0)
    assert exact == Selection(["p1"], ["p1"], ["p0", "p2"], visited=True)
    filled = select_observed(CANDIDATES, seen("p1"), by("visits"), 0)
    assert filled.negatives[:2] == ["p0", "p2"] and len({*filled.negatives}) == 15
    assert "p1" not in filled.negatives and {*filled.negatives} < {*CANDIDATES}
    other = select_observed(CANDIDATES, seen("p1"), by("visits"), 1)
    assert other.negatives[:2] == ["p0", "p2"] and other != filled
    one = select_observed(CANDIDATES, seen("p1"), by("visits", negatives=1), 0)
    assert one.negatives == ["p0"]


def test_two_visits_are_two_positives_and_neither_is_a_negative():
    found = select_observed(CANDIDATES, seen("p0", "p2"), by("visits"), 0)
    assert found.positives == found.tied == ["p0", "p2"] and found.negatives[0] == "p1"
    assert not {"p0", "p2"} & {*found.negatives}
    cut = select_observed(CANDIDATES, seen("p0", "p2"), by("visits", max_positives=1), 0)
    assert cut.positives == ["p0"] and cut.tied == ["p0", "p2"]


def test_a_visit_beyond_the_candidates_is_a_positive_all_the_same():
    found = select_observed(CANDIDATES, seen("x", shown=["x", "y"]), by("visits"), 0)
    assert found.positives == ["x"] and found.negatives[0] == "y"


@pytest.mark.parametrize(
    ("source", "row", "reason"),
    [
        ("visits", seen("p1", em=0), WRONG_ANSWER),
        ("visits", seen(), NO_VISIT),
        ("random_shown", seen(shown=[]), NOTHING_SHOWN),
    ],
)
def test_a_query_without_a_usable_visit_gives_nothing_and_says_why(source, row, reason):
    found = select_observed(CANDIDATES, row, by(source), 0)
    assert found.dropped == reason and not found.positives and not found.negatives
    few = select_observed(CANDIDATES[:9], seen("p1"), by(source), 0)
    assert few.dropped == FEW_NEGATIVES


@given(LABELS, st.integers(0, 9))
def test_a_visit_that_gac_would_choose_gives_gacs_own_selection(labels, seed):
    lr, gac = complete(labels)
    chosen = select(CANDIDATES, lr, gac, RULE, seed)
    rule = by("visits_then_gac", max_positives=20)
    assert select_observed(CANDIDATES, seen(), rule, seed) is None
    assert select_observed(CANDIDATES, seen("p1", em=0), rule, seed) is None
    if chosen.dropped is None:
        visits = select_observed(CANDIDATES, seen(*chosen.tied, shown=CANDIDATES), rule, seed)
        assert (visits.tied, visits.negatives) == (chosen.tied, chosen.negatives)
        assert visits.visited and not chosen.visited


def test_a_random_positive_is_any_that_was_shown_by_the_seed():
    def drawn(seed, **row):
        return select_observed(CANDIDATES, seen(**row), by("random_shown"), seed)

    found = [drawn(seed).positives[0] for seed in range(300)]
    assert {*found} == {*SHOWN} and all(80 < found.count(one) < 120 for one in SHOWN)
    assert drawn(3) == drawn(3) and drawn(3, em=0).positives == drawn(3).positives
    assert {*drawn(3).negatives[:2]} == {*SHOWN} - {*drawn(3).positives}


def ranked_by_hand(lr, em, negatives):
    """AgentIR's rule as it is written, with a place for equal grades: (positives, negatives)."""
    if not em:
        return [], []
    order = [c for grade in range(100, -1, -1) for c in CANDIDATES if lr[c] == grade]
    below = [c for c in order if lr[c] < lr[order[0]]]
    last = [c for n, c in enumerate(below) if len(below) - n <= negatives]
    return ([order[0]], last) if len(last) == negatives else ([], [])


@given(LABELS, st.integers(0, 1), st.integers(1, 9))
def test_the_judges_ranking_gives_its_first_and_its_last(labels, em, negatives):
    lr, _ = complete(labels)
    found = select_ranked(CANDIDATES, lr, seen(em=em), by("judge_ranking", negatives=negatives))
    assert (found.positives, found.negatives) == ranked_by_hand(lr, em, negatives)
    assert bool(found.dropped) == (not found.positives)


def test_a_ranking_written_out():
    lr = dict.fromkeys(CANDIDATES, 40) | {"p3": 90, "p7": 90, "p1": 10, "p9": 20, "p12": 10}
    rule = by("judge_ranking", negatives=5)
    found = select_ranked(CANDIDATES, lr, seen(), rule)
    assert found == Selection(["p3"], ["p3", "p7"], ["p18", "p19", "p9", "p1", "p12"])
    assert select_ranked(CANDIDATES, lr, seen(em=0), rule).dropped == WRONG_ANSWER
    low = {c: min(grade, 10) for c, grade in lr.items()}
    assert select_ranked(CANDIDATES, low, seen(), rule).dropped == FEW_NEGATIVES, "no ranking"
    counts = SelectionCounts(rule)
    counts.add(found)
    assert counts.metrics()["ties_cut"] == 1 and counts.metrics()["instances"] == 1


@pytest.fixture
def files(tmp_path):
    """Ten queries of 20 candidates: the first shown is right in all, and used in the first six, of
    which the sixth ended wrong."""
    paths = [tmp_path / f"{name}.jsonl" for name in ("candidates", "lr", "gac", "visits")]
    rows = [[], [], [], []]
    for n in range(10):
        query = {"id": f"q{n}#0", "question_id": f"q{n}", "turn": 0, "question": "a", "query": "b"}
        hits = [{"id": each, "score": 1.0} for each in CANDIDATES]
        rows[0].append(query | {"history": [], "thought": "", "candidates": hits})
        rows[1].append({"id": f"q{n}#0", "scores": dict.fromkeys(CANDIDATES, 0) | {"p0": 90}})
        rows[2].append({"id": f"q{n}#0", "scores": {"p0": 1} if n > 4 else {}})
        used = ["p0"] if n < 6 else []
        rows[3].append({"id": f"q{n}#0", "em": int(n != 5), "shown": SHOWN, "visits": used})
        rows[3][-1]["reasoning"] = n
    for path, each in zip(paths, rows, strict=True):
        write_jsonl(path, each)
    return LabelFiles(*paths)


def counted(files, rule) -> tuple[list, dict]:
    """Which queries give a pair, and the counts."""
    counts, kept = SelectionCounts(rule), []
    for query, *_, selection in selected(files, Params(pairs=rule), "1"):
        counts.add(selection)
        kept += [query.id] if selection.positives else []
    found = counts.metrics()
    assert found["in"] == found["out"] + sum(found["dropped"].values()) and found["in"] == 10
    return kept, found


def test_what_each_source_drops_is_counted(files):
    kept, found = counted(files, by("visits"))
    assert kept == [f"q{n}#0" for n in range(5)] and found["visited"] == 5
    assert found["dropped"] == {WRONG_ANSWER: 1, NO_VISIT: 4, FEW_NEGATIVES: 0}
    kept, found = counted(files, by("visits_then_gac"))
    assert len(kept) == 10 and (found["out"], found["visited"]) == (10, 5)
    kept, found = counted(files, by("random_shown"))
    assert len(kept) == 10 and "visited" not in found
    kept, found = counted(files, by("judge_ranking", negatives=7))
    assert kept == [f"q{n}#0" for n in range(10) if n != 5] and "visited" not in found
    assert found["dropped"] == {WRONG_ANSWER: 1, FEW_NEGATIVES: 0} and found["instances"] == 9
    kept, found = counted(files, by("gac"))
    assert kept == [f"q{n}#0" for n in range(5, 10)] and "visited" not in found
    assert list(found["dropped"]) == [NO_RELEVANT, NO_CORRECT, FEW_NEGATIVES]


def test_exactly_so_many_instances_are_drawn_and_more_contain_fewer(files):
    every = [counted(files, by("random_shown", instances=n)) for n in (3, 7, 10)]
    assert [found["instances"] for _, found in every] == [3, 7, 10]
    assert [found["dropped"][NOT_DRAWN] for _, found in every] == [7, 3, 0]
    assert {*every[0][0]} < {*every[1][0]} < {*every[2][0]}
    assert every[0] == counted(files, by("random_shown", instances=3))
    with pytest.raises(InputError, match=r"pairs@1: 5 instances, fewer than 'pairs.instances' \(6"):
        counted(files, by("visits", instances=6))


def test_visits_of_another_run_are_refused(files, tmp_path):
    write_jsonl(tmp_path / "visits.jsonl", [])
    with pytest.raises(InputError, match=r"visits\.jsonl: 'q0#0' is not in the file"):
        counted(files, by("visits"))
    counted(files, by("gac"))
