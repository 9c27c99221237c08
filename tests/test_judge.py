"""Asking a judge: retries, what is said when they fail, and text that looks like special tokens."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from rows import prediction

from stages.common.records import Passage
from stages.engines.cut import Cut
from stages.judge import relevance, sub_answers
from stages.judge.asking import PLACE, Ask, Judge, JudgeReply, encode_prompt
from stages.judge.prompts import MalformedReply, Prompt
from stages.judge.reasoning import opens
from stages.language.tokenizer import make_tokenizer
from stages.plumbing.errors import InputError

WORDS = make_tokenizer([f"[{n}] {n} none Not Sure q w p" for n in range(101)])
PATTERN = re.compile(r"^\[(?P<label>[0-9]+)\] (?P<value>.*)$", re.MULTILINE)
FIRST = re.compile(r"^\[(?P<label>[0-9]+)\] (?P<value>[0-9]+)( p)?$", re.MULTILINE)
PROMPT = Prompt("{query}|{reference}|{passages}", PATTERN, "[{label}] {text}\n", "none", False)
ANSWERS = Prompt("{trajectory}|{queries}", PATTERN, "[{label}] {text}\n", "Not Sure", False)
PASSAGES = [Passage(f"p{n}", "", f"p {n}") for n in range(4)]


class Script:
    """A generator whose replies are written down: {start of the prompt: replies by try}."""

    tokenizer = WORDS
    window = 200

    def __init__(self, **replies):
        self.replies, self.calls = replies, []

    def generate(self, prompts, *, stop, max_new_tokens, temperature, keys):
        self.calls.append(
            SimpleNamespace(size=len(prompts), temperature=temperature, keys=keys, stop=stop)
        )
        texts = [self.replies[WORDS.decode(ids)[0]] for ids in prompts]
        return [WORDS.encode(each[min(len(self.calls), len(each)) - 1]) for each in texts]


def judge(generator, retries=2) -> Judge:
    return Judge(generator, seed=5, retries=retries, temperature=0.7, max_reply_tokens=60)


def query(name: str, reference=None) -> relevance.JudgedQuery:
    return relevance.JudgedQuery(name, name, reference, PASSAGES[:2])


def test_only_malformed_replies_are_asked_for_again():
    script = Script(
        q=["[1] 80\n[2] 0"], w=["[1] 80", "[2] 1\n[1] 70"], p=["", "[1] x\n[2] 2", "[1] 1\n[1] 2"]
    )
    good, late, never = relevance.grade_passages(
        judge(script), PROMPT, [query(n) for n in "qwp"], window=2
    )
    assert (good.scores, good.retries, good.failure) == ({"p0": 80, "p1": 0}, 0, None)
    assert (late.scores, late.retries, late.failed) == ({"p0": 70, "p1": 1}, 1, [])
    assert (never.scores, never.retries, never.failure) == (None, 2, "duplicate_labels")
    said = {"id": "relevance/p/p0", "reply": "[1] 1\n[1] 2", "reason": "duplicate_labels"}
    assert never.failed == [said | {"tries": 3}], "the last reply to each prompt is kept"
    assert [call.size for call in script.calls] == [3, 2, 1]
    assert [call.temperature for call in script.calls] == [0.0, 0.7, 0.7]
    keys = [key for call in script.calls[1:] for key in call.keys]
    assert len(set(keys)) == len(keys), "tries and queries draw different noise"


def test_noise_belongs_to_the_query_not_to_its_batch():
    both, alone = (Script(q=[""], w=[""]) for _ in range(2))
    relevance.grade_passages(judge(both), PROMPT, [query("q"), query("w")], window=2)
    relevance.grade_passages(judge(alone), PROMPT, [query("w")], window=2)
    assert [call.keys[1] for call in both.calls] == [call.keys[0] for call in alone.calls]


def test_one_bad_window_drops_the_query():
    script = Script(q=["[1] 5\n[2] 6\n[3] 7"])
    asked = relevance.JudgedQuery("q", "q", None, PASSAGES)
    (grades,) = relevance.grade_passages(judge(script), PROMPT, [asked], window=3)
    assert (grades.scores, grades.failure, grades.retries) == (None, "extra_labels", 2)
    assert [call.size for call in script.calls] == [2, 1, 1]


def test_the_reference_reaches_the_judge():
    assert relevance.render(PROMPT, "q", "w", PASSAGES[:1]) == "q|w|[1] p 0\n"
    assert relevance.render(PROMPT, "q", None, PASSAGES[:1]) == "q|none|[1] p 0\n"


def test_the_prompt_file_says_where_a_reply_ends():
    script = Script(q=["[1] 1\n[2] 2"])
    ends = Prompt("{query}{reference}{passages}", PATTERN, "{text}", "none", False, ["\n\n"])
    relevance.grade_passages(judge(script), ends, [query("q")], window=2)
    assert script.calls[0].stop == ["\n\n"]


def test_no_retries_means_one_try():
    script = Script(q=[""])
    (grades,) = relevance.grade_passages(judge(script, retries=0), PROMPT, [query("q")], window=2)
    assert (grades.retries, len(script.calls)) == (0, 1)


def test_a_prompt_that_does_not_fit_is_never_sent():
    script = Script()
    long = relevance.JudgedQuery("q", "q " * 200, None, PASSAGES[:1])
    (grades,) = relevance.grade_passages(judge(script), PROMPT, [long], window=2)
    assert (grades.failure, script.calls) == ("prompt_too_long", [])
    assert [(row["reply"], row["tries"]) for row in grades.failed] == [(None, 0)]


def test_sub_answers_by_turn_and_without_reference():
    """Turn 1 was invalid, so it has no query; the last query was beyond the limit."""
    said = (("a", "q", "b"), ("c", None, "d"), ("e", "w", "f"), ("g", None, ""))
    turns = [{"text": text, "query": query, "information": shown} for text, query, shown in said]
    row = prediction("1", *turns, question="p")
    assert sub_answers.render(ANSWERS, row) == "Question: p\nabcdefg|[1] q\n[2] w\n"
    script = Script(Q=["[1] Not Sure", "[1] w\n[2] not sure"])
    (answers,) = sub_answers.ask(judge(script), ANSWERS, [row])
    assert (answers.by_turn, answers.failure, answers.retries) == ({0: "w", 2: None}, None, 1)
    (answers,) = sub_answers.ask(judge(Script(Q=["w"])), ANSWERS, [row])
    assert (answers.by_turn, answers.failure) == ({0: None, 2: None}, "missing_labels")


def test_the_gold_answers_are_told_where_the_parameter_says_so():
    """Held to the file's own words, with and without them."""
    path = Path("stages/prompts/sub_answers.yaml")
    prompt, raw = sub_answers.load(path, True), yaml.safe_load(path.read_text())
    golden = ["Soman\n Barax", "{trajectory}"]
    turn = {"text": "a", "query": "q", "information": "b"}
    row = prediction("1", turn, question="p", golden_answers=golden)
    told, plain = (sub_answers.render(prompt, row, gold) for gold in (True, False))
    words = raw["gold"].replace("{answers}", "Soman Barax; {trajectory}")
    assert told.count(words) == 1 and told.replace(words, "") == plain
    assert "Soman" not in plain and "{gold}" not in plain
    asks = []
    seen = SimpleNamespace(ask=lambda _, asked: asks.extend(asked) or [JudgeReply(["x"], None, 0)])
    for gold in (True, False):
        sub_answers.ask(seen, prompt, [row], gold)
    assert [ask.text for ask in asks] == [told, plain]


