"""The rollout loop: masks, limits, prefixes and determinism, on told turns and a trained model."""

from dataclasses import replace
from pathlib import Path

import pytest
from rollout_models import (
    DIALOGUES,
    TAGS,
    make_chat_tokenizer,
    make_tokenizer,
    train_agent,
)

from stages import params
from stages.common.records import Passage, Question
from stages.common.search import Hit
from stages.common.trajectories import Shown
from stages.engines.generator import TransformersGenerator
from stages.rollout.blocks import search_depth
from stages.rollout.limits import limited, limits_told
from stages.rollout.loop import prefix, record, run, start
from stages.rollout.protocol import AgentProtocol, encode_text, read_protocol
from stages.trajectories import TrajectoryCounts

CONF = Path(__file__).parents[1] / "conf" / "protocol"
TINY = AgentProtocol(params.Protocol())
RETRY = AgentProtocol(params.Protocol(invalid_message="\nTry again.\n"))
LIMITS = params.Rollout(
    max_searches=2, max_turn_tokens=30, max_information_tokens=40, max_context_tokens=200
)
QUESTIONS = [Question(str(n), question, [gold]) for n, (question, _, gold) in enumerate(DIALOGUES)]
FACTS = [
    Passage(f"p{n}", "T", f"{query} of {gold}") for n, (_, query, gold) in enumerate(DIALOGUES)
]


class Told:
    """Says what it was told, turn by turn: `scripts` by the first tokens of a prompt."""

    window = 10_000

    def __init__(self, scripts):
        self.tokenizer = make_tokenizer()
        self.scripts = {q: iter(turns) for q, turns in scripts.items()}
        self.batches = []

    def generate(self, prompts, *, stop, max_new_tokens, temperature=0.0, keys=None):
        self.batches.append(len(prompts))
        texts = [self.tokenizer.decode(prompt) for prompt in prompts]
        said = [next(self.scripts[text.splitlines()[0]]) for text in texts]
        return [self.tokenizer.encode(text, add_special_tokens=False) for text in said]


def search(requests):
    """The fact of the film in the query, then the others."""
    order = [sorted(FACTS, key=lambda f: f.text.split()[1] not in r.query) for r in requests]
    return [[Hit(passage, 1.0) for passage in facts[:1]] for facts in order]


def told(*turns, protocol=TINY, limits=LIMITS):
    question = Question("q", "who?", ["Ana"])
    generator = Told({"Question: who?": turns})
    rollout = start(question, protocol, generator.tokenizer)
    run([rollout], generator, search, protocol, limits)
    check(rollout, generator.tokenizer)
    return rollout


def check(rollout, tokenizer):
    """Prompt, turns and information in order, and the mask on the turns alone."""
    ids = list(rollout.token_ids[: rollout.prompt_length])
    mask = [0] * len(ids)
    for turn in rollout.turns:
        shown = encode_text(turn.information, tokenizer)
        ids += turn.token_ids + shown
        mask += [1] * len(turn.token_ids) + [0] * len(shown)
    assert rollout.token_ids == ids
    assert rollout.mask == mask


SEARCH = "<think> t </think> <search> film Beta </search>"
ANSWER = "<think> u </think> <answer> Ana </answer>"


def test_search_then_answer():
    rollout = told(SEARCH, ANSWER)
    line = record(rollout)
    assert line.stop == "answer"
    assert (line.answer, line.em, line.f1, line.searches) == ("Ana", 1, 1.0, 1)
    first, second = line.turns
    assert (first.text, first.thought, first.query) == (SEARCH, "t", "film Beta")
    assert first.passages == [Shown("p1", 1.0)]
    assert first.information == "\n<information>\nfilm Beta of Bo\n</information>\n"
    assert (second.query, second.passages, second.information) == (None, [], "")


def test_a_search_beyond_the_limit_stops():
    line = record(told(SEARCH, SEARCH, SEARCH))
    assert (line.stop, line.answer, line.em, line.searches) == ("searches", None, 0, 2)
    assert [turn.query for turn in line.turns] == ["film Beta", "film Beta", None]


def test_an_answer_after_the_last_search_counts():
    assert told(SEARCH, SEARCH, ANSWER).stop == "answer"


def test_a_turn_without_an_action_stops_or_is_told_so():
    assert told("<think> hm").stop == "invalid"
    retried = told("<think> hm", ANSWER, protocol=RETRY)
    assert (retried.stop, retried.answer) == ("answer", "Ana")
    assert retried.turns[0].information == "\nTry again.\n"
    assert record(retried).searches == 0
    spent = told("hm", SEARCH, "hm", protocol=RETRY)
    assert (spent.stop, len(spent.turns)) == ("invalid", 3)


def test_a_context_without_room_for_a_turn_stops():
    tight = params.Rollout(
        max_searches=2, max_turn_tokens=30, max_information_tokens=40, max_context_tokens=45
    )
    rollout = told(SEARCH, limits=tight)
    assert (rollout.stop, len(rollout.turns)) == ("length", 1)
    assert (
        told(
            limits=params.Rollout(
                max_searches=2, max_turn_tokens=30, max_information_tokens=40, max_context_tokens=20
            )
        ).stop
        == "length"
    )


