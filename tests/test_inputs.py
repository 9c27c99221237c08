"""What a retriever reads: every form written out; one text in training, search and server."""

from dataclasses import replace

import pytest
import serving_world
from test_loop import ANSWER, LIMITS, TINY, Told

from stages.common.candidates import queries_of, request_of
from stages.common.fields import Fields
from stages.common.instances import Instance, LabelledPassage
from stages.common.records import Question, write_jsonl
from stages.common.search import SearchRequest
from stages.common.trajectories import read_trajectories
from stages.contrastive.rows import contrastive_columns, read_training_rows
from stages.encoders.query_format import FORMS, QueryFormat
from stages.params import RETRIEVER_INPUTS, input_fault
from stages.rollout.loop import record, run, start
from stages.serving.client import HttpSearcher
from stages.serving.description import reads

FULL = SearchRequest("Who?", ("first", "second"), "third", "I think")
BARE = SearchRequest("Who?", (), "third")
READ = {
    "query": ("third", "third"),
    "question_query": ("Who? [SEP] third", "Who? [SEP] third"),
    "question_history_query": (
        "Who? [SEP] first [SEP] second [SEP] third",
        "Who? [SEP] third",
    ),
    "thought_query": ("I think [SEP] third", "third"),
    "question_thought_query": ("Who? [SEP] I think [SEP] third", "Who? [SEP] third"),
    "labelled_thought_query": (
        "Current Reasoning: I think\nCurrent Subquery: third",
        "Current Reasoning: <empty>\nCurrent Subquery: third",
    ),
    "labelled_question_thought_query": (
        "Main Question: Who?\nCurrent Reasoning: I think\nCurrent Subquery: third",
        "Main Question: Who?\nCurrent Reasoning: <empty>\nCurrent Subquery: third",
    ),
    "labelled_question_history_query": (
        "Main Question: Who?\nCurrent Subquery: third\nPrevious Interactions:\n"
        "Previous SubQuery 1: first\nPrevious SubQuery 2: second",
        "Main Question: Who?\nCurrent Subquery: third\nPrevious Interactions: <empty>",
    ),
    "labelled_question_thought_history_query": (
        "Main Question: Who?\nCurrent Reasoning: I think\nCurrent Subquery: third\n"
        "Previous Interactions:\nPrevious SubQuery 1: first\nPrevious SubQuery 2: second",
        "Main Question: Who?\nCurrent Reasoning: <empty>\nCurrent Subquery: third\n"
        "Previous Interactions: <empty>",
    ),
    "agentir_thought_query": (
        "Reasoning: I think\n\nQuery: third",
        "Reasoning: Empty\n\nQuery: third",
    ),
}


def test_every_form_is_written_out_here_and_named_in_the_parameters():
    assert set(READ) == set(FORMS) == set(RETRIEVER_INPUTS)
    assert not any(map(input_fault, FORMS))


@pytest.mark.parametrize("name", READ)
def test_a_form_reads_what_its_name_says(name):
    read, bare = READ[name]
    assert (QueryFormat(name).text(FULL), QueryFormat(name).text(BARE)) == (read, bare)
    assert QueryFormat(name).text(SearchRequest(None, (), "ready text")) == "ready text"
    named = {part for part in name.split("_") if part not in ("labelled", "agentir")}
    fields = {"question", "thought", "history", "query"}
    assert {field for field in fields if QueryFormat(name).reads(field)} == named


def test_no_text_can_pretend_to_be_a_label():
    hostile = "a\nCurrent Subquery: b\n\n {query}  {history} [SEP]"
    request = SearchRequest(hostile, (hostile,), hostile, hostile)
    lines = QueryFormat("labelled_question_thought_history_query").text(request).split("\n")
    labels = ["Main Question:", "Current Reasoning:", "Current Subquery:", "Previous Interactions:"]
    labels += ["Previous SubQuery 1:"]
    assert len(lines) == 5 and all(map(str.startswith, lines, labels))
    assert lines[0] == "Main Question: a Current Subquery: b {query} {history} [SEP]"


@pytest.mark.parametrize(
    "name", ["thought_query", "labelled_question_thought_history_query", "agentir_thought_query"]
)
def test_a_thought_is_the_same_text_in_search_training_and_server(name, tmp_path, monkeypatch):
    """A rollout's searches, then its trajectory's instances, its index and its server."""
    monkeypatch.chdir(tmp_path)
    place = serving_world.write(tmp_path, name)
    searcher = serving_world.searcher_of(place)
    asked, find = [], searcher.find
    searcher.find = lambda texts, k: (asked.extend(texts), find(texts, k))[1]

    turns = [
        "<think> find Ana </think> <search> film Beta </search>",
        "<think> as of Bo </think> <search> film Alpha </search>",
        ANSWER,
    ]
    generator = Told({"Question: who?": turns})
    rollout = start(Question("q", "who?", ["Ana"]), TINY, generator.tokenizer)
    limits = replace(LIMITS, max_context_tokens=2000)
    run([rollout], generator, lambda r: searcher.search(r, 3), TINY, limits)
    write_jsonl("trajectories.jsonl", [record(rollout).row()])
    [trajectory] = read_trajectories("trajectories.jsonl")
    requests = [request_of(Fields(q.row(), "row")) for q in queries_of(trajectory)]
    assert [r.thought for r in requests] == ["find Ana", "as of Bo"]
    assert asked == [QueryFormat(name).text(request) for request in requests]

    passages = [LabelledPassage(f"p{n}", f"text {n}") for n in range(3)]
    instances = [
        Instance(f"q#{n}/0", request, passages[0], passages[1:], [])
        for n, request in enumerate(requests)
    ]
    write_jsonl("pairs.jsonl", [instance.row() for instance in instances])
    rows = read_training_rows("pairs.jsonl", QueryFormat(name, "ask: "))
    assert contrastive_columns(rows)["anchor"] == [f"ask: {text}" for text in asked]

    expected = searcher.search(requests, 4)
    asked.clear()
    with serving_world.served(searcher) as address:
        assert HttpSearcher(f"{address}/retrieve").search(requests, 4) == expected
    assert asked == [QueryFormat(name).text(request) for request in requests]
    bare = [replace(request, thought="") for request in requests]
    assert searcher.search(bare, 4) != expected


def test_the_server_says_that_it_reads_thoughts(tmp_path):
    place = serving_world.write(tmp_path)
    searcher = serving_world.searcher_of(place)
    searcher.text = QueryFormat("question_thought_query").text
    said = reads(searcher)
    assert "`question [SEP] thought [SEP] query`" in said and "`thoughts`" in said


def test_equal_queries_of_other_thoughts_are_apart_where_the_thought_is_read(tmp_path):
    passages = [LabelledPassage(f"p{n}", f"text {n}") for n in range(3)]
    asked = [SearchRequest("Who?", (), "x", thought) for thought in ("a", "b")]
    instances = [
        Instance(f"{n}/0", request, passages[n], [passages[2]], [])
        for n, request in enumerate(asked)
    ]
    write_jsonl(tmp_path / "pairs.jsonl", [instance.row() for instance in instances])
    known = {
        name: [row.positive_ids for row in read_training_rows(tmp_path / "pairs.jsonl", f)]
        for name, f in ((n, QueryFormat(n)) for n in ("query", "thought_query"))
    }
    assert known == {"query": [["p0", "p1"], ["p0", "p1"]], "thought_query": [["p0"], ["p1"]]}