def test_a_prompt_that_cannot_tell_the_gold_answers_is_named():
    path = "stages/prompts/sub_answers_short.yaml"
    assert sub_answers.load(path, False).gold == ""
    with pytest.raises(InputError, match=r"sub_answers_short.yaml: 'gold' is missing"):
        sub_answers.load(path, True)


def test_text_cannot_write_special_tokens():
    ids = encode_prompt(PROMPT, f"q {WORDS.eos_token} w", WORDS)
    assert WORDS.eos_token_id not in ids
    assert WORDS.decode(ids) == f"q {WORDS.eos_token} w"


def test_a_chat_prompt_is_one_user_message():
    words = make_tokenizer(["user assistant q w"])
    words.chat_template = (
        "{% for m in messages %}<|bos|>{{ m.role }} {{ m.content }}<|eos|>{% endfor %}"
        "{% if add_generation_prompt %}<|bos|>assistant {% endif %}"
    )
    chat = Prompt("", PATTERN, "", "none", True)
    ids = encode_prompt(chat, "q <|eos|> w", words)
    assert words.decode(ids) == "<|bos|>user q <|eos|> w<|eos|><|bos|>assistant "
    assert ids.count(words.eos_token_id) == 1 and PLACE not in words.decode(ids)
    with pytest.raises(InputError, match="chat"):
        encode_prompt(chat, "q", WORDS)