def counted(rows) -> dict:
    """The figures of the stage trajectories, of as many questions."""
    counts = TrajectoryCounts()
    for row in rows:
        counts.add(row)
    return counts.metrics(len(rows))


def test_what_limits_cut_is_counted():
    retried = told("hm", SEARCH, ANSWER, protocol=RETRY, limits=replace(LIMITS, max_searches=3))
    cut = told(SEARCH, ANSWER, limits=replace(LIMITS, max_information_tokens=8))
    full = told(
        SEARCH,
        limits=params.Rollout(
            max_searches=2, max_turn_tokens=30, max_information_tokens=40, max_context_tokens=45
        ),
    )
    rows = [record(rollout) for rollout in (told(SEARCH, ANSWER), cut, full)]
    counts = [tuple(limited(row.turns, row.stop).values()) for row in rows]
    assert counts == [(0, 0, 0), (1, 0, 0), (0, 0, 1)]
    assert limited(retried.turns, retried.stop) == {"cut": 0, "refused": 1, "lost": 0}
    assert "limits" not in counted(rows[:1]), "nothing to tell"
    assert counted(rows)["limits"] == {"cut": 1, "refused": 0, "lost": 1}
    assert limits_told(counted(rows)) == [
        "1 observations were cut, of 3 searches",
        "1 questions were lost to a full context, of 3",
    ]


def test_waves_go_on_with_those_that_live():
    scripts = {
        "Question: a?": [ANSWER],
        "Question: b?": [SEARCH, SEARCH, ANSWER],
        "Question: c?": [SEARCH, ANSWER],
    }
    generator, asked = Told(scripts), []

    def counting(requests):
        asked.append([(r.question, r.history, r.query) for r in requests])
        return search(requests)

    rollouts = [
        start(Question(q[10:], q[10:], ["Ana"]), TINY, generator.tokenizer) for q in scripts
    ]
    finished = []
    run(rollouts, generator, counting, TINY, LIMITS, advance=finished.append)
    assert generator.batches == [3, 2, 1] and finished == [1, 1, 1]
    assert [r.stop for r in rollouts] == ["answer"] * 3
    assert asked == [
        [("b?", (), "film Beta"), ("c?", (), "film Beta")],
        [("b?", ("film Beta",), "film Beta")],
    ]
    run(rollouts, generator, counting, TINY, LIMITS)  # nothing is alive: nothing happens
    assert generator.batches == [3, 2, 1]


def ranking(requests):
    """All facts, that of the film in the query first, the others as they stand."""
    order = [sorted(FACTS, key=lambda f: f.text.split()[1] not in r.query) for r in requests]
    return [[Hit(passage, 1.0) for passage in facts] for facts in order]


def shown_in(rollout):
    return [[passage.id for passage in turn.passages] for turn in rollout.turns]


NEW = replace(LIMITS, top_k=1, max_searches=3, max_context_tokens=400, new_results_only=True)


@pytest.mark.parametrize("shown", [None, 1])
def test_a_passage_is_shown_once_and_the_next_in_rank_takes_its_place(shown):
    assert search_depth(NEW, 1) == 3 and search_depth(replace(NEW, new_results_only=False), 1) == 1
    generator = Told({"Question: who?": [SEARCH, SEARCH, SEARCH, ANSWER]})
    rollout = start(Question("q", "who?", ["Ana"]), TINY, generator.tokenizer)
    run([rollout], generator, ranking, TINY, NEW, shown=shown)
    check(rollout, generator.tokenizer)
    assert shown_in(rollout) == [["p1"], ["p0"], ["p2"], []]
    assert "film Alpha of Ana" in rollout.turns[1].information
    ranked = [turn.ranked for turn in rollout.turns[:3]]
    new = [["p1", "p0", "p2", "p3"], ["p0", "p2", "p3"], ["p2", "p3"]]
    assert ranked == (new if shown else [None] * 3)


def test_what_gac_puts_in_is_shown_and_what_it_replaces_was_not():
    script = [SEARCH, SEARCH, ANSWER]
    question = Question("q", "who?", ["Ana"])
    generator = Told({"Question: who?": [*script, *script[1:], *script[1:], ANSWER]})
    rollout = start(question, TINY, generator.tokenizer)
    run([rollout], generator, ranking, TINY, NEW)
    whole, tokenizer = record(rollout), generator.tokenizer
    assert shown_in(rollout) == [["p1"], ["p0"], []]
    first = prefix(whole, 0, [FACTS[3]], TINY, tokenizer, NEW)
    run([first], generator, ranking, TINY, NEW)
    assert shown_in(first) == [["p3"], ["p1"], []], "p1 was not shown in this rollout"
    put = prefix(whole, 0, [FACTS[1]], TINY, tokenizer, NEW)
    run([put], generator, ranking, TINY, NEW)
    assert shown_in(put) == [["p1"], ["p0"], []] and put.token_ids == rollout.token_ids
    again = prefix(whole, 1, [FACTS[1]], TINY, tokenizer, NEW)
    assert shown_in(again) == [["p1"], ["p1"]], "a candidate is put in though it was shown before"


