"""Who wrote what in logs of other programs: the agent, its environment, or the agent posing as it.

The sentences of environments here are made up: what is found is found by its place alone.
"""

import gzip
import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rollout_models import make_chat_tokenizer
from timing import assert_linear

from stages import params
from stages.adoption.frame import frame_of
from stages.adoption.reader import ENDLESS, LATE, OWN, REFUSED, UNANSWERED, UNSEARCHED, Reader
from stages.adoption.refusals import found_refusals
from stages.common.records import read_jsonl, write_jsonl
from stages.params import read_block
from stages.plumbing.errors import InputError
from stages.rollout.protocol import AgentProtocol
from stages.tools import adopt

ROOT = Path(__file__).parents[1]
AGENT = ROOT / "models/agent/0"
CONF = ROOT / "conf/protocol"
TOKENIZER = make_chat_tokenizer()
BLOCKS = {
    name: read_block(CONF / f"{name}.yaml", params.Protocol)
    for name in ("search_r1", "r1_searcher", "simple_deep_searcher", "tool_calls", "few_shot")
}
MESSAGE = "Not understood! Write <search> and </search> to look up, <answer> and </answer> to end."
DOCS = 'Doc 1(Title: "A (Title: b) [c]") one\nDoc 2(Title: D) two, Doc 2(Title: e) three\n'
SHOWN = f"\n\n<information>{DOCS}</information>\n\n"
INVALID = "<think> let me see </think> I look it up"
ASK, AGAIN = "<think> first </think> <search> one </search>", "<search> two </search>"
ANSWER = "<think> so </think> <answer> Kaliton </answer>"


def reader(name: str = "search_r1", refusals: tuple[str, ...] = ()) -> Reader:
    block = BLOCKS[name]
    protocol = AgentProtocol(block)
    return Reader(protocol, frame_of(protocol, block, TOKENIZER), refusals)


def read(text: str, refusals: tuple[str, ...] = (), name: str = "search_r1"):
    """(turns as (query, answer), counts, the text put together again)."""
    counts = Counter()
    pieces = reader(name, refusals).pieces(text, counts)
    answers = [p.action.value if p.action.kind == "answer" else None for p in pieces]
    told = "".join(piece.text + piece.information for piece in pieces)
    return list(zip([p.query for p in pieces], answers, strict=True)), dict(+counts), told


WHOLE = [
    ("plain", ASK + SHOWN + AGAIN + SHOWN + ANSWER, "one two Kaliton", {}),
    ("a refusal", f"{INVALID}\n{MESSAGE}\n{ASK}{SHOWN}{ANSWER}", "- one Kaliton", {REFUSED: 1}),
    (
        "two refusals",
        f"{INVALID}\n{MESSAGE}\n{ASK}{SHOWN}{INVALID}\n{MESSAGE}\n{ANSWER}",
        "- one - Kaliton",
        {REFUSED: 2},
    ),
    ("a refusal ends it", f"{ASK}{SHOWN}{INVALID}\n{MESSAGE}\n", "one -", {REFUSED: 1}),
    (
        "the agent's own mark",
        f"<think> <information> is what I need </think> {AGAIN}{SHOWN}{ANSWER}",
        "two Kaliton",
        {OWN: 1},
    ),
    (
        "the agent's own information",
        f"<think> I know </think> <information> it </information> {AGAIN}{SHOWN}{ANSWER}",
        "two Kaliton",
        {OWN: 1},
    ),
    ("cut in information", ASK + SHOWN + AGAIN + SHOWN[:40], "one two", {ENDLESS: 1}),
    ("cut in a forged answer", ASK + SHOWN[:30] + " <answer> x </answer> of", "one", {ENDLESS: 1}),
    ("cut at the mark", ASK + "\n\n<information>", "one", {ENDLESS: 1}),
    (
        "information cut to a limit",
        f"{ASK}{SHOWN[:40]}<think> more </think> {AGAIN}{SHOWN}{ANSWER}",
        "one two Kaliton",
        {ENDLESS: 1},
    ),
    ("the last is cut to a limit", ASK + SHOWN[:40] + ANSWER, "one Kaliton", {ENDLESS: 1}),
    ("no end", ASK + SHOWN + AGAIN, "one -", {UNANSWERED: 1}),
    ("two searches at once", ASK + AGAIN + SHOWN + ANSWER, "- two Kaliton", {UNANSWERED: 1}),
    (
        "a passage that opens information",
        ASK + SHOWN.replace("one\n", "one <information> of\n") + ANSWER,
        "one Kaliton",
        {},
    ),
    (
        "information after no search",
        INVALID + SHOWN.replace("one\n", "<answer> x </answer>\n") + ANSWER,
        "- Kaliton",
        {UNSEARCHED: 1},
    ),
    ("an empty search", f"<search> </search>{SHOWN}{ANSWER}", "- Kaliton", {"unread": 1}),
]


@pytest.mark.parametrize(("text", "want", "odd"), [w[1:] for w in WHOLE], ids=[w[0] for w in WHOLE])
def test_every_word_is_given_to_who_wrote_it(text, want, odd):
    turns, counts, told = read(text, (MESSAGE,))
    assert " ".join(query or answer or "-" for query, answer in turns) == want
    assert len(counts) == len(odd) and list(counts.values()) == list(odd.values())
    assert told == text


def test_what_comes_after_an_answer_is_counted():
    turns, counts, told = read(ASK + SHOWN + ANSWER + SHOWN + AGAIN)
    assert turns == [("one", None), (None, "Kaliton")] and counts == {LATE: 1}
    assert told == ASK + SHOWN + ANSWER


