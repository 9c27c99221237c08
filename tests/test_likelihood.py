"""REPLUG's label: what the agent that git keeps says of passages, and how an answer is worded."""

import functools
import math
from pathlib import Path

import pytest
import torch

from stages.common.records import Passage
from stages.common.trajectories import Trajectory, Turn
from stages.distillation.likelihood import (
    answer_likelihood,
    load_reader,
    rate,
    reworded,
)
from stages.params import Compute, Generation, load_params
from stages.params import Protocol as Block
from stages.plumbing.errors import InputError
from stages.rollout.protocol import AgentProtocol

ROOT = Path(__file__).parents[1]
TAGS = AgentProtocol(Block())
SAID = "<think> architect Raruman lives in Davaton </think> <answer> Davaton </answer>"
RIGHT = Passage("1", "Raruman", "The architect Raruman lives in Davaton.")
WRONG = Passage("2", "Raruman", "The artist Raruman lives in Tamaton.")


@pytest.fixture(scope="module")
def reader():
    """The base agent that git keeps."""
    return load_reader(ROOT / "models/agent/0", Generation(), Compute(threads=1))


def trajectory(reader, last: str = SAID, answer: str | None = "Davaton") -> Trajectory:
    texts = ["<think> find Raruman </think> <search> where does Raruman live </search>", last]
    encode = reader.tokenizer.encode
    told = [Turn(text, encode(text, add_special_tokens=False), "", None) for text in texts]
    return answered(told, answer, ["Davaton"])


def answered(turns: list[Turn], answer: str | None, golden_answers: list[str]) -> Trajectory:
    question = "Where does the architect Raruman live?"
    return Trajectory("q", question, golden_answers, turns, answer, 0, 0.0, 0, "answer")


def rated(reader, told: Trajectory, passages: list[Passage]) -> list[dict]:
    params = load_params(ROOT / "params.yaml")
    asked = [(told, passage, reworded(told)) for passage in passages]
    done = []
    rows = rate(asked, reader, AgentProtocol(params.protocol), params.rollout, done.append)
    assert sum(done) == len(rows)
    return rows


def test_a_real_agent_prefers_the_passage_that_holds_the_answer(reader):
    right, wrong = rated(reader, trajectory(reader), [RIGHT, WRONG])
    assert right["likelihood"] > wrong["likelihood"] + 0.5
    assert right["prompt_tokens"] == wrong["prompt_tokens"]
    assert right["prompt_tokens"] > len(trajectory(reader).turns[0].token_ids)


def test_a_wrong_answer_is_replaced_in_the_thought_too(reader):
    told = trajectory(reader, SAID.replace("Davaton", "Tamaton"), "Tamaton")
    assert reworded(told) == [SAID]


def test_only_whole_words_are_replaced():
    said = Turn("<think> Al of Altown </think> <answer> Al </answer>", [], "", None)
    told = answered([said], "Al", ["Bo"])
    assert reworded(told) == ["<think> Bo of Altown </think> <answer> Bo </answer>"]
    unspaced = answered([Turn("答案是巴黎", [], "", None)], "巴黎", ["东京"])
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


def test_a_likelihood_that_is_no_number_is_an_error(reader):
    head = reader.model.get_output_embeddings().weight
    with torch.no_grad():
        kept, head[3] = head[3].clone(), math.nan
    with pytest.raises(InputError, match="no finite likelihood: its weights are broken"):
        answer_likelihood([[5, 6, 7]], [[[8, 9]]], reader, 100)
    with torch.no_grad():
        head[3] = kept


def test_what_does_not_fit_has_no_likelihood(reader):
    found = answer_likelihood([[5, 6, 7], [5]], [[[8, 9]], [[8], [8, 9]]], reader, 4)
    assert found[0] is None and math.isfinite(found[1])