@pytest.fixture(scope="module")
def agent(tmp_path_factory):
    folder = train_agent(tmp_path_factory.mktemp("agent"), TINY)
    return TransformersGenerator(folder, batch_size=3)


def rollouts_of(agent, questions=QUESTIONS, **options):
    rollouts = [start(question, TINY, agent.tokenizer) for question in questions]
    run(rollouts, agent, search, TINY, LIMITS, **options)
    for rollout in rollouts:
        check(rollout, agent.tokenizer)
    return rollouts


def test_a_trained_agent_searches_and_answers(agent):
    lines = [record(rollout) for rollout in rollouts_of(agent)]
    assert [line.em for line in lines] == [1] * len(QUESTIONS)
    assert [line.turns[0].query for line in lines] == [query for _, query, _ in DIALOGUES]
    alone = [record(rollouts_of(agent, [question])[0]) for question in QUESTIONS]
    assert alone == lines


def test_sampling_is_fixed_by_the_keys_alone(agent):
    keys = [101, 102, 103, 104]
    one = rollouts_of(agent, temperature=1.0, keys=keys)
    other = rollouts_of(agent, QUESTIONS[::-1], temperature=1.0, keys=keys[::-1])
    assert [record(r) for r in one] == [record(r) for r in other[::-1]]
    many = rollouts_of(agent, QUESTIONS[:1] * 12, temperature=3.0, keys=list(range(12)))
    assert len({tuple(r.token_ids) for r in many}) > 6


@pytest.mark.parametrize("turn", [0, 1])
def test_a_prefix_is_the_conversation_up_to_its_information(turn):
    """With the very passages that were shown, the rollout goes on to the same end."""
    question = Question("q", "who?", ["Ana"])
    script = [SEARCH, SEARCH.replace("Beta", "Gamma"), ANSWER]
    generator = Told({"Question: who?": [*script, *script[turn + 1 :]]})
    rollout = start(question, TINY, generator.tokenizer)
    run([rollout], generator, search, TINY, LIMITS)
    whole = record(rollout)
    shown = [FACTS[1 + turn]]
    again = prefix(whole, turn, shown, TINY, generator.tokenizer, LIMITS)
    assert len(again.turns) == turn + 1
    length = len(again.token_ids)
    assert again.token_ids == rollout.token_ids[:length]
    assert again.mask == rollout.mask[:length]
    check(again, generator.tokenizer)
    run([again], generator, search, TINY, LIMITS)
    assert again.token_ids == rollout.token_ids
    assert [t.text for t in again.turns] == [t.text for t in whole.turns]
    other = prefix(whole, turn, [FACTS[3]], TINY, generator.tokenizer, LIMITS)
    assert other.turns[-1].passages == [Shown("p3", None)]
    assert "film Delta of Ur" in generator.tokenizer.decode(other.token_ids)
    assert len(whole.turns[turn].passages) == 1  # the trajectory is left as it was
    assert whole == record(rollout)


def test_tags_are_no_special_tokens(agent):
    ids = agent.tokenizer.encode("".join(TAGS), add_special_tokens=False)
    assert agent.tokenizer.decode(ids, skip_special_tokens=True) == "".join(TAGS)


def test_tool_calls_go_through_the_same_loop():
    protocol = read_protocol(CONF / "tool_calls.yaml")
    call = '<tool_call>{"name": "search", "arguments": {"query": "film Beta"}}</tool_call>'
    question, tokenizer = Question("q", "who?", ["Ana"]), make_chat_tokenizer()
    said = iter([f"t {call}", "no call", "u <answer> Ana </answer>"])
    limits = replace(LIMITS, max_searches=3, max_information_tokens=100, max_context_tokens=9999)

    class Speaker(Told):
        def generate(self, prompts, **settings):
            return [tokenizer.encode(next(said), add_special_tokens=False) for _ in prompts]

    speaker = Speaker({})
    speaker.tokenizer = tokenizer
    rollout = start(question, protocol, tokenizer)
    run([rollout], speaker, search, protocol, limits)
    line = record(rollout)
    assert (line.stop, line.em, line.searches) == ("answer", 1, 1)
    assert [turn.query for turn in line.turns] == ["film Beta", None, None]
    assert "<tool_response>\n(1) T: film Beta of Bo" in line.turns[0].information
    assert "That was neither" in line.turns[1].information
    whole = tokenizer.decode(rollout.token_ids)
    assert whole.count("<|im_start|>assistant\n") == 3, "each turn is one of the chat"
    assert whole.count("<|im_end|>") == 6
    again = prefix(line, 0, [FACTS[1]], protocol, tokenizer, limits)
    assert again.token_ids == rollout.token_ids[: len(again.token_ids)]
    assert again.mask == rollout.mask[: len(again.mask)]