@pytest.mark.parametrize("name", BLOCKS)
def test_every_protocol_reads_what_it_would_show(name):
    block = BLOCKS[name]
    protocol = AgentProtocol(block)
    ask = {
        "r1_searcher": "t <|begin_of_query|> one <|end_of_query|>",
        "simple_deep_searcher": "t <|begin_search_query|> one <|end_search_query|>",
        "tool_calls": '<tool_call>{"name": "search", "arguments": {"query": "one"}}</tool_call>',
    }.get(name, "<search> one </search>")
    answer = r"so \boxed{x}" if name == "simple_deep_searcher" else "<answer> x </answer>"
    shown = protocol.information([], TOKENIZER)
    refusal = protocol.refusal(TOKENIZER) or ""
    known = (refusal, block.invalid_message or "")
    text = (
        f"{INVALID}{refusal}{ask}{shown}{ask}{shown}{answer}" if refusal else ask + shown + answer
    )
    skipped = shown
    for special in ((), ("<|im_start|>", "<|im_end|>")):  # special tokens are skipped in some logs
        for mark in special:
            text, skipped = text.replace(mark, ""), skipped.replace(mark, "")
        turns, counts, told = read(text, known, name)
        assert [pair for pair in turns if any(pair)][-2:] == [("one", None), (None, "x")]
        assert told == text.replace(skipped, shown), "around what was found they are put back"
        assert set(counts) <= {REFUSED}


def found(*texts: str) -> list[str]:
    return found_refusals([(f"q{n}", text) for n, text in enumerate(texts)], reader())


def test_the_environments_message_is_found_in_the_logs():
    log = f"{INVALID}\n{MESSAGE}\n{ASK}{SHOWN}{ANSWER}"
    assert found(log) == [MESSAGE], "information follows, so no answer was taken"
    assert found(f"{INVALID}\n{MESSAGE}\n{ANSWER}") == [MESSAGE], "one word for both"
    other = MESSAGE.replace("<answer> and", "<answer> or")
    assert found(f"{INVALID}\n{other}\n") == []
    assert found(f"{INVALID}\n{other}\n", f"x\n{other}\n") == [other], "for two questions"
    assert found(f"{INVALID}\n{other}\n{INVALID}\n{other}\n") == [other], "twice in one"
    lines = "To look: <search> query </search>\nTo end: <answer> answer </answer>, please."
    log = f"{INVALID}\nNo!\n{lines}\n{ASK}{SHOWN}{ANSWER}"
    assert found(log) == [lines], "on two lines"
    turns, _, told = read(log, (lines,))
    assert turns == [(None, None), ("one", None), (None, "Kaliton")] and told == log
    assert found(ASK + SHOWN + ANSWER, ASK + AGAIN + SHOWN + ANSWER, ANSWER) == []
    assert found(f"{ASK} {ANSWER}") == [], "the agent's own, which nothing follows"
    assert found(f"{ASK}\n{ANSWER}\n{AGAIN}\n") == [], "the agent's own, on two lines"
    assert found(f"<answer> x </answer> {AGAIN}{SHOWN}{ANSWER}") == [], "its search was answered"


PARTS = [ASK, AGAIN, ANSWER, SHOWN, SHOWN[:30], INVALID, f"\n{MESSAGE}\n", " ", "<information>"]
PARTS += ["</information>", "<search>", "</search>", "<answer> </answer>", "\n\n", "x", "\ufeff"]
ANY = st.lists(st.sampled_from(PARTS) | st.text(max_size=8), max_size=12).map("".join)


@settings(deadline=None)
@given(text=ANY)
def test_whatever_the_text_nothing_is_told_twice(text):
    turns, _, told = read(text, (MESSAGE,))
    assert len([query for query, _ in turns if query]) <= text.count("</search>")
    assert len([answer for _, answer in turns if answer]) <= 1
    kept, whole = ("".join(told.split()), "".join(text.split()))
    assert not Counter(kept) - Counter(whole)
    found_refusals([("q", text)], reader())


TURN = st.sampled_from([(ASK, SHOWN), (AGAIN, SHOWN), (INVALID, f"\n{MESSAGE}\n"), ("x", "")])
TURN = TURN.filter(lambda turn: turn[1])


@settings(deadline=None)
@given(turns=st.lists(TURN, max_size=6), ended=st.sampled_from([ANSWER, "", INVALID]))
def test_a_well_formed_log_comes_back_turn_by_turn(turns, ended):
    text = "".join(map("".join, turns)) + ended
    counts = Counter()
    pieces = reader(refusals=(MESSAGE,)).pieces(text, counts)
    want = [*turns, (ended, "")] if ended else turns
    assert [(piece.text, piece.information) for piece in pieces] == want
    assert set(+counts) <= {REFUSED}


