"""Parts of the report by themselves: breakdown, labels, studies, sample sizes, links, drift."""

import csv
import math
import random
import shlex
import shutil
import subprocess
from statistics import stdev
from urllib.parse import parse_qs, unquote

import flywheel_files
import pytest
from rows import prediction
from scipy.stats import ttest_1samp

from stages.common.records import write_json, write_jsonl, write_text
from stages.metrics.fields import hidden
from stages.params import Pairs, PairSource
from stages.plumbing.errors import InputError
from stages.reporting.breakdown import breakdown, breakdown_rows, gold_by_text
from stages.reporting.cases import gold_hops
from stages.reporting.comparisons import Difference, difference
from stages.reporting.drift import drift_means, drift_table, read_drift
from stages.reporting.labelled import AMONG, DEEPER, FIRST, LOWER, POSITIVE, read_labelled
from stages.reporting.links import ask_command, shown_command, trace_link
from stages.reporting.predictions import Predictions, outcome, unordered_sets
from stages.reporting.results import PairResult
from stages.reporting.studies import front, matrix, read_studies, retriever_name
from stages.reporting.unread import read_unread
from stages.selection.rule import (
    FEW_NEGATIVES,
    NO_CORRECT,
    NO_RELEVANT,
    NO_VISIT,
    WRONG_ANSWER,
)

BEFORE, AFTER = PairResult("1", "0", {}, name="before"), PairResult("2", "2", {}, name="after")


def row(name, em, *asked, set_name="a"):
    """A prediction that asks (text, ranking, gold passages) at each hop."""
    turns = [{"query": text, "ranked": ranked} for text, ranked, _ in asked]
    support = [gold for _, _, gold in asked]
    return prediction(name, *turns, set=set_name, em=em, supporting_ids=support)


def test_the_questions_needed_are_those_of_a_paired_test():
    # Differences of +1, -1 in half of the questions: deviation 1 / sqrt(2), so 2.8^2 / 2 / 0.02^2.
    assert Difference(0, -1, 1, math.sqrt(0.5)).questions_needed == 9800
    assert Difference(0, -1, 1, 0.0).questions_needed is None  # nobody knows
    old = [prediction(str(n), em=n % 2) for n in range(10)]
    new = [prediction(str(n), em=int(n > 4)) for n in range(10)]
    found = difference(old, new, "em")
    values = [b.em - a.em for a, b in zip(old, new, strict=True)]
    assert found.deviation == pytest.approx(stdev(values))
    assert [found.low, found.high] == pytest.approx([*ttest_1samp(values, 0).confidence_interval()])


