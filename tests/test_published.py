"""The scales that stand for the public evaluation: its limits, frames and turns, and PPO's own.

The table of differences in docs/published.md names a test for each of its rows, most of them here.
"""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from golden import make_qwen_tokenizer
from retrieval_world import tiny_retriever
from rows import prediction

from stages.common.records import Passage, read_jsonl, read_passages, write_jsonl, write_passages
from stages.composing.compose import compose
from stages.encoders.encoding import DenseRetriever
from stages.encoders.folder import read_format
from stages.encoders.query_format import QueryFormat
from stages.evaluation.blocks import evaluation_protocol, evaluation_rollout_of
from stages.judge.asking import JudgeReply
from stages.judge.judging import JudgedTrajectory, JudgePrompts, judge_trajectories
from stages.params import Kl, OwnRollout, Rollout, load_params
from stages.plumbing.errors import InputError
from stages.ppo.blocks import training_protocol, training_rollout
from stages.rollout.protocol import AgentProtocol, read_protocol
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


@pytest.fixture(scope="module")
def paper(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        return params_of(tmp_path_factory.mktemp("paper"), "scale=paper")


@pytest.mark.parametrize("scale", ["released", "paper"])
def test_rollouts_are_limited_as_in_the_public_evaluation(scale, tmp_path):
    params = params_of(tmp_path, f"scale={scale}")
    limits = params.rollout
    assert (limits.max_turns, limits.max_turn_tokens, limits.max_context_tokens) == (5, 512, 16384)
    assert limits.max_information_tokens == 4096, "three passages are not cut"
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


def test_a_tag_or_mark_in_a_passage_is_none(paper):
    """Public code shows it as it is."""
    passage = Passage("0", "</answer>", "< Search> q <|begin_of_query|> \\boxed{a}")
    boxed = read_protocol("conf/protocol/simple_deep_searcher_evaluation.yaml")
    begins = read_protocol("conf/protocol/r1_searcher_evaluation.yaml")
    for block in (paper.protocol, training_protocol(paper)):
        shown = AgentProtocol(block).information([passage])
        assert "Doc 1(Title: &lt;/answer>) &lt; Search> q <|begin_of_query|>" in shown
    assert "&lt;/answer> Text: < Search> q &lt;|begin_of_query|>" in begins.information([passage])
    assert "&#92;boxed{a}" in boxed.information([passage])


def test_a_turn_ends_at_its_first_action_and_the_inner_one_counts(paper):
    """Public code: at the end of the text, and from the first opening tag to the first closing."""
    said = "<think> t </think> <answer> a </answer> <search> q </search>"
    for block in (paper.protocol, training_protocol(paper)):
        protocol = AgentProtocol(block)
        assert said[: protocol.end_of_turn(said)].endswith("> <answer> a </answer>")
        assert protocol.parse("<search> a <search> b </search>").value == "b"
        assert protocol.parse("<search> a <answer> b </answer>").value == "b"


def test_a_long_observation_loses_its_end_and_never_its_frame(paper, tmp_path):
    """A letter is a token of this tokenizer."""
    tokenizer = make_qwen_tokenizer()
    passages = [Passage(str(n), f"T{n}", f"{n}" * 1000) for n in range(3)]
    guests = params_of(tmp_path, "scale=released", "+guest=published").guest
    simple = guests["simple_deep_searcher"]
    assert simple.rollout.max_information_tokens == 3000
    training, evaluation = AgentProtocol(training_protocol(paper)), AgentProtocol(paper.protocol)
    for protocol, limits, tag, kept in (
        (training, training_rollout(paper), "<{}information>", 0),
        (read_protocol(simple.protocol), simple.rollout, "<|{}_search_result|>", 2),
        (evaluation, paper.rollout, "<{}information>", 3),
    ):
        begin, end = ("begin", "end") if "_" in tag else ("", "/")
        most = limits.max_information_tokens
        text, ids, cut = protocol.fitted(passages, tokenizer, most)
        assert text.startswith(f"\n\n{tag.format(begin)}") and len(ids) <= most
        assert text.endswith(f"{tag.format(end)}\n\n")
        assert [passage.text in text for passage in passages] == [n < kept for n in range(3)]
        assert cut == (kept < 3)


def test_ppo_has_the_public_codes_figures_and_a_mask(paper):
    """The text has a low-variance KL, and no bonus, warm-up in steps or top_p."""
    agent = paper.agent
    assert (agent.kl, agent.kl_coefficient) == (Kl.k1_reward, 0.001)
    assert (agent.entropy_coefficient, agent.top_p, agent.temperature) == (0.001, 0.95, 1)
    assert (agent.policy_warmup_steps, agent.value_warmup_steps) == (114, 6)
    assert agent.steps == 100 < agent.policy_warmup_steps, "the rate still rises at the end"
    assert agent.mask_retrieved


def test_all_questions_of_the_papers_sets_are_labelled(paper):
    """test_sources has their question marks, test_plan their number."""
    assert paper.questions.source == "conf/data/seven_sets.yaml"
    assert paper.questions.training is paper.trajectories.questions is None


def test_the_retriever_is_trained_as_the_public_one(paper):
    """test_retriever holds the training to these parameters."""
    retriever = paper.retriever
    assert (retriever.weight_decay, retriever.warmup, retriever.dtype) == (0, 0.1, "bfloat16")
    assert (retriever.max_length, retriever.batch_size, retriever.learning_rate) == (512, 32, 2e-5)


def test_the_judge_grades_twenty_at_once_and_is_told_the_gold_answers(paper):
    """The prompts that the stage relevance makes of one query at scale=paper."""
    asked = []

    def ask(prompt, asks):
        asked.extend(one.text for one in asks)
        values = [[70] * 20 if "relevance/" in one.name else ["Soman"] for one in asks]
        return [JudgeReply(value, None, 0) for value in values]

    trajectory = prediction("0", {"query": "q"}, golden_answers=["Gold"])
    row = SimpleNamespace(id="0#0", query=SimpleNamespace(request=trajectory.turns[0], turn=0))
    passages = [Passage(str(n), "T", f"passage {n}") for n in range(20)]
    prompts = JudgePrompts.load(paper.relevance)
    graded = judge_trajectories(
        SimpleNamespace(ask=ask),
        prompts,
        [JudgedTrajectory(trajectory, [row], [passages])],
        paper.relevance,
    )
    sub_answers, *windows = asked
    assert "Gold" in sub_answers and "must agree" in sub_answers
    assert len(windows) == 1 and "[20] T: passage 19" in windows[0]
    assert "Reference answer: Soman" in windows[0] and "Gold" not in windows[0]
    assert len(graded[0]["scores"]) == 20


def test_the_judge_compares_passages_and_60_is_moderately_relevant(paper):
    """The public scale, in our words; what is not compared is not listwise."""
    template = " ".join(JudgePrompts.load(paper.relevance).relevance.template.split())
    assert "Compare the passages with one another" in template
    assert not re.search(r"on its own|by itself|independent", template)
    bands = re.findall(r"- (\d+) to (\d+): ([a-z ]+),", template)
    assert [(int(low), int(high), words) for low, high, words in bands] == [
        (80, 100, "highly relevant"),
        (60, 79, "moderately relevant"),
        (40, 59, "somewhat relevant"),
        (20, 39, "slightly relevant"),
        (0, 19, "irrelevant"),
    ]
    assert paper.pairs.threshold == 60


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
