"""The scales that stand for the public evaluation: its limits, frames and turns, and PPO's own."""

from pathlib import Path

import numpy as np
import pytest
from retrieval_world import tiny_retriever

from stages.common.records import Passage, read_jsonl, read_passages, write_jsonl, write_passages
from stages.composing.compose import compose
from stages.encoders.encoding import DenseRetriever
from stages.encoders.folder import read_format
from stages.encoders.query_format import QueryFormat
from stages.evaluation.blocks import evaluation_protocol, evaluation_rollout_of
from stages.params import OwnRollout, Rollout, load_params
from stages.plumbing.errors import InputError
from stages.ppo.blocks import training_protocol, training_rollout
from stages.rollout.protocol import read_protocol
from stages.sources.passages import copy_passages
from stages.tools import plan
from stages.verl_ppo.config import longest

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def at_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def params_of(folder: Path, *overrides: str):
    compose(folder / "params.yaml", list(overrides))
    return load_params(folder / "params.yaml")


@pytest.mark.parametrize("scale", ["released", "paper"])
def test_rollouts_are_limited_as_in_the_public_evaluation(scale, tmp_path):
    params = params_of(tmp_path, f"scale={scale}")
    limits = params.rollout
    assert (limits.max_turns, limits.max_turn_tokens, limits.max_context_tokens) == (5, 512, 16384)
    assert params.rollout.top_k == 3 and params.encoder.max_query_tokens == 128
    assert params.protocol.name == "search_r1_evaluation"
    assert params.protocol.invalid_message is None and params.protocol.retokenise
    assert params.protocol.prompt.endswith("Question: {question}\n")
    for name in ("search_r1", "search_r1_evaluation"):
        assert read_protocol(f"conf/protocol/{name}.yaml").prompt("Who?").endswith(": Who?\n")


def limits(information: int, context: int) -> dict[str, int]:
    return {"max_information_tokens": information, "max_context_tokens": context}


def test_ppo_has_a_frame_and_limits_of_its_own(tmp_path, capsys):
    params = params_of(tmp_path, "scale=paper")
    assert training_rollout(params) == Rollout(3, 4, max_turn_tokens=800, **limits(800, 4896))
    protocol = training_protocol(params)
    assert protocol.name == "search_r1" and protocol.invalid_message
    assert longest(params) == 4896 + 800
    plan.main(["--params", str(tmp_path / "params.yaml")])
    assert "talk search_r1_evaluation, in PPO search_r1." in capsys.readouterr().out
    with pytest.raises(InputError, match=r"protocol\.retokenise.*agent\.protocol"):
        params_of(tmp_path, "scale=paper", "agent.protocol=null")
    laptop = params_of(tmp_path, "agent.max_turn_tokens=7", "rollout.max_turns=3")
    assert training_rollout(laptop) == Rollout(3, 4, max_turn_tokens=7, **limits(96, 512))
    assert training_protocol(laptop) == laptop.protocol


def test_evaluation_may_have_a_frame_and_limits_of_its_own(tmp_path, capsys):
    plain = params_of(tmp_path, "scale=released", "+guest=published")
    assert evaluation_protocol(plain) is plain.protocol
    assert evaluation_rollout_of(plain, "0") == plain.rollout
    frame, limits = "+protocol@evaluate.protocol=search_r1", "+evaluate.rollout={max_turns: 4}"
    params = params_of(tmp_path, "scale=released", "+guest=published", frame, limits)
    assert evaluation_protocol(params).name == "search_r1" and params.protocol == plain.protocol
    assert params.rollout == plain.rollout and evaluation_rollout_of(params, "0").max_turns == 4
    assert evaluation_rollout_of(params, "simple_deep_searcher").max_turns == 10, "a guest's own"
    plan.main(["--params", str(tmp_path / "params.yaml")])
    assert "talk search_r1_evaluation, in evaluation search_r1." in capsys.readouterr().out
    with pytest.raises(InputError, match=r"'evaluate\.protocol\.stop' holds an empty text"):
        params_of(tmp_path, "scale=released", frame, "evaluate.protocol.stop=['']")