@pytest.mark.parametrize(
    "unit",
    ["<information>", "</search> <information>", " ", "\n", "<search>a</search>", "</information>"],
)
def test_reading_takes_time_in_proportion_to_the_text(unit):
    short, long = (unit * (size // len(unit)) for size in (50_000, 100_000))
    assert_linear(lambda text: reader().pieces(text, Counter()), short, long, unit)


@pytest.fixture
def place(tmp_path, monkeypatch):
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def adopted(path: str, *words: str, agent: Path = AGENT) -> list[dict]:
    adopt.main([path, "--agent", str(agent), "--output", "out.jsonl", *words])
    return read_jsonl("out.jsonl")


ASKED = {"question": "Where was he born?", "golden_answers": ["Kaliton"]}
LOG = ASK + SHOWN + ANSWER


def queries(row: dict) -> list[str]:
    return [turn["query"] for turn in row["turns"] if turn["query"]]


def test_a_message_is_found_and_strict_wants_it_as_a_file(place, capsys):
    log = f"{INVALID}\n{MESSAGE}\n{ASK}{SHOWN}{ANSWER}"
    write_jsonl("logs.jsonl", [{"id": "0", **ASKED, "response": log}])
    [row] = adopted("logs.jsonl")
    assert queries(row) == ["one"] and row["answer"] == "Kaliton" and len(row["turns"]) == 3
    said = capsys.readouterr().err
    assert MESSAGE in said and "messages after an invalid action: 1 times" in said
    with pytest.raises(InputError, match="refused by --strict: give what the environment says"):
        adopted("logs.jsonl", "--strict")
    Path("said.txt").write_text(f"{MESSAGE}\n")
    assert adopted("logs.jsonl", "--strict", "--refusal", "said.txt") == [row]
    with pytest.raises(InputError, match=r"none\.txt: cannot be read"):
        adopted("logs.jsonl", "--refusal", "none.txt")


def test_strict_names_the_line_and_writes_nothing(place):
    write_jsonl(
        "logs.jsonl",
        [
            {"id": "0", **ASKED, "response": LOG},
            {"id": "1", **ASKED, "response": ASK + SHOWN[:30]},
        ],
    )
    with pytest.raises(InputError, match=r"logs\.jsonl:2: refused by --strict: .* without an end"):
        adopted("logs.jsonl", "--strict")
    assert not Path("out.jsonl").exists()
    assert [row["stop"] for row in adopted("logs.jsonl")] == ["answer", "length"]


def test_flashrag_items_begin_after_their_prompt(place, capsys):
    prompt = "Use <search> query </search> and <answer> x </answer>. Question: {}\n{}"
    marks = ("", "<|im_end|>\n<|im_start|>assistant\n", "</s>[/INST] ")
    items = [
        {"id": f"t{n}", **ASKED, "output": {"prompt": prompt.format(ASKED["question"], m) + LOG}}
        for n, m in enumerate(marks)
    ]
    items[0]["output"] |= {"retrieval_results": {"0": {"query": "one"}}, "pred": "Kaliton"}
    items.append({"id": "t9", **ASKED, "output": {"prompt": LOG}})
    Path("intermediate_data.json").write_text(json.dumps(items, indent=4))
    rows = adopted("intermediate_data.json")
    for row in rows:
        assert "".join(t["text"] + t["information"] for t in row["turns"]) == LOG
    assert len(rows) == 3
    assert "left out for no_prompt_with_the_question: 1" in capsys.readouterr().err


def test_dumps_of_rollouts_get_ids_and_questions(place):
    dump = {"input": "user\nSearch. Question: Where was he born?\nassistant\n", "output": LOG}
    dump |= {"score": 1.0, "step": 7}
    golds = ({"target": ["Kaliton"]}, "Kaliton", ["x", "Kaliton"])
    write_jsonl("7.jsonl", [{**dump, "gts": gold} for gold in golds])
    rows = adopted("7.jsonl")
    assert [row["id"] for row in rows] == ["7-0", "7-1", "7-2"]
    assert all(row["question"] == ASKED["question"] and row["em"] == 1 for row in rows)
    write_jsonl("7.jsonl", [dump])
    with pytest.raises(InputError, match=r"7\.jsonl:1: no gold answers \('gts'\)"):
        adopted("7.jsonl")


@pytest.fixture
def caller(place):
    """A folder of an agent that calls tools."""
    TOKENIZER.save_pretrained(place / "agent")
    shutil.copy(CONF / "tool_calls.yaml", place / "agent/protocol.yaml")
    return place / "agent"


def call(identifier: str | None, query: object, name: str = "search") -> dict:
    arguments = json.dumps({"query": query})
    return {
        "id": identifier,
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def result(identifier: str | None, content: object, role: str = "tool") -> dict:
    known = {"role": role, "content": content}
    return known | ({"tool_call_id": identifier} if identifier else {})


ASKING = [{"role": "system", "content": "s"}, {"role": "user", "content": ASKED["question"]}]
ENDING = {"role": "assistant", "content": "so <answer> Kaliton </answer>"}


def chat(*messages: object) -> list[dict]:
    return [{"id": "0", **ASKED, "messages": [*ASKING, *messages]}]


@pytest.mark.parametrize("agent", ["tool_calls", "tiny"])
def test_calls_at_once_get_their_own_results_in_any_order(caller, agent):
    calls = [call("a", 'one "x"'), call("b", "two")]
    write_jsonl(
        "logs.jsonl",
        chat(
            {"role": "assistant", "content": "both", "tool_calls": calls},
            result("b", "second"),
            result("a", [{"type": "text", "text": "first"}]),
            ENDING,
        ),
    )
    folder = caller if agent == "tool_calls" else AGENT
    [row] = adopted("logs.jsonl", "--strict", agent=folder)
    assert queries(row) == ['one "x"', "two"] and row["answer"] == "Kaliton"
    assert ["first" in t["information"] for t in row["turns"]] == [True, False, False]
    assert ["second" in t["information"] for t in row["turns"]] == [False, True, False]
    if agent == "tool_calls":
        protocol = AgentProtocol(BLOCKS["tool_calls"])
        empty = protocol.information([], TOKENIZER)
        assert row["turns"][0]["information"].replace("first", "") == empty
        assert row["turns"][0]["text"].startswith("both\n<tool_call>\n{")


@pytest.mark.parametrize(
    ("messages", "reason", "found"),
    [
        ([result("a", "x") | {"role": None}], "messages without a role: 1", []),
        ([{"content": "x"}], "messages without a role: 1", []),
        (["x"], "messages that are no objects: 1", []),
        ([result("z", "x")], "results that belong to no call: 1", []),
        ([result("a", "x"), result("a", "y")], "results that belong to no call: 1", ["one"]),
        ([result("a", "x", "retriever")], "unknown role 'retriever': 1", []),
        ([result("a", 7)], "parts of messages that are no text: 1", ["one"]),
        ([result(None, "x", "observation")], "", ["one"]),
        ([result(None, "x", "function")], "", ["one"]),
        ([], "searches that nothing was shown for: 1", []),
        ([result("a", "x"), ENDING, result("a", "y")], "text left out after an answer: 1", ["one"]),
    ],
)
def test_odd_messages_are_counted(caller, capsys, messages, reason, found):
    before = ({"role": "assistant", "tool_calls": [call("0", "zero")]}, result("0", "x"))
    asking = {"role": "assistant", "content": None, "tool_calls": [call("a", "one")]}
    write_jsonl("logs.jsonl", chat(*before, asking, *messages))
    [row] = adopted("logs.jsonl", agent=caller)
    assert queries(row) == ["zero", *found]
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize(
    ("calls", "reason"),
    [
        ([call("a", "x", "calculator")], "calls of the other tool 'calculator': 1"),
        ([call("a", ["x"])], "calls without a query of text: 1"),
        ([{"id": "a"}], "calls of the other tool 'None': 1"),
        (["x"], "calls of the other tool 'None': 1"),
        ([call("a", "</answer>")], "calls whose query the protocol cannot write: 1"),
    ],
)
def test_odd_calls_are_counted(caller, capsys, calls, reason):
    before = ({"role": "assistant", "tool_calls": [call("0", "zero")]}, result("0", "x"))
    odd = ({"role": "assistant", "content": "hm", "tool_calls": calls}, result("a", "x"))
    write_jsonl("logs.jsonl", chat(*before, *odd, ENDING))
    [row] = adopted("logs.jsonl", agent=caller)
    assert queries(row) == ["zero"] and row["answer"] == "Kaliton"
    assert reason in capsys.readouterr().err


def test_empty_gold_answers_are_counted(place, capsys):
    row = {"id": "0", **ASKED, "golden_answers": ["", "Kaliton"], "response": LOG}
    write_jsonl("logs.jsonl", [row])
    assert adopted("logs.jsonl")[0]["golden_answers"] == ["Kaliton"]
    assert "empty gold answers left out: 1 times" in capsys.readouterr().err


def test_the_end_of_a_turn_may_stand_before_information():
    text = ASK + "<|im_end|>" + SHOWN + ANSWER + "<|im_end|>"
    assert read(text) == ([("one", None), (None, "Kaliton")], {}, text)


def test_results_are_told_apart_by_other_keys(caller):
    calls = [call("a", "one"), call("b", "two")]
    calls[1]["function"]["arguments"] = {"query_list": ["two"]}
    results = [{"role": "tool", "id": "b", "content": "2nd"}, {"role": "tool", "content": "1st"}]
    asking = {"role": "assistant", "tool_calls": calls}
    write_jsonl("logs.jsonl", chat(asking, *results, ENDING))
    [row] = adopted("logs.jsonl", "--strict", agent=caller)
    assert queries(row) == ["one", "two"]
    assert ["1st" in t["information"] for t in row["turns"]] == [True, False, False]


def test_calls_of_one_id_are_answered_in_their_order(caller):
    calls = [call("a", "one"), call("a", "two")]
    asking = {"role": "assistant", "tool_calls": calls}
    write_jsonl("logs.jsonl", chat(asking, result("a", "1st"), result("a", "2nd"), ENDING))
    [row] = adopted("logs.jsonl", "--strict", agent=caller)
    assert queries(row) == ["one", "two"]
    assert ["1st" in t["information"] for t in row["turns"]] == [True, False, False]


def test_ids_may_be_numbers(caller):
    asking = {"role": "assistant", "tool_calls": [call(0, "one"), call(1, "two")]}
    results = [
        {**result(None, "2nd"), "tool_call_id": 1},
        {**result(None, "1st"), "tool_call_id": 0},
    ]
    write_jsonl("logs.jsonl", chat(asking, *results, ENDING))
    [row] = adopted("logs.jsonl", "--strict", agent=caller)
    assert queries(row) == ["one", "two"]
    assert ["1st" in t["information"] for t in row["turns"]] == [True, False, False]


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning"])
def test_a_thought_of_its_own_is_kept(caller, key):
    asking = {"role": "assistant", "content": None, key: "why", "tool_calls": [call("a", "one")]}
    write_jsonl("logs.jsonl", chat(asking, result("a", "x"), ENDING))
    [row] = adopted("logs.jsonl", "--strict", agent=caller)
    assert row["turns"][0]["text"].startswith("<think>why</think>\n")


@pytest.mark.parametrize("role", ["user", "system"])
def test_what_nobody_asked_for_is_no_refusal(caller, capsys, role):
    asking = {"role": "assistant", "tool_calls": [call("a", "one")]}
    more = {"role": role, "content": "And his wife?"}
    write_jsonl("logs.jsonl", chat(asking, result("a", "x"), more, ENDING))
    assert "And his wife?" in adopted("logs.jsonl", agent=caller)[0]["turns"][0]["information"]
    assert "messages that follow no invalid action: 1 times" in capsys.readouterr().err
    with pytest.raises(InputError, match="messages that follow no invalid action"):
        adopted("logs.jsonl", "--strict", agent=caller)


def test_a_byte_order_mark_is_no_part_of_a_log(place):
    row = {"id": "0", **ASKED, "response": LOG}
    for text in (json.dumps(row) + "\r\n", json.dumps([row])):
        Path("logs.jsonl").write_text(text, encoding="utf-8-sig")
        assert queries(adopted("logs.jsonl")[0]) == ["one"]


def test_half_characters_are_one_clear_error(place):
    write = Path("logs.jsonl").write_text
    for row in ({"response": "\ud800"}, {"messages": [{"role": "assistant", "content": "\ud800"}]}):
        write(json.dumps({"id": "0", **ASKED, **row}) + "\n")
        with pytest.raises(InputError, match=r"logs\.jsonl:1: '.*' holds half a surrogate pair"):
            adopted("logs.jsonl")


def test_messages_with_tags_are_read_like_a_response(place):
    told = [
        {"role": "assistant", "content": INVALID},
        {"role": "user", "content": MESSAGE},
        {"role": "assistant", "content": ASK},
        {"role": "user", "content": SHOWN},
        {"role": "assistant", "content": ANSWER},
    ]
    write_jsonl("logs.jsonl", chat(*told))
    [row] = adopted("logs.jsonl", "--strict")
    assert queries(row) == ["one"] and row["answer"] == "Kaliton"
    assert [turn["information"].strip() for turn in row["turns"]] == [MESSAGE, SHOWN.strip(), ""]


@settings(deadline=None, max_examples=40)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.sampled_from(["tool", "assistant", "x"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["role", "content", "tool_calls", "tool_call_id", "id"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    ).filter(lambda value: isinstance(value, list))
)
def test_whatever_the_messages_no_crash(messages):
    from stages.adoption.messages import Conversation

    block = BLOCKS["tool_calls"]
    own = reader("tool_calls")
    Conversation(own, own.frame, block, "search", TOKENIZER).pieces(messages, Counter(), "x")


ONE_SIDED = [
    "Invalid. Put the answer inside <answer> and </answer>.",
    "Put the answer inside <answer> and </answer>",
    "Invalid. Call <search> query </search> instead.",
    "Search: <search> query </search>.\nThen wait.\nEnd: <answer> a </answer>.",
    "Use <search> query </search> or <search> other </search>, then <answer> a </answer>.",
]


@pytest.mark.parametrize("message", ONE_SIDED)
def test_messages_that_name_any_actions_are_found(message):
    logs = [f"{ASK}{SHOWN}{INVALID}\n{message}\n{AGAIN}{SHOWN}{ANSWER}"] * 3
    assert found(*logs) == [message]
    turns, counts, told = read(logs[0], (message,))
    assert turns == [("one", None), (None, None), ("two", None), (None, "Kaliton")]
    assert counts == {REFUSED: 1} and told == logs[0]
    twice = logs[0].replace(message, f"{message}\n{INVALID}\n{message}")
    assert found(twice, twice) == [message], "the agent's words between two stay its own"
    assert found(logs[0]) == [], "seen once, it may be the agent's"
    noted = f"{ASK}{SHOWN}{message}\n{AGAIN}{SHOWN}{ANSWER}"
    assert found(noted, noted) == [message], "after information, as a note of a budget"


def test_what_agents_say_alike_is_no_message():
    ended = f"{ASK}{SHOWN}\n{ANSWER}"
    assert found(ended, ended, ended) == [], "their answer, which ends the log"
    joined = f"{ended}\n\n{ended}"
    assert found(joined, joined) == [], "two rollouts in one log"
    assert found(f"{ended}\n{ANSWER}", f"{ended}\n{ANSWER}") == [], "an answer said twice"
    both = f"{ASK}\n{AGAIN}{SHOWN}{ANSWER}"
    assert found(both, both) == [], "two searches at once"


def test_a_passage_may_close_information():
    text = ASK + SHOWN.replace("one\n", "</information> b <answer> z </answer> c\n") + ANSWER
    assert read(text) == ([("one", None), (None, "Kaliton")], {}, text)
    text = ASK + SHOWN + ANSWER + "</information>"
    assert read(text) == ([("one", None), (None, "Kaliton")], {OWN: 1}, text)


@pytest.mark.parametrize(
    ("prompt", "asked"),
    [
        ("Tags. Question: Where was he born?\n", "Where was he born"),
        ("system\nYou\nuser\nQuestion: Where was he born?\nassistant\n", "Where was he born?"),
        ("Q. Question: who?\n<answer> x </answer>\n<search> y </search>, Question: who?\n", "who?"),
        ("Where was he born? Think.\n<|im_start|>assistant\n", "Where was he born?"),
    ],
)
def test_a_conversation_begins_after_its_prompt(place, prompt, asked):
    row = {"id": "0", "question": asked, "golden_answers": ["Kaliton"]}
    logs = [row | {"id": str(n), "output": {"prompt": prompt + LOG}} for n in range(2)]
    write_jsonl("logs.jsonl", logs)
    for adopted_row in adopted("logs.jsonl", "--strict"):
        assert "".join(t["text"] + t["information"] for t in adopted_row["turns"]) in (
            LOG,
            f"Think.\n<|im_start|>assistant\n{LOG}",
        )


@pytest.mark.parametrize(
    ("told", "question"),
    [
        ("Question: Where\nwas he born?\nassistant\n", "Where\nwas he born?"),
        ("Question: Where was he born?<|im_end|>\n<|im_start|>assistant\n", "Where was he born?"),
        ("Question: Where was he born?\nThink first.\n", "Where was he born?"),
    ],
)
def test_the_question_of_a_dump_ends_with_its_turn(place, told, question):
    write_jsonl("7.jsonl", [{"input": f"user\n{told}", "output": LOG, "gts": "Kaliton"}])
    assert adopted("7.jsonl")[0]["question"] == question


@pytest.mark.parametrize(
    "gold",
    [
        "{'target': ['Kaliton']}",
        '{"target": "Kaliton"}',
        "{'target': array(['x', 'Kaliton'], dtype=object), 'style': 'rule'}",
        "['Kaliton']",
        "{'Kaliton', 'x'}",
    ],
)
def test_gold_answers_of_a_dump_may_be_text(place, gold):
    dump = {"input": "Question: Where?\n", "output": LOG, "gts": gold}
    write_jsonl("7.jsonl", [dump])
    assert adopted("7.jsonl")[0]["em"] == 1
    for cut in (gold[:-1], "{'x': 1}"):
        write_jsonl("7.jsonl", [dump | {"gts": cut}])
        with pytest.raises(InputError, match=r"7\.jsonl:1: "):
            adopted("7.jsonl")


@pytest.mark.parametrize("form", [lambda c: c, json.dumps, lambda c: json.dumps([c])])
def test_calls_may_be_an_object_or_text(caller, form):
    one = call("a", "one")
    one["function"]["arguments"] = json.dumps(one["function"]["arguments"])  # written twice
    asking = {"role": "assistant", "content": "<think>why</think>", "tool_calls": form(one)}
    write_jsonl("logs.jsonl", chat(asking | {"reasoning": "why"}, result("a", "x"), ENDING))
    [row] = adopted("logs.jsonl", "--strict", agent=caller)
    assert queries(row) == ["one"] and row["turns"][0]["text"].count("why") == 1


@pytest.mark.parametrize("calls", ["x", 7, True])
def test_calls_in_no_known_form_are_counted(caller, capsys, calls):
    asking = {"role": "assistant", "tool_calls": [call("a", "one")]}
    odd = {"role": "assistant", "content": "hm", "tool_calls": calls}
    write_jsonl("logs.jsonl", chat(asking, result("a", "x"), odd, ENDING))
    adopted("logs.jsonl", agent=caller)
    assert "calls of tools in a form that cannot be read: 1 times" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["l.json", "l.json.gz"])
def test_an_array_may_be_gzipped_and_no_key_stands_twice(place, name):
    row = json.dumps({"id": "0", **ASKED, "response": LOG})
    write = gzip.compress if name.endswith("gz") else bytes
    Path(name).write_bytes(write(f"[{row}]".encode()))
    assert queries(adopted(name)[0]) == ["one"]
    Path(name).write_bytes(write(f'[{{"id": "1", {row[1:]}]'.encode()))
    with pytest.raises(InputError, match=rf"{name}: the key 'id' occurs twice"):
        adopted(name)


TURNED = [
    ("\nuser\n", "\nassistant\n"),
    ("user\n\n", "assistant\n\n"),
    ("<|im_end|>\n<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n"),
    ("<|im_end|>\n<|im_start|>tool\n", "<|im_end|>\n<|im_start|>assistant\n"),
]


@pytest.mark.parametrize(("before", "after"), TURNED)
def test_information_may_stand_in_a_turn_of_its_own(before, after):
    shown = f"{before}<information>{DOCS}</information>{after}"
    text = ASK + shown + AGAIN + shown + ANSWER
    assert read(text) == ([("one", None), ("two", None), (None, "Kaliton")], {}, text)
    [first, *_] = reader().pieces(text, Counter())
    assert (first.text, first.information) == (ASK, shown)
    ended = f"{INVALID} of a user {SHOWN.strip()} model {ANSWER}"
    assert read(ended)[0] == [(None, "Kaliton")], "words of the agent that name roles"


CALLS = '<tool_call>{"name": "search", "arguments": {"query": "%s"}}</tool_call>'
FOUND_BOTH = "<tool_response>\n1st\n</tool_response>\n<tool_response>\n2nd\n</tool_response>"


@pytest.mark.parametrize("marks", ["<|im_end|>\n<|im_start|>", "\n"])
def test_calls_at_once_in_a_text_get_their_own_results(marks):
    asked = f"both\n{CALLS % 'one'}\n{CALLS % 'two'}"
    turned = f"{marks}user\n{FOUND_BOTH}{marks}assistant\nso <answer> x </answer>"
    counts = Counter()
    pieces = reader("tool_calls").pieces(asked + turned, counts)
    assert [piece.query for piece in pieces] == ["one", "two", None] and not +counts
    assert ["1st" in piece.information for piece in pieces] == [True, False, False]
    assert ["2nd" in piece.information for piece in pieces] == [False, True, False]
    empty = AgentProtocol(BLOCKS["tool_calls"]).information([], TOKENIZER)
    assert pieces[0].information.replace("1st", "") == empty


def test_calls_at_once_in_a_chat_get_their_own_results(caller):
    told = {"role": "assistant", "content": f"both\n{CALLS % 'one'}\n{CALLS % 'two'}"}
    write_jsonl("logs.jsonl", chat(told, {"role": "user", "content": FOUND_BOTH}, ENDING))
    [row] = adopted("logs.jsonl", "--strict", agent=caller)
    assert queries(row) == ["one", "two"]
    assert ["1st" in turn["information"] for turn in row["turns"]] == [True, False, False]


def test_calls_that_stand_in_the_words_too_are_told_once(caller):
    words = f"both\n{CALLS % 'one'}\n{CALLS % 'two'}"
    calls = [call("a", "one"), call("b", "x", "other"), call("c", "two")]
    for listed in (calls[::2], calls):
        asking = {"role": "assistant", "content": words, "tool_calls": listed}
        results = [result("c", "2nd"), result("b", "?"), result("a", "1st")]
        results = [told for told in results if told["tool_call_id"] in {c["id"] for c in listed}]
        write_jsonl("logs.jsonl", chat(asking, *results, ENDING))
        [row] = adopted("logs.jsonl", agent=caller)
        assert queries(row) == ["one", "two"]
        assert sum(turn["text"].count("tool_call>") for turn in row["turns"]) == 4
        assert ["1st" in turn["information"] for turn in row["turns"]] == [True, False, False]


def test_turns_of_examples_before_the_question_are_not_the_agents(place, capsys):
    messages = [
        {"role": "user", "content": "Question: Who?"},
        {"role": "assistant", "content": AGAIN},
        {"role": "user", "content": SHOWN},
        {"role": "assistant", "content": "<answer> Bob </answer>"},
        {"role": "user", "content": "Question:\nWhere was\nhe born?"},
        {"role": "assistant", "content": ASK},
        {"role": "user", "content": SHOWN},
        {"role": "assistant", "content": ANSWER},
    ]
    write_jsonl("logs.jsonl", [{"id": "0", **ASKED, "messages": messages}])
    [row] = adopted("logs.jsonl")
    assert queries(row) == ["one"] and row["answer"] == "Kaliton"
    assert "turns of examples left out before the question: 2 times" in capsys.readouterr().err


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning", "thinking"])
def test_a_thought_that_names_an_action_is_none(caller, capsys, key):
    thought = "I could say <answer> Bob </answer> now"
    asking = {"role": "assistant", "content": "", key: thought, "tool_calls": [call("a", "one")]}
    write_jsonl("logs.jsonl", chat(asking, result("a", "x"), {**ENDING, key: thought}))
    [row] = adopted("logs.jsonl", agent=caller)
    assert queries(row) == ["one"] and row["answer"] == "Kaliton"
    assert "thoughts left out that read as an action: 2 times" in capsys.readouterr().err
    asking |= {"content": f"<think>{thought}</think>", key: None}
    write_jsonl("logs.jsonl", chat(asking, result("a", "x"), ENDING))
    [row] = adopted("logs.jsonl", agent=caller)
    assert queries(row) == ["one"] and row["answer"] == "Kaliton"
    assert "words left out before a call" in capsys.readouterr().err


def test_what_a_model_declines_to_say_is_kept(caller):
    asking = {"role": "assistant", "tool_calls": [call("a", "one")]}
    declined = {"role": "assistant", "content": None, "refusal": "I cannot help."}
    write_jsonl("logs.jsonl", chat(asking, result("a", "x"), declined))
    [row] = adopted("logs.jsonl", "--strict", agent=caller)
    assert row["turns"][-1]["text"] == "I cannot help." and row["stop"] == "invalid"


def test_the_error_says_what_stood_in_the_way(caller):
    asking = {"role": "assistant", "tool_calls": [call("a", "one", "web_search")]}
    write_jsonl("logs.jsonl", chat(asking, {"from": "gpt", "value": "x"}))
    with pytest.raises(InputError, match=r"\(.*the other tool 'web_search': 1 .* without a role"):
        adopted("logs.jsonl", agent=caller)


def test_a_refusal_file_is_found_whatever_its_line_ends(place, capsys):
    said = "No.\nSay <search> that </search> please.\n"
    log = f"{INVALID}\n{said}{AGAIN}{SHOWN}{ANSWER}"
    write_jsonl("logs.jsonl", [{"id": "0", **ASKED, "response": log.replace("\n", "\r\n")}])
    for ends in ("\n", "\r\n"):
        Path("said.txt").write_bytes(said.replace("\n", ends).encode("utf-8-sig"))
        [row] = adopted("logs.jsonl", "--strict", "--refusal", "said.txt")
        assert queries(row) == ["two"] and row["turns"][0]["text"] == INVALID
        assert "word for word" not in capsys.readouterr().err
    Path("said.txt").write_text("Other words.")
    adopted("logs.jsonl", "--refusal", "said.txt")
    assert "said.txt: no response says this word for word" in capsys.readouterr().err


NAMES_TAGS = "Use <search> query </search> and <answer> x </answer>. Question: Where was he born?\n"
WHOLES = [
    f"<|im_start|>system\nS<|im_end|>\n<|im_start|>user\n{NAMES_TAGS}<|im_end|>\n"
    "<|im_start|>assistant\n",
    f"system\nS\nuser\n{NAMES_TAGS}\nassistant\n",
    f"<s>[INST] {NAMES_TAGS} [/INST] ",
    f"<｜begin▁of▁sentence｜><｜User｜>{NAMES_TAGS}<｜Assistant｜>",
    f"<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n{NAMES_TAGS}<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n",
    "Question: Where was he born?\n",  # the agent's own prompt
]


@pytest.mark.parametrize("prompt", WHOLES)
def test_a_response_may_hold_its_prompt(place, capsys, prompt):
    write_jsonl("logs.jsonl", [{"id": str(n), **ASKED, "response": prompt + LOG} for n in range(2)])
    for row in adopted("logs.jsonl", "--strict"):
        assert "".join(turn["text"] + turn["information"] for turn in row["turns"]) == LOG
    assert "environment" not in capsys.readouterr().err


def test_a_question_may_have_blanks_around_it(place):
    row = {"id": "0", **ASKED, "question": " Where was he born? ", "output": {}}
    row["output"]["prompt"] = WHOLES[0] + LOG
    write_jsonl("logs.jsonl", [row])
    assert queries(adopted("logs.jsonl", "--strict")[0]) == ["one"]


@pytest.mark.parametrize("role", ["user", "tool"])
def test_a_result_in_its_marks_gets_the_role_marks_around_them(caller, role):
    """Hermes's chats write calls and results as text. What stands beyond their marks is the
    template's, and an agent that goes on from there reads it."""
    told = {"role": "assistant", "content": CALLS % "one"}
    found_one = {"role": role, "content": "<tool_response>\n1st\n</tool_response>"}
    write_jsonl("logs.jsonl", chat(told, found_one, ENDING))
    [row] = adopted("logs.jsonl", "--strict", agent=caller)
    empty = AgentProtocol(BLOCKS["tool_calls"]).information([], TOKENIZER)
    assert row["turns"][0]["information"].replace("1st", "") == empty


def test_information_in_a_message_gets_the_line_breaks_around_it(place):
    told = [{"role": "assistant", "content": ASK}, {"role": "user", "content": SHOWN.strip()}]
    write_jsonl("logs.jsonl", chat(*told, ENDING))
    [row] = adopted("logs.jsonl", "--strict")
    opening = AgentProtocol(params.Protocol()).information([]).partition("<information>")[0]
    assert row["turns"][0]["information"].startswith(f"{opening}<information>Doc 1")


OPEN = "<think> first </think> <search> one "


@pytest.mark.parametrize("role", ["user", "tool"])
def test_a_server_may_leave_out_the_mark_at_which_it_stopped(place, capsys, role):
    """As servers with an API of OpenAI's form do. Only what was found then says it was a search."""
    asked = {"role": "assistant", "content": OPEN}
    found_one = {"role": role, "content": SHOWN}
    ended = {"role": "assistant", "content": "so <answer> Kaliton "}
    write_jsonl("logs.jsonl", chat(asked, found_one, ended))
    [row] = adopted("logs.jsonl")
    assert queries(row) == ["one"] and row["answer"] == "Kaliton"
    assert row["turns"][0]["text"] == f"{OPEN}</search>"
    assert "closing marks put back, at which a server had cut the text: 2 times" in (
        capsys.readouterr().err
    )
    with pytest.raises(InputError, match="refused by --strict: closing marks put back"):
        adopted("logs.jsonl", "--strict")
    refused = {"role": "user", "content": MESSAGE}
    closed = {"role": "assistant", "content": ASK}
    write_jsonl("logs.jsonl", chat(asked, refused, closed, {**found_one, "role": "user"}, ended))
    [row] = adopted("logs.jsonl")
    assert len(row["turns"]) == 3 and row["answer"] is None, "cut there by its own limit"
    assert "closing marks" not in capsys.readouterr().err


@pytest.mark.parametrize("form", [json.dumps, repr])
def test_messages_may_be_a_text_that_tells_them(place, form):
    [row] = chat({"role": "assistant", "content": ASK}, {"role": "user", "content": SHOWN}, ENDING)
    write_jsonl("logs.jsonl", [row | {"messages": form(row["messages"])}])
    assert queries(adopted("logs.jsonl", "--strict")[0]) == ["one"]
    for cut in (form(row["messages"])[:-1], "[{'x'}]", "{'role': 'user'}", ""):
        write_jsonl("logs.jsonl", [row | {"messages": cut}])
        with pytest.raises(InputError, match=r"logs\.jsonl:1: 'messages' must be a list"):
            adopted("logs.jsonl")


def test_a_response_may_stand_beside_the_messages(place):
    """It is their last words where these end with the agent's, else what followed them."""
    [row] = chat({"role": "assistant", "content": ASK}, {"role": "user", "content": SHOWN}, ENDING)
    whole = row | {"response": ENDING["content"]}
    write_jsonl("logs.jsonl", [whole, row | {"id": "1", "messages": ASKING, "response": LOG}])
    for told in adopted("logs.jsonl", "--strict"):
        assert queries(told) == ["one"] and told["answer"] == "Kaliton"


def test_a_response_may_begin_with_the_prompt_of_its_row(place, capsys):
    row = {"id": "0", **ASKED, "prompt": NAMES_TAGS, "response": NAMES_TAGS + LOG}
    write_jsonl("logs.jsonl", [row, row | {"id": "1"}])
    for told in adopted("logs.jsonl", "--strict"):
        assert "".join(turn["text"] + turn["information"] for turn in told["turns"]) == LOG
    assert "environment" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"PAR1\x15\x04", "logs: this is parquet: `pandas.read_parquet"),
        (b"\x1f\x8b\x08\x00", "logs: this is gzipped: give it a name that ends in .gz"),
        (b"\x28\xb5\x2f\xfd\x04", "logs: this is compressed by zstd"),
        (b"", "logs: holds no log"),
        (b"[]", "logs: holds no log"),
    ],
)
def test_a_file_that_holds_no_logs_says_what_it_is(place, data, reason):
    Path("logs").write_bytes(data)
    with pytest.raises(InputError, match=reason) as error:
        adopted("logs")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("gold", [1912, [1912], [["Kaliton"]], {"target": 1912}])
