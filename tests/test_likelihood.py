"""Likelihood in place of GAC: what the agent that git keeps says of passages, and its wording."""

import functools
import math
from pathlib import Path

import pytest
import torch

from stages.common.records import Passage
from stages.distillation.likelihood import (
    Wording,
    answer_likelihood,
    likeliest,
    load_reader,
    rate,
    reworded,
)
from stages.gac.rollouts import Start
from stages.params import Compute, Generation, load_params
from stages.params import Protocol as Block
from stages.plumbing.errors import InputError
from stages.rollout.loop import Limits
from stages.rollout.protocol import Protocol, read_protocol

ROOT = Path(__file__).parents[1]
TAGS = Protocol(Block())
SAID = "<think> architect Raruman lives in Davaton </think> <answer> Davaton </answer>"
RIGHT = Passage("1", "Raruman", "The architect Raruman lives in Davaton.")
WRONG = Passage("2", "Raruman", "The artist Raruman lives in Tamaton.")


@pytest.fixture(scope="module")
def reader():
    """The base agent that git keeps."""
    return load_reader(ROOT / "models/agent/0", Generation(), Compute(threads=1))


def trajectory(reader, last: str = SAID, answer: str | None = "Davaton") -> dict:
    texts = ["<think> find Raruman </think> <search> where does Raruman live </search>", last]
    encode = reader.tokenizer.encode
    return {
        "id": "q",
        "question": "Where does the architect Raruman live?",
        "golden_answers": ["Davaton"],
        "answer": answer,
        "turns": [
            {"text": text, "token_ids": encode(text, add_special_tokens=False), "information": ""}
            for text in texts
        ],
    }


def rated(reader, told: dict, passages: list[Passage]) -> list[dict]:
    params = load_params(ROOT / "params.yaml")
    asked = [(Start(told, 0, passage), Wording([told], TAGS).turns(told)) for passage in passages]
    done = []
    rows = rate(asked, reader, Protocol(params.protocol), Limits.of(params.rollout), done.append)
    assert sum(done) == len(rows)
    return rows


def test_a_real_agent_prefers_the_passage_that_holds_the_answer(reader):
    right, wrong = rated(reader, trajectory(reader), [RIGHT, WRONG])
    assert right["likelihood"] > wrong["likelihood"] + 0.5
    assert right["read"] == wrong["read"] > len(trajectory(reader)["turns"][0]["token_ids"])


def test_a_wrong_answer_is_replaced_in_the_thought_too(reader):
    told = trajectory(reader, SAID.replace("Davaton", "Tamaton"), "Tamaton")
    assert Wording([told], TAGS).turns(told) == [SAID]


def test_without_an_answer_another_trajectory_shows_the_form(reader):
    silent = {**trajectory(reader, answer=None), "golden_answers": ["Bo", " ", r"\1"]}
    wording = Wording([silent, trajectory(reader)], TAGS)
    assert wording.turns(silent) == ["<answer> Bo </answer>", r"<answer> \1 </answer>"]
    with pytest.raises(InputError, match="no trajectory has an answer"):
        Wording([silent], TAGS)


@pytest.mark.parametrize(
    ("file", "said", "action"),
    [
        ("search_r1", SAID, "<answer> Bo </answer>"),
        ("search_r1", "<answer> none <search> <answer> Davaton </answer>", "<answer> Bo </answer>"),
        ("simple_deep_searcher", r"so \boxed{\text{Davaton}}.", r"\boxed{\text{Bo}}"),
        ("simple_deep_searcher", r"Davaton: \boxed{Davaton} it is", r"\boxed{Bo}"),
        ("simple_deep_searcher", SAID, None),
    ],
)
def test_the_agents_protocol_finds_the_form(reader, file, said, action):
    protocol = read_protocol(ROOT / f"conf/protocol/{file}.yaml")
    silent = {**trajectory(reader, answer=None), "golden_answers": ["Bo"]}
    if action:
        assert Wording([trajectory(reader, said)], protocol).turns(silent) == [action]
        return
    with pytest.raises(InputError, match=r"does not read the answer 'Davaton' in .* turn of 'q'"):
        Wording([silent, trajectory(reader, said)], protocol)


def test_only_whole_words_are_replaced():
    told = {
        "answer": "Al",
        "turns": [{"text": "<think> Al of Altown </think> <answer> Al </answer>"}],
    }
    told["golden_answers"] = ["Bo"]
    assert reworded(told) == ["<think> Bo of Altown </think> <answer> Bo </answer>"]
    unspaced = {"answer": "巴黎", "turns": [{"text": "答案是巴黎"}], "golden_answers": ["东京"]}
    assert reworded(unspaced) == ["答案是东京"]


def plain(reader, context: list[int], answer: list[int]) -> float:
    """One sequence, all its logits, one token after another."""
    with torch.inference_mode():
        logits = reader.model(torch.tensor([context + answer])).logits[0].double()
    every = torch.log_softmax(logits, dim=-1)
    told = [every[len(context) + n - 1, token].item() for n, token in enumerate(answer)]
    return sum(told) / len(told)


def test_likelihood_is_the_mean_over_the_tokens_of_the_best_answer(reader):
    encode = functools.partial(reader.tokenizer.encode, add_special_tokens=False)
    texts = ["Where", "Question: where", "The artist Raruman lives in Tamaton.\n" * 3, "Davaton"]
    contexts = [encode(text) for text in texts]
    answers = [[encode("Davaton"), encode("Tamaton was born")], [encode(SAID)]] * 2
    expected = [
        max(plain(reader, context, answer) for answer in options)
        for context, options in zip(contexts, answers)
    ]
    found = answer_likelihood(contexts, answers, reader, 1000)
    assert found == pytest.approx(expected, abs=1e-4)
    for row, value in enumerate(found):  # alone, and at the end of the model's window
        one = contexts[row : row + 1], answers[row : row + 1], reader
        assert answer_likelihood(*one, 1000) == [value]
        tight = len(contexts[row]) + max(map(len, answers[row]))
        assert answer_likelihood(*one, tight) == [pytest.approx(value, abs=1e-4)]


def test_what_does_not_fit_has_no_likelihood(reader):
    found = answer_likelihood([[5, 6, 7], [5]], [[[8, 9]], [[8], [8, 9]]], reader, 4)
    assert found[0] is None and math.isfinite(found[1])
    assert likeliest({"a": None, "b": -2.0, "c": -2.0, "d": -3.0}) == {
        "a": 0,
        "b": 1,
        "c": 1,
        "d": 0,
    }
    assert likeliest({"a": None}) == {"a": 0} and likeliest({}) == {}