def test_questions_of_one_chain_count_together():
    def rows(sign):
        return [
            row(str(n), int(n % 4 // 2 == sign), ("q", ["x"], [f"p{n // 2}"])) for n in range(40)
        ]

    found, values = difference(rows(0), rows(1), "em"), [-1, 1] * 10  # of the chains
    assert [found.low, found.high] == pytest.approx([*ttest_1samp(values, 0).confidence_interval()])
    alone = difference(rows(0)[:2], rows(0)[:2], "em")
    assert (alone.low, alone.high, alone.clear) == (-1, 1, False), "one chain says nothing"


def test_a_difference_of_two_points_is_seen_at_the_size_that_is_named():
    import numpy as np

    draw = np.random.default_rng(0)
    chances = {1: 0.06, -1: 0.04, 0: 0.90}  # a mean of 0.02
    deviation = math.sqrt(0.1 - 0.02**2)
    size = Difference(0.02, 0, 0, deviation).questions_needed
    values = draw.choice(list(chances), p=list(chances.values()), size=(2000, size))
    errors = values.std(axis=1, ddof=1) / math.sqrt(size)
    seen = np.abs(values.mean(axis=1)) > 1.96 * errors
    assert 0.76 < seen.mean() < 0.84


def given(before, after):
    """Predictions of the two pairs."""
    return Predictions({"before": [*map(outcome, before)], "after": [*map(outcome, after)]})


def test_a_query_is_ambiguous_if_no_passage_supports_all_who_asked_it():
    rows = [
        row("1", 1, ("Where was Kim born", ["x"], ["k1"])),
        row("2", 1, ("where was  kim BORN", ["x"], ["k2"])),
        row("3", 1, ("who wrote it", ["x"], ["w", "v"])),
        # asked twice: the second time it stands for another hop, and makes nothing ambiguous
        row("4", 1, ("who wrote it", ["x"], ["w"]), ("who wrote it", ["x"], ["k1"])),
    ]
    wants = gold_by_text(map(outcome, rows))
    assert wants["where was kim born"] == {frozenset({"k1"}), frozenset({"k2"})}
    assert frozenset.intersection(*wants["who wrote it"]) == {"w"}


def test_recall_and_em_by_group_are_those_of_the_rows():
    kim, cities = "where was kim born", {"1": ["k1"], "2": ["k2"]}
    old = [row(n, 0, (kim, ["z", "y", "x", *gold], gold)) for n, gold in cities.items()]
    new = [row(n, 1, (kim, ["z", "y", *gold], gold)) for n, gold in cities.items()]
    old.append(row("3", 1, ("capital of z", ["c"], ["c"])))
    new.append(row("3", 1, ("capital of z", ["c"], ["c"])))
    told = {("a", n): {"hops": 2 if n in cities else 1} for n in ("1", "2", "3")}
    found = breakdown((BEFORE, AFTER), given(old, new), told)
    groups = {(g.by, g.group): (g.questions, g.before, g.after, g.em.mean) for g in found.groups}
    assert groups == {("hops", "1"): (1, 1, 1, 0), ("hops", "2"): (2, 0, 1, 1)}
    before, after = found.recalls["ambiguous"]
    assert (before.queries, before.recall, after.recall) == (2, 0, 1)  # fourth, then third
    assert found.recalls["not ambiguous"][0].recall == 1
    rows = breakdown_rows([found, found])
    assert {"pair": "after", "by": "hops", "group": "2", "questions": 2, "em": 1} in rows
    assert len(rows) == 8  # each pair once: two groups of questions, two kinds of query


@pytest.mark.parametrize("label", [None, [2], {"a": 1}, "2", 2.5, True])
def test_questions_that_tell_nothing_give_no_groups(label):
    rows = [prediction(name, em=1) for name in "1234"]
    both = given(rows, rows)
    assert breakdown((BEFORE, AFTER), both, {}).groups == []
    told = {"1": label, "2": 10, "3": 9, "4": label}
    metadata = {("a", name): {"hops": value} for name, value in told.items()}
    found = breakdown((BEFORE, AFTER), both, metadata)
    assert [(group.group, group.questions) for group in found.groups] == [("9", 1), ("10", 1)]
    assert found.recalls == {}


def test_a_hop_without_gold_passages_makes_nothing_ambiguous():
    rows = [row("1", 1, ("where was kim born", ["x"], []), ("who wrote it", ["w"], ["w"]))]
    assert gold_by_text(map(outcome, rows)) == {"who wrote it": {frozenset({"w"})}}
    found = breakdown((BEFORE, AFTER), given(rows, rows), {})
    assert (
        list(found.recalls) == ["not ambiguous"] and found.recalls["not ambiguous"][0].queries == 1
    )


def test_the_interval_of_recall_takes_the_queries_of_a_chain_together():
    def recall(rows):
        found = breakdown((BEFORE, AFTER), given(rows, rows), {})
        return found.recalls["not ambiguous"][0]

    draw = random.Random(0)
    hits = [draw.random() < 0.6 for _ in range(60)]
    asks = [(f"query {n}", [f"g{n}" if hit else "x"], [f"g{n}"]) for n, hit in enumerate(hits)]
    single = recall([row(str(n), 1, ask) for n, ask in enumerate(asks)])
    ends = ttest_1samp([float(hit) for hit in hits], 0).confidence_interval()
    assert [single.low, single.high] == pytest.approx([*ends])
    # four queries that stand and fall together say no more than one
    fourfold = recall([row(str(n), 1, *[ask] * 4) for n, ask in enumerate(asks)])
    assert fourfold.queries == 4 * single.queries and fourfold.recall == single.recall
    assert [fourfold.low, fourfold.high] == pytest.approx([*ends])
    alone = recall([row(name, 1, asks[0]) for name in "12"])
    assert (alone.low, alone.high) == (0, 1), "one chain says nothing of others"


def test_recall_is_named_by_the_depth_of_the_rankings():
    rows = [row("1", 1, ("capital of z", ["x", "c"], ["c"]))]
    found = breakdown((BEFORE, AFTER), given(rows, rows), {})
    assert found.k == 2 and {r["k"] for r in breakdown_rows([found])} == {2}


def test_sets_whose_gold_passages_have_no_order_are_left_out_of_recall():
    kim = "where was kim born"
    rows = [row("1", 1, (kim, ["k1"], ["k1"])), row("1", 1, (kim, ["x"], ["k2"]), set_name="b")]
    metadata = {("a", "1"): {}, ("b", "1"): {"supporting_titles": ["Kim"]}}
    assert unordered_sets(metadata) == ["b"]
    found = breakdown((BEFORE, AFTER), given(rows, rows), metadata)
    assert list(found.recalls) == ["not ambiguous"]  # b's reading of the text does not count
    assert found.recalls["not ambiguous"][0].queries == 1


@pytest.fixture
def labelled(tmp_path):
    flywheel_files.write_flywheel(tmp_path, questions=3)
    return read_labelled(tmp_path / "data", ["1", "2"], flywheel_files.params())


def test_each_kind_of_label_is_counted_and_shown(labelled):
    kinds = {
        "lower": LOWER,
        "among": AMONG,
        "below": DEEPER,
        "first": FIRST,
        "grades": NO_RELEVANT,
        "answers": NO_CORRECT,
        "ties": FEW_NEGATIVES,
    }
    assert {q.query.split()[0]: q.kind for q in labelled.queries if q.iteration == "1"} == kinds
    assert labelled.counts["2"] == dict.fromkeys(kinds.values(), 1)


def test_candidates_carry_their_labels_and_what_became_of_them(labelled):
    (query,) = (q for q in labelled.queries if q.kind == LOWER and q.iteration == "1")
    best, chosen, other = (query.candidates[n] for n in (0, 4, 7))
    assert (best.rank, best.lr, best.gac) == (1, 100, 0) and best.role != POSITIVE
    assert (chosen.lr, chosen.gac, chosen.role) == (80, 1, POSITIVE)
    assert (other.lr, other.gac) == (0, None)
    assert sum(found.role == "negative" for found in query.candidates) == 15


def test_labels_without_a_signal_are_shown_without_it(tmp_path):
    flywheel_files.write_flywheel(tmp_path, questions=3)
    path = tmp_path / "data/correctness/1.jsonl"
    lines = [f'{{"id": "train-{name}#0", "scores": null}}\n' for name in flywheel_files.LABELS]
    write_text(path, "".join(lines))
    found = read_labelled(tmp_path / "data", ["1"], flywheel_files.params())
    assert all(c.gac is None for query in found.queries for c in query.candidates)
    assert found.counts["1"][NO_CORRECT] == 0 and found.counts["1"][LOWER] == 0


def test_labels_by_what_the_agent_used_are_counted_by_their_own_kinds(tmp_path):
    flywheel_files.write_flywheel(tmp_path, questions=3)
    used = {"lower": (1, ["0"]), "among": (0, ["0"]), "below": (1, []), "first": (1, ["2"])}
    rows = []
    for name in flywheel_files.LABELS:
        em, visits = used.get(name, (0, []))
        row = {
            "id": f"train-{name}#0",
            "em": em,
            "shown": ["0", "1", "2"],
            "visits": visits,
            "reasoning": 3,
        }
        rows.append(row)
    write_jsonl(tmp_path / "data/visits/1.jsonl", rows)
    none = [{"id": row["id"], "scores": None} for row in rows]
    write_jsonl(tmp_path / "data/correctness/1.jsonl", none)
    params = flywheel_files.params()
    params.pairs = Pairs(source=PairSource.visits)
    found = read_labelled(tmp_path / "data", ["1"], params)
    assert +found.counts["1"] == {FIRST: 1, DEEPER: 1, WRONG_ANSWER: 4, NO_VISIT: 1}
    assert NO_CORRECT not in found.kinds and {*found.counts["1"]} == {*found.kinds}
    assert {query.kind for query in found.queries} == {*+found.counts["1"]}


def test_replies_not_read_are_shown_by_reason_with_one_example(tmp_path):
    flywheel_files.write_flywheel(tmp_path, questions=3)
    reply = f"[1] high {flywheel_files.HOSTILE} " + "x" * 1000
    rows = [
        {"id": f"relevance/q{n}#0/p", "reply": reply, "reason": "not_an_integer", "tries": 3}
        for n in range(3)
    ]
    rows.append(
        {"id": "relevance/long#0/p", "reply": None, "reason": "prompt_too_long", "tries": 0}
    )
    rows.append({"id": "sub-answers/q", "reply": "", "reason": "missing_labels", "tries": 1})
    write_jsonl(tmp_path / "data/relevance/2.failed.jsonl", rows)
    found = read_unread(tmp_path / "data", ["1", "2"])
    assert [(row.iteration, row.step, row.reason, row.count) for row in found] == [
        ("2", "relevance", "not_an_integer", 3),
        ("2", "relevance", "prompt_too_long", 1),
        ("2", "sub-answers", "missing_labels", 1),
    ]
    assert found[0].id == "relevance/q0#0/p" and len(found[0].reply) < 700
    assert found[1].reply is None
    assert read_unread(tmp_path / "data", ["1"]) == []  # of an iteration without the file


def test_visits_not_read_are_shown_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flywheel_files.write_flywheel(tmp_path, questions=3)
    replies = ["", "none of them", "[7]"]
    rows = [
        {"id": f"visits/q{n}#0", "reply": reply, "reason": reason, "tries": 3}
        for n, (reply, reason) in enumerate(
            zip(replies, ("missing_labels", "missing_labels", "out_of_range"), strict=True)
        )
    ]
    write_jsonl(tmp_path / "data/visits/1.failed.jsonl", rows)
    found = read_unread(tmp_path / "data", ["1", "2"])
    assert [(row.iteration, row.step, row.reason, row.count, row.reply) for row in found] == [
        ("1", "visits", "missing_labels", 2, ""),
        ("1", "visits", "out_of_range", 1, "[7]"),
    ]


def table(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


CONTRAST = {
    "contrast": "no_gac",
    "after": "no gac: Agent_1 + R_1",
    "before": "Agent_1 + R_1",
    "question_set": "all",
    "measure": "em",
    "seeds": 3,
    "mean": -0.088,
    "median": -0.09,
    "low": -0.11,
    "high": -0.06,
    "clear": True,
}
PRICE = {
    "variant": "full",
    "seeds": 3,
    "em": 0.86,
    "em_low": 0.84,
    "em_high": 0.88,
    "rollouts": 941.0,
    "written_tokens": 20000,
    "read_tokens": 90000,
    "selection_rate": 0.8,
}
TRANSFER = {
    "agent": "1",
    "retriever": "2",
    "question_set": "a",
    "seeds": 3,
    "em": 0.8,
    "em_low": 0.7,
    "em_high": 0.9,
    "searches": 2.0,
    "searches_low": 1.9,
    "searches_high": 2.1,
    "unanswered": "",
}


def test_studies_are_read_as_they_were_written(tmp_path):
    table(tmp_path / "laptop_contrasts.csv", [CONTRAST, CONTRAST | {"clear": False}])
    table(tmp_path / "gac_price.csv", [PRICE])
    write_text(tmp_path / "laptop.csv", "seed,variant\n0,full\n")
    gac, laptop = read_studies(tmp_path)
    assert [c.clear for c in laptop.contrasts] == [True, False] and not laptop.price
    assert laptop.contrasts[0].mean == -0.088
    assert laptop.groups == laptop.accuracy == []
    assert gac.name == "gac" and gac.price[0].tokens == 110_000
    assert read_studies(tmp_path / "nothing") == []


def test_a_bad_cell_of_a_study_is_named(tmp_path):
    table(tmp_path / "laptop_contrasts.csv", [CONTRAST, CONTRAST | {"low": "?"}])
    with pytest.raises(InputError, match=r"laptop_contrasts\.csv:3: no float in column 'low'"):
        read_studies(tmp_path)


DRIFT = {
    "seed": 0,
    "variant": "slow_ppo",
    "iteration": 1,
    "queries": 100,
    "queries_of_both_iterations": 80,
    "words_per_query": 4.0,
    "equal_to_previous_iteration": 0.5,
    "distance_to_question": 0.25,
    "distance_to_previous_iteration": 0.125,
    "em": 0.75,
}


def test_drift_of_a_study_is_a_mean_over_seeds(tmp_path):
    first = DRIFT | {
        "iteration": 0,
        "equal_to_previous_iteration": "",
        "distance_to_previous_iteration": "",
    }
    other = DRIFT | {
        "seed": 1,
        "words_per_query": 5.0,
        "equal_to_previous_iteration": "",
        "em": 0.25,
    }
    table(tmp_path / "iterations_drift.csv", [first, DRIFT, other])
    (study,) = read_studies(tmp_path)
    begin, iteration = drift_means(study.drift)
    assert (begin.variant, begin.iteration, begin.seeds) == ("slow_ppo", "0", 1)
    assert begin.metrics["same_query"] is None and begin.metrics["em"] == 0.75
    assert (iteration.iteration, iteration.seeds) == ("1", 2)
    assert (iteration.metrics["words_per_query"], iteration.metrics["em"]) == (4.5, 0.5)
    assert iteration.metrics["same_query"] == 0.4  # of 100, in the seed that has it
    table(tmp_path / "iterations_drift.csv", [first, DRIFT | {"em": "?"}])
    with pytest.raises(InputError, match=r"iterations_drift\.csv:3: no float in column 'em'"):
        read_studies(tmp_path)


def test_the_front_keeps_what_no_other_beats():
    points = [(5, 0.9), (1, 0.5), (3, 0.4), (3, 0.8), (9, 0.9), (0, 0.2)]
    assert front(points) == [(0, 0.2), (1, 0.5), (3, 0.8), (5, 0.9)]


def test_a_matrix_takes_all_sets_or_their_mean(tmp_path):
    other = TRANSFER | {"question_set": "b", "em": 0.6, "searches": 4.0}
    whole = TRANSFER | {"retriever": "1:no_gac", "question_set": "all", "em": 0.5}
    table(tmp_path / "x_transfer.csv", [TRANSFER, other, whole])
    (study,) = read_studies(tmp_path)
    found = matrix(study.transfer)
    assert (found.agents, found.retrievers) == (["1"], ["2", "1:no_gac"])
    mean = found.cells["1", "2"]
    assert mean.em == pytest.approx(0.7) and mean.interval is None and mean.searches == 3
    assert found.cells["1", "1:no_gac"].interval == (0.7, 0.9)
    assert retriever_name("1:no_gac") == "R_1 (no gac)" and retriever_name("bm25") == "BM25"


def test_drift_is_a_table_of_the_iterations(tmp_path):
    assert read_drift(tmp_path / "drift.json") == {}
    both = {"questions": 3, "queries": 4, "overlap_with_question": 0.5, "distance_to_question": 1.0}
    none = {"queries_of_both_iterations": 0, "distance_to_previous_iteration": None}
    none |= {"equal_to_previous_iteration": None, "overlap_with_previous_iteration": None}
    some = {"queries_of_both_iterations": 2, "distance_to_previous_iteration": 0.125}
    some |= {"equal_to_previous_iteration": 0.5, "overlap_with_previous_iteration": 0.5}
    iterations = {
        "0": both | {"words_per_query": 4.25} | none,
        "1": both | {"words_per_query": 4.5} | some,
    }
    write_json(tmp_path / "drift.json", iterations)
    cells = [cells for _, cells in drift_table(read_drift(tmp_path / "drift.json"))]
    assert cells[2] == ["4.25", "4.50"] and cells[-1] == ["–", "0.125"]


def test_a_command_keeps_hostile_questions_one_word():
    question = f"--help; $(touch x) 'it' `y`\n{flywheel_files.HOSTILE}"
    words = shlex.split(ask_command(question, BEFORE, AFTER))
    assert words[-2:] == ["--", question] and words[3:8] == ["--agent", "2", "--compare", "0", "2"]


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_page_shows_a_command_without_characters_that_hide(shell):
    if not shutil.which(shell):
        pytest.skip(f"no {shell}")
    question = (
        f"--help; $(touch x) 'it' `y` \\\\n\n\u202eabc\u2066 \U0001f600 {flywheel_files.HOSTILE}"
    )
    shown = shown_command(question, BEFORE, AFTER)
    assert not hidden(shown)
    asked = shown.replace("python -m stages.tools.ask", "printf '%s|'")
    run = subprocess.run([shell, "-c", asked], capture_output=True, text=True, check=True)
    assert run.stdout == f"--agent|2|--compare|0|2|--|{question}|"
    assert shown_command("Who?", BEFORE, AFTER) == ask_command("Who?", BEFORE, AFTER)


def test_a_trace_link_says_set_and_id_as_mlflow_reads_them():
    link = trace_link(prediction("a=1&b", set="in domain"))
    tags = parse_qs(link.partition("?")[2])["tag"]
    assert [unquote(tag) for tag in tags] == ["question_set=in domain", "question_id=a=1&b"]
    assert [tag.count("=") for tag in tags] == [1, 1]  # the value's own is encoded once more


@pytest.mark.parametrize(
    ("mean", "said"),
    [("nan", "no float in column 'mean'"), ("1e999", "no float"), ("", "no float")],
)
def test_a_study_with_a_figure_that_is_none_is_named(tmp_path, mean, said):
    write_text(
        tmp_path / "laptop_contrasts.csv",
        "contrast,after,before,question_set,measure,seeds,mean,low,high,clear\n"
        f"no_gac,a,b,all,em,3,{mean},-0.11,-0.06,True\n",
    )
    with pytest.raises(InputError, match=rf"laptop_contrasts\.csv:2: {said}"):
        read_studies(tmp_path)
    (tmp_path / "laptop_contrasts.csv").write_bytes(b"contrast\n\xff\n")
    with pytest.raises(InputError, match=r"laptop_contrasts\.csv: not a table"):
        read_studies(tmp_path)


def test_gold_passages_know_their_first_hop():
    assert gold_hops(prediction("1", supporting_ids=[["a"], ["b", "a"]])) == {"a": 1, "b": 2}
    assert gold_hops(prediction("1")) == {}
