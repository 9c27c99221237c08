"""Negatives by tier from what an agent used: each rule of the choice, from the trajectories to the
weights of training."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from label_world import arguments, set_params
from rows import trajectory_row

from stages import pairs, visits
from stages.common.candidates import queries_of
from stages.common.instances import Instance, LabelledPassage, iter_instances
from stages.common.records import Passage, read_json, read_jsonl, write_jsonl, write_passages
from stages.common.search import SearchRequest
from stages.common.trajectories import trajectory_of
from stages.contrastive.rows import read_training_rows
from stages.contrastive.weights import row_weights
from stages.encoders.query_format import QueryFormat
from stages.params import load_params
from stages.plumbing.errors import InputError
from stages.selection.tiers import tiered_negatives


def test_what_was_used_before_comes_first_and_what_was_returned_fills_up():
    visits = {0: ["a"], 1: ["b", "e"], 3: ["c"], 4: ["d"], 5: []}
    found = tiered_negatives(3, visits, ["c", "x", "a", "y", "d", "z"], {"c"}, 9)
    assert found == dict.fromkeys("bea", "redundancy") | dict.fromkeys("xyz", "weak")
    assert list(found) == ["b", "e", "a", "x", "y", "z"]  # d is used later, so it is not weak


def test_redundancy_has_its_most_and_both_have_theirs():
    visits = {turn: [f"p{turn}"] for turn in range(10)}
    returned = [f"r{n}" for n in range(20)]
    found = tiered_negatives(9, visits, returned, {"p9"}, 9)
    latest, best = ["p8", "p7", "p6"], [f"r{n}" for n in range(6)]
    assert list(found.items()) == [
        *((p, "redundancy") for p in latest),
        *((p, "weak") for p in best),
    ]
    assert list(tiered_negatives(9, visits, returned, {"p9"}, 2)) == latest[:2]
    assert tiered_negatives(0, visits, returned, {"p0"}, 9) == dict.fromkeys(returned[:9], "weak")


@given(
    visits=st.dictionaries(
        st.integers(0, 8), st.lists(st.sampled_from("abcdefgh"), max_size=2), max_size=9
    ),
    returned=st.lists(st.sampled_from("abcdefghijkl"), max_size=20),
    positives=st.sets(st.sampled_from("abcdefghijkl"), max_size=3),
    turn=st.integers(0, 8),
    total=st.integers(1, 10),
)
def test_the_tiers_against_their_words(visits, returned, positives, turn, total):
    found = tiered_negatives(turn, visits, returned, positives, total)
    assert len(found) <= total and not positives & set(found)
    for passage, tier in found.items():
        at = [t for t, used in visits.items() if passage in used]
        if tier == "weak":
            assert not at and passage in returned
        else:
            assert tier == "redundancy" and any(t < turn for t in at)
    assert [*found.values()].count("redundancy") <= 3
    never = set(returned) - {p for used in visits.values() for p in used} - positives
    if len(found) < total:
        assert never <= set(found), "something could have filled up"


# from trajectories to weights

FACTS = {
    "1": "The canvas Bogox Getaq is by Fomiman.",
    "2": "The artist Fomiman lives in Pobiton.",
    "3": "The filmmaker Fomiman lives in Keruton.",
    "4": "The canvas Bogox Sitaq is by Fomiman.",
    "5": "The artist Domiman lives in Pobiton.",
}


def searching(thought: str, query: str, *ids: str) -> dict:
    shown = [{"id": each, "score": 0.5} for each in ids]
    return {"thought": thought, "query": query, "passages": shown}


THREE = trajectory_row(
    "three",
    searching("find it", "who painted Bogox Getaq", "1", "4"),
    searching("canvas Bogox Getaq is by Fomiman", "where does Fomiman live", "3", "1", "2"),
    searching("artist Fomiman lives in Pobiton", "who painted Bogox Getaq", "4", "2", "1"),
    {"thought": "canvas Bogox Sitaq is by Fomiman"},
    em=1,
)  # asked again the first query is answered otherwise: neither answer is a negative of it
WRONG = trajectory_row("wrong", *(dict(turn) for turn in THREE["turns"]))


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder in which the stages visits and pairs can run, with two trajectories."""
    monkeypatch.chdir(tmp_path)
    write_passages("passages.jsonl", [Passage(n, "", text) for n, text in FACTS.items()])
    write_jsonl("trajectories.jsonl", [THREE, WRONG])
    asked = [q for each in (THREE, WRONG) for q in queries_of(trajectory_of(each, "a test"))]
    hits = [{"id": each, "score": 1.0} for each in FACTS]
    write_jsonl("candidates.jsonl", [q.row() | {"candidates": hits} for q in asked])
    write_jsonl("relevance.jsonl", [{"id": q.id, "scores": None} for q in asked])
    write_jsonl("correctness.jsonl", [{"id": q.id, "scores": None} for q in asked])
    return tmp_path


def made(retriever: dict, **block) -> list[dict]:
    """The instances of the stages visits and pairs."""
    set_params(
        visits={"source": "restated"},
        correctness={"mode": "off"},
        relevance={"mode": "off"},
        pairs={"source": "visits", "negatives": 3, **block},
        retriever=retriever,
    )
    visits.main(arguments("visits"))
    pairs.main(arguments("pairs"))
    return read_jsonl("pairs.jsonl")


def test_three_searches_give_instances_in_tiers_and_their_weights(place):
    rows = made({"tier_weights": {}, "instance_weights": True}, tiers=True)
    assert [(row["id"], row["positive"]["id"]) for row in rows] == [
        ("three#0/0", "1"),
        ("three#1/0", "2"),
        ("three#2/0", "4"),
    ]
    assert [{n["id"]: n["tier"] for n in row["negatives"]} for row in rows] == [
        {"3": "weak", "5": "weak"},  # 2 and 4 are used later
        {"1": "redundancy", "3": "weak", "5": "weak"},
        {"2": "redundancy", "3": "weak", "5": "weak"},  # not 1, which answered this query before
    ]
    assert [row["reasoning"] for row in rows] == [6, 5, 6]
    assert read_json("pairs.json")["dropped"]["trajectory_not_right"] == 3
    block = load_params().retriever
    weights = row_weights(read_training_rows("pairs.jsonl", QueryFormat("query")), block, "p")
    raw = [1 - math.exp(-math.log(2) * words / 6) for words in (6, 5, 6)]
    own = [each / (sum(raw) / 3) for each in raw]
    tiers = [[0.3, 0.3], [3.0, 0.3, 0.3], [3.0, 0.3, 0.3]]
    assert weights == [[pytest.approx(one), *of] for one, of in zip(own, tiers, strict=True)]


def test_what_is_not_asked_for_is_not_written(place):
    rows = made({})
    assert not any("reasoning" in row for row in rows)
    assert not any("tier" in negative for row in rows for negative in row["negatives"])
    lrat = made({"instance_weights": True})
    assert [row.pop("reasoning") for row in lrat] == [6, 5, 6] and lrat == rows


def test_visits_out_of_order_stop_the_pairs(place):
    made({}, tiers=True)
    rows = read_jsonl("visits.jsonl")
    write_jsonl("visits.jsonl", [rows[0], *rows[3:], *rows[1:3]])
    Path("pairs.jsonl").unlink()
    with pytest.raises(InputError, match=r"visits\.jsonl:5: 'three#1' stands apart"):
        pairs.main(arguments("pairs"))
    assert not Path("pairs.jsonl").exists()


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
