"""Typed parameters: the committed file is the composition of conf/, and bad keys are named."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from import_graph import imports, modules

from stages.composing.compose import compose
from stages.params import load_params
from stages.plumbing.errors import InputError

ROOT = Path(__file__).parents[1]
GRADED = {"visits__source": "restated", "pairs__source": "visits", "correctness__mode": "off"}
VISITS = GRADED | {"relevance__mode": "off"}
PAIR, GUEST = {"agent": "0", "retriever": "0"}, {"protocol": "conf/protocol/tiny.yaml"}
SHOWN = {"pairs__source": "random_shown", "correctness__mode": "off"}
PUBLISHED = {"published": {"mine": {"source": "my/pairs.yaml"}}}
VISITS_THEN_GAC = {"visits__source": "restated", "pairs__source": "visits_then_gac"}


def params_with(tmp_path: Path, **changes) -> Path:
    """A copy of the committed params.yaml; keys are dotted with double underscores."""
    loaded = yaml.safe_load((ROOT / "params.yaml").read_text())
    for dotted, value in changes.items():
        block, *rest = dotted.split("__")
        target = loaded
        for key in [block, *rest][:-1]:
            target = target[key]
        target[[block, *rest][-1]] = value
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(loaded))
    return path


def test_committed_params_are_the_composed_defaults(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    compose(tmp_path / "params.yaml", [])
    composed = yaml.safe_load((tmp_path / "params.yaml").read_text())
    assert yaml.safe_load((ROOT / "params.yaml").read_text()) == composed


@pytest.mark.parametrize("scale", [f.stem for f in sorted((ROOT / "conf/scale").glob("*.yaml"))])
def test_every_scale_loads(tmp_path, monkeypatch, scale):
    monkeypatch.chdir(ROOT)
    compose(tmp_path / "params.yaml", [f"scale={scale}"])
    params = load_params(tmp_path / "params.yaml")
    assert [iteration.previous for iteration in params.iterations.values()] == ["0", "1"][
        : len(params.iterations)
    ]
    assert params.compare


def test_parameters_reach_no_package_of_the_method():
    """Every stage imports them: what they import, an edit of it would concern every stage."""
    own = [name for name in modules() if name.startswith("stages.params")]
    reached = {other for name in own for other in imports(name)} - {*own, "stages"}
    assert reached == {
        "stages.plumbing",
        "stages.plumbing.errors",
        "stages.common",
        "stages.common.records",
    }


def test_an_unknown_scale_is_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(InputError, match="scale"):
        compose(tmp_path / "params.yaml", ["scale=nowhere"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pairs__treshold": 60}, "pairs.treshold"),
        ({"pairs__threshold": "high"}, "pairs.threshold"),
        ({"correctness__mode": "eager"}, "correctness.mode"),
        ({"seed": None}, "seed"),
        ({"candidates__top_k": 0}, "'candidates.top_k' must be at least 1"),
        ({"encoder__steps": 0}, "'encoder.steps' must be at least 1"),
        ({"retriever__temperature": 0.0}, "'retriever.temperature' must be above 0"),
        ({"index__dtype": "int8"}, "'index.dtype' must be float32 or float16"),
        ({"index__kind": "flat"}, "'index.kind': .*flat"),
        ({"index__ivfpq__lists": 0}, "'index.ivfpq.lists' must be at least 1"),
        ({"retriever__dtype": "half"}, "'retriever.dtype' must be float32, bfloat16 or float16"),
        ({"iterations": {"1": {"previous": "0"}, "3": {"previous": "2"}}}, "without a gap"),
        ({"iterations": {"1": {"previous": "0"}, "2": {"previous": "0"}}}, "without a gap"),
        ({"compare__base__agent": "7"}, "no iteration '7'"),
        ({"compare__base__retriever": "replug"}, "no iteration 'replug'"),
        ({"replug__retrievers": {"1": {}}}, "'replug.retrievers': '1' is the name of another"),
        ({"baseline": {"bm25": {"model": "a"}}}, "'baseline': 'bm25' is the name of another"),
        ({"baseline": {"e5": {"prompt": "a"}}}, "baseline.e5.prompt"),
        ({"baseline": {"e5": {}}}, "baseline.e5.model"),
        (
            {"baseline": {"e5": {"model": "a", "pooling": "max"}}},
            "'baseline.e5.pooling' must be mean, cls, lasttoken, or null",
        ),
        ({"encoder__pooling": "cls"}, "'encoder.pooling' must be mean or null: R_0 is made from"),
        ({"replug__likelihood_temperature": 0.0}, "'replug.likelihood_temperature' must be above"),
        ({"visits__miss": 1.5}, "'visits.miss' is a share, from 0 to 1"),
        ({"visits__false": -0.1}, "'visits.false' is a share, from 0 to 1"),
        ({"visits__max_dropped": 2.0}, "'visits.max_dropped' is a share"),
        ({"visits__miss": 0.1}, "'visits.miss' changes visits, and nothing looks for any"),
        ({"visits__source": "opened"}, "visits.source"),
        ({"visits__source": "tool"}, "'visits.source' .tool. reads calls of a visit tool, and"),
        ({"visits__verify": True}, "'visits.verify' is of 'visits.source: tool'"),
        (
            {"protocol__tool": "a", "protocol__visit_tool": "b", "visits__source": "tool"},
            "'protocol.visit_tool' is not taught to the made-up world's own agent",
        ),
        (
            {"evaluate__protocol": {"tool": "a", "visit_tool": "b"}},
            "'evaluate.protocol.visit_tool' is not taught",
        ),
        (
            {"protocol__visit_tool": "b", "visits__source": "restated"},
            "'visits.source' .restated. reads thoughts about passages that are only listed",
        ),
        (
            {
                **{"base__agent__model": "a", "protocol__visit_tool": "b"},
                **{"visits__source": "tool", "visits__verify": True},
            },
            "'visits.source' .tool. asks what the made-up world's judge is not taught",
        ),
        ({"rollout__max_visits": 0}, "'rollout.max_visits' must be at least 1"),
        ({"visits__source": "judged"}, "'visits.source' .judged. asks what the made-up world's"),
        ({"pairs__source": "clicks"}, "pairs.source"),
        ({"pairs__source": "visits"}, "'pairs.source' .visits. needs visits"),
        ({"pairs__source": "visits_then_gac"}, "'pairs.source' .visits_then_gac. needs visits"),
        ({"pairs__source": "random_shown"}, "'correctness.mode' rolls out what 'pairs.source'"),
        (GRADED, "'relevance.mode' grades what 'pairs.source' .visits. does not read: set it to"),
        (SHOWN, "'relevance.mode' grades what 'pairs.source' .random_shown. does not read"),
        (
            PUBLISHED | {"retriever__tier_weights": {}},
            "'retriever.tier_weights' weighs tiers, which published pairs do not have",
        ),
        (
            PUBLISHED | {"retriever__instance_weights": True},
            "'retriever.instance_weights' weighs reasoning, which published pairs do not have",
        ),
        ({"pairs__source": "judge_ranking"}, "'correctness.mode' rolls out what 'pairs.source'"),
        (
            {
                "pairs__source": "judge_ranking",
                "correctness__mode": "off",
                "relevance__mode": "off",
            },
            "'relevance.mode' is off, and 'pairs.source' .judge_ranking. is the ranking by its",
        ),
        ({"pairs__tiers": True}, "'pairs.tiers' are of what the agent used: set 'pairs.source'"),
        (VISITS_THEN_GAC | {"pairs__tiers": True}, "'pairs.tiers' are of what the agent used"),
        (
            VISITS_THEN_GAC | {"retriever__instance_weights": True},
            "'retriever.instance_weights' weighs reasoning, which not all pairs of 'pairs.source'",
        ),
        (
            VISITS | {"retriever__tier_weights": {}},
            "'retriever.tier_weights' weighs tiers, which 'pairs.source' .visits. gives none",
        ),
        (
            {
                "pairs__source": "visits_then_gac",
                "visits__source": "restated",
                "correctness__mode": "off",
            },
            "'correctness.mode' is off, and 'pairs.source' .visits_then_gac. needs it",
        ),
        (
            {"visits__source": "restated", "base__agent__model": "a"},
            "'visits.source' .restated. reads the thoughts of the made-up world's own agent",
        ),
        ({"pairs__instances": 0}, "'pairs.instances' must be at least 1"),
        ({"correctness__top": 0}, "'correctness.top' must be at least 1"),
        ({"relevance__max_dropped": 1.5}, "'relevance.max_dropped' is a share, from 0 to 1"),
        ({"trajectories__max_dropped": -0.1}, "'trajectories.max_dropped' is a share"),
        ({"correctness__max_dropped": 2.0}, "'correctness.max_dropped' is a share"),
        ({"relevance__mode": "off", "correctness__mode": "off"}, "cannot both be off"),
        ({"evaluate__rollout": {"max_turns": 0}}, "evaluate.rollout.max_turns' must be"),
        ({"evaluate__rollout": {"max_turn": 5}}, "evaluate.rollout.max_turn"),
        ({"evaluate__protocol": {"prompts": "a"}}, "evaluate.protocol.prompts"),
        ({"evaluate__recall_at": []}, "'evaluate.recall_at' needs numbers of passages"),
        ({"evaluate__recall_at": [3, 0]}, "'evaluate.recall_at' needs numbers of passages"),
        ({"rollout__max_turns": 1}, "'rollout.max_turns' must be at least 2: what the last turn"),
        ({"encoder__model": ""}, "'encoder.model' is empty: give a hub id or a folder"),
        ({"base__judge__model": " "}, "'base.judge.model' is empty"),
        ({"rollout__max_turn_tokens": 0}, "'rollout.max_turn_tokens' must be at least 1"),
        ({"rollout__max_context_tokens": 0}, "'rollout.max_context_tokens' must be at least 1"),
        ({"rollout__max_information_tokens": 0}, "max_information_tokens' must be at least 1"),
        ({"base__judge__layers": 3}, "'base.judge.layers' must be even"),
        ({"base__agent__width": 130}, "'base.agent.width' must be a multiple of 4"),
        ({"baseline": {"bge-v1.5": {"model": "a"}}}, "'baseline': 'bge-v1.5' is not of letters"),
        ({"corpus__world__title_words": -40}, "'corpus.world.title_words' must be at least 1"),
        ({"compute__judge_url": "http://host:port"}, "'compute.judge_url' must be an address"),
        ({"compute__retriever_url": "host:8000"}, "'compute.retriever_url' must be an address"),
        ({"compute__retriever_url": ["http://a", "b"]}, "'compute.retriever_url' must be an addr"),
        ({"compute__retriever_url": ["http://a", "http://a"]}, "'compute.retriever_url' must be"),
        ({"compute__retriever_url": []}, "'compute.retriever_url' must be an address"),
        ({"relevance__window": 11}, "'relevance.window' is more than the judge is taught"),
        ({"relevance__retries": -1}, "'relevance.retries' must be at least 0"),
        ({"relevance__max_reply_tokens": 0}, "'relevance.max_reply_tokens' must be at least 1"),
        ({"relevance__temperature": -0.1}, "'relevance.temperature' must be at least 0"),
        ({"report__cases_per_kind": -1}, "'report.cases_per_kind' must be at least 0"),
        ({"report__traces": -1}, "'report.traces' must be at least 0"),
        ({"questions__test": 0}, "'questions.test' must be at least 1"),
        ({"questions__training": 0}, "'questions.training' must be at least 1"),
        ({"questions__test": None}, "'questions.test': a world needs numbers"),
        ({"questions__training": None}, "'questions.test': a world needs numbers"),
        ({"questions__sets": ["indomain", "mean"]}, "'questions.sets' cannot call a set"),
        ({"questions__sets": ["all"]}, "'questions.sets' cannot call a set"),
        ({"base__agent__steps": -1}, "'base.agent.steps' must be at least 1"),
        ({"base__judge__steps": 0}, "'base.judge.steps' must be at least 1"),
        ({"base__judge__model": "a", "base__judge__steps": -1}, "'base.judge.steps' .* least 0"),
        ({"pairs__threshold": 101}, "'pairs.threshold' is a grade, from 0 to 100"),
        ({"pairs__threshold": -1}, "'pairs.threshold' is a grade, from 0 to 100"),
        ({"generation__batch_invariant": True}, "'generation.batch_invariant' is vLLM's"),
        ({"generation__tensor_parallel": 0}, "'generation.tensor_parallel' must be at least 1"),
        ({"relevance__judge_tensor_parallel": 0}, "'relevance.judge_tensor_parallel' must be"),
        ({"compute__gpu_memory": 0.0}, "'compute.gpu_memory' is a share"),
        ({"compute__gpu_memory": 1.1}, "'compute.gpu_memory' is a share"),
        (
            {"replug__retrievers": {"bm25": {}}},
            "'replug.retrievers': 'bm25' is the name of another",
        ),
        ({"replug__retrievers": {"../a": {}}}, "'replug.retrievers': '../a' is not of letters"),
        ({"oracle": {"a": PAIR | {"agent": "7"}}}, "'oracle.a.agent': no iteration '7'"),
        ({"oracle": {"a": PAIR | {"retriever": "x"}}}, "'oracle.a.retriever': no iteration 'x'"),
        ({"oracle": {"a": PAIR | {"questions": 0}}}, "'oracle.a.questions' must be at least 1"),
        ({"oracle": {"base": PAIR}}, "'oracle.base': 'compare' has a pair of that name"),
        ({"oracle": {"1": PAIR}}, "'oracle.1': that is how an iteration's own pair is called"),
        ({"oracle": {"a/b": PAIR}}, "'oracle': 'a/b' is not of letters"),
        ({"compare__1": PAIR}, "'compare.1': that is how an iteration's own pair is called"),
        ({"compare": {"a/b": PAIR}}, "'compare': 'a/b' is not of letters"),
        ({"compare": {"a b": PAIR}}, "'compare': 'a b' is not of letters"),
        ({"guest": {"2": GUEST}}, "'guest.2': that is the name of another agent"),
        ({"guest": {"a/b": GUEST}}, "'guest': 'a/b' is not of letters"),
        ({"baseline": {".": {"model": "a"}}}, "'baseline': '.' is not of letters"),
    ],
)
def test_a_bad_key_is_named(tmp_path, changes, message):
    path = params_with(tmp_path, **changes)
    with pytest.raises(InputError, match=message) as error:
        load_params(path)
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)


def test_a_model_that_is_not_made_needs_no_steps(tmp_path):
    block = {"base__agent__model": "a/b", "base__agent__steps": 0, "base__agent__easy_steps": 0}
    load_params(params_with(tmp_path, **block))


def test_a_broken_file_is_named(tmp_path):
    (tmp_path / "params.yaml").write_text("seed: [1\n")
    with pytest.raises(InputError, match=r"params\.yaml:2: not valid YAML"):
        load_params(tmp_path / "params.yaml")
    with pytest.raises(InputError, match="cannot be read"):
        load_params(tmp_path / "none.yaml")


def test_a_stage_says_one_line_and_exits_2(tmp_path):
    params_with(tmp_path, pairs__treshold=60)
    command = [sys.executable, "-m", "stages.corpus", "--output", "out"]
    done = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "pairs.treshold" in done.stderr
