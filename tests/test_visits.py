"""Visits: what hand-written trajectories tell, the judge, worse visits, and the stage itself."""

import random
from pathlib import Path

import label_world as world
import pytest
import yaml
from label_world import REPO, arguments, set_params
from rows import trajectory_row

from stages import visits
from stages.common import trajectories
from stages.common.records import Passage, read_json, read_jsonl, write_jsonl, write_passages
from stages.common.trajectories import trajectory_of
from stages.common.visits import QueryVisits, iter_visits
from stages.judge.prompts import MalformedReply
from stages.params import load_params
from stages.plumbing.errors import InputError
from stages.visiting.judged import load_prompt, parse, render
from stages.visiting.noise import worsened
from stages.visiting.told import restated, shown_queries

FACTS = [
    Passage("1", '"Bogox Getaq"', "The canvas Bogox Getaq is by Fomiman."),
    Passage("2", '"Fomiman"', "The artist Fomiman lives in Pobiton."),
    Passage("3", '"Fomiman"', "The filmmaker Fomiman lives in Keruton."),
]
LONG = REPO / "stages/prompts/visits.yaml"
SHORT = {
    "template": "Question: {question}\nQuery: {query}\n{passages}Thought: {thought}\nUsed:\n",
    "pattern": r"^\[(?P<value>[0-9]+|none)\]$",
}


def shown(*ids: str) -> list[dict]:
    return [{"id": each, "score": 0.5} for each in ids]


def searching(thought: str, query: str, *ids: str) -> dict:
    return {"thought": thought, "query": query, "passages": shown(*ids)}