def test_the_papers_other_agents_have_their_own_limits(tmp_path):
    guests = params_of(tmp_path, "scale=released", "+guest=published").guest
    assert guests["r1_searcher"].rollout == OwnRollout()
    own = guests["simple_deep_searcher"].rollout
    assert (own.max_turn_tokens, own.max_context_tokens) == (2048, 20480)
    shown = [Passage("0", '"A B"', "x"), Passage("1", "C", "y")]
    for name, mark in (("r1_searcher", "documents"), ("simple_deep_searcher", "search_result")):
        assert read_protocol(guests[name].protocol).information(shown) == (
            f'\n\n<|begin_of_{mark}|>\n(1)Title: "A B" Text: x\n(2)Title: C Text: y\n\n'
            f"<|end_of_{mark}|>\n\n"
        ).replace("_of_search", "_search")


@pytest.mark.parametrize("scale", ["released", "paper"])
def test_a_baselines_queries_are_cut_as_the_encoders(scale, tmp_path):
    """The public code has one limit for all dense retrievers."""
    params = params_of(tmp_path, f"scale={scale}", "+baseline=[e5,bge,agentic_r]")
    found = {name: block.max_query_tokens for name, block in params.baseline.items()}
    assert found == dict.fromkeys(("e5", "bge", "agentic_r"), params.encoder.max_query_tokens)


@pytest.mark.parametrize(
    "contents",
    [
        "Citibank\nresulting",
        '"Two words"\ntext',
        ' " "\n x ',
        '"\n',
        "\n",
        '""\n\n\n',
        '"a\nb"',
        "\u00a0\r\n",
    ],
)
def test_a_first_line_comes_out_as_it_went_in(contents, tmp_path):
    write_jsonl(tmp_path / "in.jsonl", [{"id": "0", "contents": contents}])
    copy_passages(str(tmp_path / "in.jsonl"), tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "in.jsonl").read_bytes()
    [passage] = read_passages(tmp_path / "out.jsonl")
    assert passage.contents == contents, "what encoders read"
    write_passages(tmp_path / "again.jsonl", [passage])
    assert read_jsonl(tmp_path / "again.jsonl")[0]["contents"] == contents


@pytest.mark.parametrize(
    ("heading", "title"),
    [
        ('"A B"', "A B"),
        ("A", "A"),
        ('"', '"'),
        ('""', ""),
        ('"A" and "B"', 'A" and "B'),
        ('"A', '"A'),
    ],
)
def test_quotes_are_left_out_to_compare(heading, title):
    assert Passage("0", heading, "x").title == title


def test_a_long_query_is_cut_in_search_alone(tmp_path):
    query_format = QueryFormat(query_prompt="where ", max_query_tokens=6)
    cut = DenseRetriever.load(tiny_retriever(tmp_path / "cut", query_format))
    whole = DenseRetriever.load(
        tiny_retriever(tmp_path / "whole", QueryFormat(query_prompt="where "))
    )
    long, short = "was who study film director", "was who study"  # with prompt and marks: 8 and 6
    assert np.array_equal(cut.encode_queries([long]), cut.encode_queries([short]))
    assert np.array_equal(cut.encode_queries([short]), whole.encode_queries([short]))
    assert not np.array_equal(whole.encode_queries([long]), whole.encode_queries([short]))
    assert np.array_equal(cut.encode_passages([long]), whole.encode_passages([long]))
    assert read_format(tmp_path / "cut").max_query_tokens == 6
    assert "max_query_tokens" not in (tmp_path / "whole/retriever.json").read_text()
    file = tmp_path / "cut/retriever.json"
    file.write_text(file.read_text().replace("6", "0"))
    with pytest.raises(InputError, match=r"retriever\.json: 'max_query_tokens'"):
        read_format(tmp_path / "cut")