def test_gold_answers_that_are_no_texts_are_named_as_the_dump_names_them(place, gold):
    write_jsonl("7.jsonl", [{"input": "Question: Where?\n", "output": LOG, "gts": gold}])
    with pytest.raises(InputError, match=r"7\.jsonl:1: 'gts' must be a text or a list of texts"):
        adopted("7.jsonl")


def test_answers_in_another_form_are_said(caller, capsys):
    """Agents that call tools often just say their answer."""
    asking = {"role": "assistant", "tool_calls": [call("a", "one")]}
    said = {"role": "assistant", "content": "He was born in Kaliton."}
    rows = [*chat(asking, result("a", "x"), said), *chat(asking, result("a", "x"), ENDING)]
    write_jsonl("logs.jsonl", [row | {"id": str(n)} for n, row in enumerate(rows)])
    assert [row["stop"] for row in adopted("logs.jsonl", agent=caller)] == ["invalid", "answer"]
    said = "2 trajectories, 1 of them without an answer in the form of this protocol\n"
    assert capsys.readouterr().err == said


def test_a_search_of_another_name_is_one_option_away(caller):
    asking = {"role": "assistant", "tool_calls": [call("a", "one", "web_search")]}
    write_jsonl("logs.jsonl", chat(asking, result("a", "x"), ENDING))
    with pytest.raises(InputError, match=r"'web_search': 1 times\); --tool gives the name of the"):
        adopted("logs.jsonl", agent=caller)
    assert queries(adopted("logs.jsonl", "--tool", "web_search", agent=caller)[0]) == ["one"]