RIGHT = trajectory_row(
    "right",
    searching("find the painter", "who painted Bogox Getaq", "1", "3"),
    searching("canvas Bogox Getaq is by Fomiman", "where does Fomiman live", "3", "2"),
    {"thought": "artist Fomiman lives in Pobiton"},
    em=1,
)
WRONG = trajectory_row(
    "wrong",
    searching("find the painter", "who painted Bogox Getaq", "3", "1"),
    searching("canvas Bogox Getaq is by unknown", "painter of the canvas Bogox Getaq", "1"),
    {"thought": "canvas Bogox Getaq is by Fomiman"},
)
SILENT = trajectory_row(
    "silent",
    searching("", "who painted Bogox Getaq", "1", "2"),
    searching("  ", "where does Fomiman live", "2"),
    searching("artist Fomiman lives in Pobiton", "more"),
    searching("so", "again", "2"),
    em=1,
)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with the three trajectories and the facts."""
    monkeypatch.chdir(tmp_path)
    write_passages("passages.jsonl", FACTS)
    write_jsonl("trajectories.jsonl", [RIGHT, WRONG, SILENT])
    set_params()
    return tmp_path


def run_stage(**changes) -> tuple[dict[str, dict], dict]:
    """(the stage's rows by query, its counts)."""
    visits.main(arguments("visits", **changes))
    assert [each.row() for each in iter_visits("visits.jsonl")] == read_jsonl("visits.jsonl")
    rows = {row["id"]: row for row in read_jsonl("visits.jsonl")}
    counts = read_json("visits.json")
    assert counts["in"] == counts["out"] == len(rows) and counts["dropped"] == {}
    return rows, counts


def test_the_next_thought_says_which_passage_was_used(place):
    set_params(visits={"source": "restated"})
    rows, counts = run_stage()
    assert {query: row["visits"] for query, row in rows.items()} == {
        "right#0": ["1"],
        "right#1": ["2"],
        "wrong#0": [],
        "wrong#1": ["1"],
        "silent#0": [],
        "silent#1": ["2"],
        "silent#2": [],
        "silent#3": [],
    }
    assert rows["right#1"]["shown"] == ["3", "2"]
    reasoning = {query: row["reasoning"] for query, row in rows.items()}
    assert reasoning == dict(
        zip(rows, [6, 5, 6, 6, 0, 5, 0, 0], strict=True)  # nothing shown, nothing reasoned about
    )
    assert [rows[f"{name}#0"]["em"] for name in ("right", "wrong", "silent")] == [1, 0, 1]
    assert counts["visited"] == 4 and counts["visited_and_right"] == 3
    assert counts["without"] == {
        "no_thought_after": 1,
        "no_turn_after": 1,
        "none_used": 1,
        "nothing_shown": 1,
    }
    assert counts["visited"] + sum(counts["without"].values()) == counts["in"]


def test_nobody_looks_where_visits_are_off(place):
    rows, counts = run_stage()
    assert {row["visits"] for row in rows.values()} == {None}
    assert not any("reasoning" in row for row in rows.values())
    assert rows["wrong#0"]["shown"] == ["3", "1"]
    assert set(counts) == {"in", "out", "dropped"}


def test_a_thought_restates_one_fact_and_no_other():
    texts = [fact.text for fact in FACTS]
    assert restated("artist Fomiman lives in Pobiton", FACTS) == ["2"]
    assert restated("filmmaker Fomiman lives in Keruton", FACTS) == ["3"]
    assert restated("artist Fomiman lives in Keruton", FACTS) == []
    assert restated("find the painter", FACTS) == []
    twice = [*FACTS, Passage("9", "", texts[1])]
    assert restated("artist Fomiman lives in Pobiton", twice) == ["2", "9"]


def test_a_query_that_nothing_can_follow_is_none():
    last = trajectory_row("last", searching("a", "b", "1"), searching("a", "c", "2"), stop="turns")
    assert [each.id for each in shown_queries(trajectory_of(last, "a test"))] == ["last#0"]


# worse visits

MANY = [QueryVisits(f"q{n}#0", 1, ["a", "b", "c"], ["b"] if n % 2 else []) for n in range(2000)]


def changed(miss: float, false: float, seed: int = 0, rows=MANY) -> dict[str, list[str]]:
    return {row.id: worsened(row, miss, false, seed, "1").visits for row in rows}


def test_shares_of_visits_are_taken_away_and_added():
    assert changed(0, 0) == {row.id: row.visits for row in MANY}
    missed, added = changed(0.3, 0), changed(0, 0.2)
    assert 0.25 < sum(not missed[row.id] for row in MANY if row.visits) / 1000 < 0.35
    assert all(missed[row.id] == [] for row in MANY if not row.visits)
    extra = [set(added[row.id]) - set(row.visits) for row in MANY]
    assert 0.16 < sum(map(bool, extra)) / 2000 < 0.24 and max(map(len, extra)) == 1
    assert {one for each in extra for one in each} == {"a", "b", "c"}
    assert all(set(row.visits) <= set(added[row.id]) for row in MANY)
    assert {*map(tuple, changed(1, 0).values())} == {()}
    assert {len(each) for each in changed(1, 1).values()} == {1}, "each has a false one alone"


def test_worse_visits_depend_on_the_seed_and_the_query_alone():
    first = changed(0.3, 0.3)
    shuffled = random.Random(0).sample(MANY, len(MANY))
    assert changed(0.3, 0.3, rows=shuffled) == first != changed(0.3, 0.3, seed=1)
    more = changed(0.6, 0)
    assert all(not more[query] for query, left in changed(0.3, 0).items() if not left)
    unknown = QueryVisits("q#0", 1, ["a"], None)
    assert worsened(unknown, 1, 1, 0, "1") == unknown


def test_what_was_taken_away_and_added_is_counted(place):
    set_params(visits={"source": "restated", "miss": 1.0, "false": 1.0})
    rows, counts = run_stage()
    assert counts["taken_away"] == 4 and counts["added"] == 5, "where another one was shown"
    assert rows["right#0"]["visits"] == ["3"] and rows["silent#1"]["visits"] == []


# the judge


@pytest.mark.parametrize(
    ("reply", "number"),
    [("[2]", 2), ("2", 2), ("Passage 1", 1), ("**[2]**", 2), ("[none]", 0), ("None.", 0)],
)
def test_the_judges_reply_names_a_passage_or_none(reply, number):
    assert parse(load_prompt(LONG), reply, 2) == number


@pytest.mark.parametrize("reply", ["", "[3]", "[0]", "[1]\n[2]", "the second one", "[1] and [2]"])
def test_a_reply_that_names_no_passage_is_malformed(reply):
    with pytest.raises(MalformedReply):
        parse(load_prompt(LONG), reply, 2)


def test_the_judge_reads_the_thought_and_not_the_answer():
    query = next(shown_queries(trajectory_of(RIGHT | {"answer": "Pobiton"}, "a test")))
    text = render(load_prompt(LONG), query, [FACTS[0], FACTS[2]])
    for part in ("Who?", "who painted", "[2] Fomiman: The film", "Thought: canvas Bogox Getaq is"):
        assert part in text
    assert "Pobiton" not in text


def naming(draw: random.Random):
    """What the judge learns: whatever it reads, the passage is the first."""
    words = draw.choice(world.PLANTS)
    notes = [draw.choice(world.NOTES).text for _ in range(2)]
    text = f"Question: {words}\nQuery: {words}\n[1] {notes[0]}\n[2] {notes[1]}\nThought: look\n"
    return [(text + "Used:\n", False), ("[1]\n<|eos|>", True)]


@pytest.fixture
def judged(place):
    """The parameters of judged visits."""
    Path("short.yaml").write_text(yaml.safe_dump(SHORT))
    block = {"source": "judged", "prompt": "short.yaml", "max_dropped": 1.0}
    set_params(visits=block, relevance={"max_reply_tokens": 8})
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["base"]["judge"]["model"] = "a judge"
    Path("params.yaml").write_text(yaml.safe_dump(params))
    return params


def test_a_judge_is_asked_of_every_thought_and_what_it_loses_is_kept(judged):
    world.teach(Path("judge"), naming, steps=30)
    rows, counts = run_stage()
    telling = {"right#0", "right#1", "wrong#0", "wrong#1", "silent#1"}
    assert {query for query, row in rows.items() if row["visits"]} == telling
    assert all(rows[query]["visits"] == rows[query]["shown"][:1] for query in telling)
    assert counts["unread"] == {} and read_jsonl("visits.failed.jsonl") == []
    assert counts["without"] == {"no_thought_after": 1, "no_turn_after": 1, "nothing_shown": 1}


def test_a_judge_is_asked_in_two_readings_of_the_trajectories(judged, monkeypatch):
    """One finds the passages that are shown, one asks; none would be to hold all of them."""
    world.teach(Path("judge"), naming, steps=0)
    readings, iter_trajectories = [], trajectories.iter_trajectories
    monkeypatch.setattr(
        trajectories,
        "iter_trajectories",
        lambda path, **options: readings.append(path) or iter_trajectories(path, **options),
    )
    run_stage()
    assert len(readings) == 2


def test_a_judge_that_loses_too_much_fails_with_its_replies_kept(judged):
    world.teach(Path("judge"), naming, steps=0)
    rows, counts = run_stage()
    assert sum(counts["unread"].values()) == 5 and not any(r["visits"] for r in rows.values())
    failed = read_jsonl("visits.failed.jsonl", ("id", "reply", "reason", "tries"))
    assert {row["id"] for row in failed} >= {"visits/right#0", "visits/silent#1"}
    assert {row["tries"] for row in failed} == {1 + load_params().relevance.retries}
    judged["visits"]["max_dropped"] = 0.05
    Path("params.yaml").write_text(yaml.safe_dump(judged))
    with pytest.raises(InputError, match=r"^visits@1: 5 of 5 queries were lost") as error:
        run_stage()
    assert "visits.failed.jsonl" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"id": "a#0", "em": 1, "shown": []}, "visits"),
        ({"id": "a#0", "em": 2, "shown": [], "visits": None}, "'em' must be from 0 to 1"),
        ({"id": "a#0", "em": 1, "shown": [3], "visits": None}, "'shown' must be a list of texts"),
        ({"id": "a#0", "em": 1, "shown": [], "visits": "b"}, "'visits' must be a list of texts"),
        ({"id": "a#0", "em": 1, "shown": [], "visits": []}, "'reasoning'"),
        ({"id": "a", "em": 1, "shown": [], "visits": None}, "'id' must be TRAJECTORY#TURN"),
        ({"id": "a#b", "em": 1, "shown": [], "visits": None}, "'id' must be TRAJECTORY#TURN"),
    ],
)
def test_a_malformed_row_is_named(tmp_path, row, message):
    write_jsonl(tmp_path / "v.jsonl", [row])
    with pytest.raises(InputError, match=rf"v\.jsonl:1: .*{message}"):
        list(iter_visits(tmp_path / "v.jsonl"))


@pytest.mark.parametrize("order", ["a#0 a#0", "a#1 a#0", "a#0 b#0 a#1", "a#0 b#1 b#0"])
def test_queries_of_a_trajectory_stand_together_in_order(tmp_path, order):
    rows = [QueryVisits(each, 1, [], [], 0).row() for each in order.split()]
    write_jsonl(tmp_path / "v.jsonl", rows)
    told = iter_visits(tmp_path / "v.jsonl")
    good = [next(told).id for _ in rows[1:]]
    with pytest.raises(InputError, match=rf"v\.jsonl:{len(rows)}: '{rows[-1]['id']}' stands apart"):
        next(told)
    assert good == order.split()[:-1]
