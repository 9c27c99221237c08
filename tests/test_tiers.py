"""Negatives by tier from what an agent opened: each rule of the choice, and the files' form."""

from hypothesis import given
from hypothesis import strategies as st

from stages.common.instances import Instance, LabelledPassage, iter_instances
from stages.common.records import write_jsonl
from stages.common.search import SearchRequest
from stages.common.trajectories import Trajectory, Turn
from stages.selection.tiers import reasoning_after, tiered_negatives


def test_what_was_opened_before_comes_first_and_what_was_returned_fills_up():
    visits = {0: ["a"], 1: ["b", "e"], 2: None, 3: ["c"], 4: ["d"], 5: []}
    found = tiered_negatives(3, visits, {(1, "b")}, ["c", "x", "a", "y", "d", "z"], {"c"})
    tiers = {"e": "redundancy", "a": "redundancy", "b": "hard"}
    assert found == tiers | dict.fromkeys("xyz", "weak")
    assert list(found) == ["e", "a", "b", "x", "y", "z"]  # d is opened later, so it is not weak


def test_each_tier_has_its_most_and_all_have_nine():
    visits = {turn: [f"p{turn}"] for turn in range(10)}
    rejected = {(turn, f"p{turn}") for turn in range(5)}
    returned = [f"r{n}" for n in range(20)]
    found = tiered_negatives(9, visits, rejected, returned, {"p9"})
    by_tier = {tier: [p for p in found if found[p] == tier] for tier in found.values()}
    assert by_tier == {  # the latest visits, the best returned
        "redundancy": ["p8", "p7", "p6"],
        "hard": ["p4", "p3", "p2"],
        "weak": ["r0", "r1", "r2"],
    }
    first = tiered_negatives(0, visits, (), returned, {"p0"})
    assert first == dict.fromkeys(returned[:9], "weak")


def test_a_positive_of_the_query_is_no_negative_however_it_was_met():
    """The same query is asked twice: what answered it the first time is not redundant now."""
    visits = {0: ["a"], 1: ["b"], 2: ["c"]}
    found = tiered_negatives(2, visits, {(1, "b")}, ["b", "x", "s"], {"c", "a", "b", "s"})
    assert found == {"x": "weak"}


@given(
    visits=st.dictionaries(
        st.integers(0, 8), st.none() | st.lists(st.sampled_from("abcdefgh"), max_size=2)
    ),
    rejected=st.sets(st.tuples(st.integers(0, 8), st.sampled_from("abcdefgh"))),
    returned=st.lists(st.sampled_from("abcdefghijkl"), max_size=20),
    positives=st.sets(st.sampled_from("abcdefghijkl"), max_size=3),
    turn=st.integers(0, 8),
)
def test_the_tiers_against_their_words(visits, rejected, returned, positives, turn):
    found = tiered_negatives(turn, visits, rejected, returned, positives)
    assert len(found) <= 9 and not positives & set(found)
    for passage, tier in found.items():
        at = [t for t, visited in visits.items() if passage in (visited or ())]
        before = [t for t in at if t < turn]
        if tier == "weak":
            assert not at and passage in returned
        else:
            accepted = any((t, passage) not in rejected for t in before)
            assert before and accepted == (tier == "redundancy")
    never = set(returned) - {p for used in visits.values() for p in used or ()} - positives
    if len(found) < 9:
        assert never <= set(found), "something could have filled up"


def test_reasoning_is_the_next_thought():
    turns = [Turn("", [], thought, "q") for thought in ("find it", "it is  by Raruman", "")]
    told = Trajectory("t", "?", ["a"], turns, None, 0, 0.0, 3, "turns")
    assert [reasoning_after(told, turn) for turn in range(3)] == [4, 0, 0]


def test_a_file_has_tiers_and_reasoning_only_where_there_are_some(tmp_path):
    asked = SearchRequest("Who?", ("before",), "who", "think")
    positive = LabelledPassage("1", "one", 90, None)
    plain = Instance("q#0/0", asked, positive, [LabelledPassage("2", "two")], ["3"])
    assert plain.row() == {
        "id": "q#0/0",
        "question": "Who?",
        "query": "who",
        "history": ["before"],
        "thought": "think",
        "positive": {"id": "1", "text": "one", "lr": 90, "gac": None},
        "negatives": [{"id": "2", "text": "two"}],
        "siblings": ["3"],
    }
    tiered = [LabelledPassage("2", "two", tier="hard")]
    full = Instance("q#1/0", asked, positive, tiered, [], reasoning=0)
    assert full.row()["negatives"] == [{"id": "2", "text": "two", "tier": "hard"}]
    write_jsonl(tmp_path / "pairs.jsonl", [plain.row(), full.row()])
    assert [each for _, each in iter_instances(tmp_path / "pairs.jsonl")] == [plain, full]