def test_a_prompt_that_names_the_marks_asks_the_question(place):
    """Not the message that says it again later, before which turns would be taken for examples."""
    prompt = "Look for <information> with <search> query </search>. Question: Where was he born?"
    turn = [{"role": "assistant", "content": ASK}, {"role": "user", "content": SHOWN}]
    again = [{"role": "assistant", "content": INVALID}]
    again += [{"role": "user", "content": "Say it in tags! Question: Where was he born?"}]
    messages = [{"role": "user", "content": prompt}, *turn, *again, ENDING]
    write_jsonl("logs.jsonl", [{"id": "0", **ASKED, "messages": messages}])
    assert queries(adopted("logs.jsonl", "--strict")[0]) == ["one"]


def test_a_refusal_that_names_the_marks_of_information_closes_nothing(place, capsys):
    said = "Write <search> x </search>; what is found comes in <information> and </information>."
    refused = [{"role": "assistant", "content": OPEN}, {"role": "user", "content": said}]
    turn = [{"role": "assistant", "content": ASK}, {"role": "user", "content": SHOWN}]
    write_jsonl("logs.jsonl", chat(*refused, *turn, ENDING))
    [row] = adopted("logs.jsonl", "--strict")
    assert queries(row) == ["one"] and len(row["turns"]) == 3