def test_reading_may_only_fail_as_malformed():
    def read(reply):
        raise MalformedReply("no")

    (reply,) = judge(Script(q=["x"])).ask(PROMPT, [Ask("a", "q", read)])
    assert (reply.value, reply.failure, reply.retries) == (None, "no", 2)


def thinking_judge(marks: bool):
    """A tokenizer whose chat template opens a thought; `marks`: its tags are special tokens."""
    words = make_tokenizer(["user assistant q w <think> </think> [1] [2] 85 10 20"])
    words.chat_template = (
        "{% for m in messages %}{{ m.role }} {{ m.content }}{% endfor %}"
        "{% if add_generation_prompt %} assistant <think>{% endif %}"
    )
    if marks:
        words.add_special_tokens({"additional_special_tokens": ["<think>", "</think>"]})
    return words


@pytest.mark.parametrize("marks", [False, True])
@pytest.mark.parametrize(
    ("reply", "grades"),
    [
        ("[1] 20\n[2] 20\n</think>\n[1] 85\n[2] 10", [85, 10]),
        ("<think>[1] 20\n[2] 20\n</think>\n[1] 85\n[2] 10", [85, 10]),
        ("[1] 20\n[2] 20", None),  # the thought that the template opened was cut off
    ],
)
def test_a_thought_that_the_template_opens_is_cut(marks, reply, grades):
    words = thinking_judge(marks)
    chat = Prompt("{query}{reference}{passages}", PATTERN, "{text}", "none", True)

    class Thinker(Script):
        tokenizer = words

        def generate(self, prompts, **_):
            return [words.encode(reply, add_special_tokens=False) for _ in prompts]

    (found,) = relevance.grade_passages(judge(Thinker(), retries=0), chat, [query("q")], window=2)
    assert found.scores == (grades and dict(zip(("p0", "p1"), grades)))
    assert found.failure == (None if grades else "only_reasoning")


def test_a_template_that_closes_its_thought_opens_none():
    """As that of a judge that can think and is asked not to."""
    assert not opens("assistant <think>\n\n</think>\n\n") and opens("assistant <think>\n")


@pytest.mark.parametrize(
    ("reply", "grades", "reason"),
    [
        ("[1] 80\n[2] 7", None, "cut_off"),  # of 70, say
        ("[1] 80 [2] 7", None, "cut_off"),
        ("[1] 80\n[2] 70\n", [80, 70], None),
        ("[1] 80\n[2] 70\np q", [80, 70], None),
        ("[1] 80\n[2] 70 p\n[1] 9", [80, 70], None),
    ],
)
@pytest.mark.parametrize("said", [False, True])
def test_half_a_number_is_none(reply, grades, reason, said):
    """Of a reply that ran into the limit, by its length or by its server's word."""

    class Limited(Script):
        def generate(self, prompts, **_):
            ids = WORDS.encode(reply)
            return [Cut(ids) if said else ids for _ in prompts]

    limit = len(WORDS.encode(reply)) + said
    asked = Judge(Limited(), seed=5, retries=0, temperature=0.7, max_reply_tokens=limit)
    prompt = Prompt("{query}|{reference}|{passages}", FIRST, "[{label}] {text}\n", "none", False)
    (found,) = relevance.grade_passages(asked, prompt, [query("q")], window=2)
    assert found.scores == (grades and dict(zip(("p0", "p1"), grades)))
    assert found.failure == reason
    if reason:
        assert found.failed[0]["reply"] == reply, "it is kept whole"
