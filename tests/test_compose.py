"""Composition of conf/: what a stage would refuse, and what changes nothing, is one clear line."""

import hashlib
import json
import os
import re
from copy import deepcopy
from pathlib import Path

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from random_params import ONE_ITERATION, SEED, draw

from stages.composing.compose import compose
from stages.composing.legal import check_run
from stages.params import load_params
from stages.plumbing.errors import InputError

ROOT = Path(__file__).parents[1]
COMBINATIONS = 200


@pytest.fixture
def composed(tmp_path, monkeypatch):
    """A function from overrides to parameters."""
    monkeypatch.chdir(ROOT)

    def run(*overrides: str):
        compose(tmp_path / "params.yaml", list(overrides))
        return load_params(tmp_path / "params.yaml")

    return run


def refused(composed, *overrides: str) -> str:
    with pytest.raises(InputError) as error:
        composed(*overrides)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("compare={}", "~compare.base ~compare.agent1_bm25 ~compare.agent1_r0"),
        ("iterations={}", "~iterations.1 ~iterations.2"),
        ("+compare={}", "~compare.base"),
        ("compare={base: {}}", "write instead: ~compare.base"),
        ("compare.base={}", "write instead: ~compare.base"),
        ("encoder={}", "give each of its keys a value"),
        ("base.agent={}", "give each of its keys a value"),
        ("~compare", "as in ~compare.NAME"),
        ("~pairs.threshold", "anything else has a value"),
        ("~scale", "anything else has a value"),
        ("corpus.source=data/größe.jsonl", "write corpus.source='\"data/größe.jsonl\"'"),
        ("seed=٣", "letters outside ASCII must stand in quotes"),
        ("größe=1", "in values alone"),
        ("scale=größe", "letters outside ASCII"),
        ("=1", "conf: "),
        ("", "conf: "),
        ("seed=[1", "conf: "),
        ("seed=1,2", "conf: "),
        ("seed=${nowhere}", "Interpolation key 'nowhere' not found"),
        ("seed=???", "'seed' has no value"),
        ("seed=-1", "'seed' must be from 0 to 2147483647, found -1"),
        ("index.seed=-1", "'index.seed' must be from 0"),
        ("base.seed=4294967296", "'base.seed' must be from 0"),
        ("seed=abc", "'seed': Value 'abc'"),
        ("correctness.mode=of", "expected one of [lazy"),
        ("pairs.threshold=700", "'pairs.threshold' is a grade"),
        ("questions.sets=[]", "null: all that there are"),
        ("questions.sets=[indomain,indomain]", "each of them once"),
        ("questions.sets=[nowhere]", "no set 'nowhere', only indomain"),
        ("questions.training=100000", "ask fewer or raise corpus.world.names"),
        ("corpus.world.title_words=2", "'corpus.world.title_words'"),
        ("corpus.source=data/a.jsonl", "'questions.source' asks about a world"),
        ("candidates.top_k=10", "'pairs.negatives' leaves no positive"),
        ("candidates.top_k=5000", "'candidates.top_k' (5000) is more than the 4348 passages"),
        ("pairs.negatives=20", "'pairs.negatives' leaves no positive"),
        ("trajectories.questions=1001", "'trajectories.questions' is more than"),
        ("agent.questions=1001", "'agent.questions' is more than"),
        ("index.kind=ivfpq", "'index.ivfpq.lists' (8192) needs 8192 passages"),
        ("retriever.max_length=97", "is more than 'encoder.max_length' (96)"),
        ("retriever.learning_rate=nan", "must be a finite number"),
        ("agent.value_learning_rate=0", "'agent.value_learning_rate' must be above 0"),
        ("retriever.tier_weights={weak: 0}", "'retriever.tier_weights.weak' must be above 0"),
        ("retriever.tier_weights={soft: 1}", "'retriever.tier_weights.soft'"),
        ("retriever.tier_weights={}", "'retriever.tier_weights' weighs tiers, which no pair that"),
        ("retriever.instance_weights=true", "'retriever.instance_weights' weighs reasoning"),
        ("agent.gamma=1.5", "'agent.gamma' must be above 0, to 1"),
        ("relevance.prompt=stages/prompts/none.yaml", "stages/prompts/none.yaml: cannot be read"),
        ("relevance.prompt=stages/prompts/sub_answers.yaml", "sub_answers.yaml: 'template'"),
        ("+guest.mine={protocol: none.yaml}", "none.yaml: cannot be read"),
        (
            "+guest.mine={protocol: conf/protocol/visit_tool.yaml}",
            "'visit_tool' is taught to no agent made here",
        ),
        ("+protocol.search_pattern='('", "'protocol.search_pattern' is no regular expression"),
        ("iterations=null", "'iterations': cannot be null"),
        ("iterations=3", "'iterations'"),
        ("iterations=[1]", "iterations=[1]"),
        ("+iterations.x={}", "'iterations.x.previous': has no value"),
        ("+iterations.x={previous: '0'}", """'iterations' must run without a gap: iteration 3"""),
        ("compare=null", "'compare=null': compare needs the name of a file of conf/compare"),
        ("scale=null", "'scale=null': scale needs the name of a file of conf/scale"),
        ("agent=null", "'agent': cannot be null"),
        ("compare.base=3", "'compare.base': must have keys of its own"),
        ("+replug.retrievers.x=3", "'replug.retrievers.x': must have keys of its own"),
        ("+compare.x={}", "'compare.x.agent': has no value"),
        ("+compare.x={agent: '1'}", "'compare.x.retriever': has no value"),
        ("+oracle.x={}", "'oracle.x.agent': has no value"),
        ("+guest.x={}", "'guest.x.protocol': has no value"),
        ("+baseline.x={}", "'baseline.x.model': has no value"),
        ("relevance.prompt=", "'relevance.prompt' is empty: give a file"),
        ("relevance.sub_answer_prompt=", "'relevance.sub_answer_prompt' is empty: give a file"),
        ("visits.prompt=", "'visits.prompt' is empty"),
        ("corpus.source=", "'corpus.source' is empty"),
        ("questions.source=", "'questions.source' is empty"),
        ("encoder.revision=", "'encoder.revision' is empty: give a commit, or null"),
        ('encoder.model="a\nb"', "'encoder.model' must be one line"),
        ('seed="1\n2"', "'seed': Value '1 2' of type 'str' could not be converted"),
        ("compute.device=tpu", "'compute.device' must be cpu or cuda"),
        ("compute.device=cuda:99", "'compute.device' must be cpu or cuda"),
        ("compute.device=", "'compute.device' must be cpu or cuda"),
        ("compute.ray=", "'compute.ray' is empty"),
        ("compute.portable=3", "'compute.portable': must be true or false"),
        ("agent.steps=9999999999999999999999", "'agent.steps' must be at most 2147483647"),
        ("evaluate.recall_at=[3,9999999999]", "'evaluate.recall_at.1' must be at most"),
        ("evaluate.recall_at=[3,3]", "'evaluate.recall_at' needs each number once"),
        ("evaluate.recall_at=3", "'evaluate.recall_at': must be a list"),
        ("questions.sets=indomain", "'questions.sets': must be a list"),
        ("corpus.world.cities=99999999999", "'corpus.world.cities' must be at most 100000"),
        ("corpus.world.title_words=2001", "'corpus.world.title_words' must be at most 2000"),
        ("base.agent.width=100000000000", "'base.agent.width' must be at most 2147483647"),
        ("hydra.mode=MULTIRUN", "'hydra.mode=MULTIRUN': a run has no such parameter"),
        ("+hydra.foo=1", "'+hydra.foo=1': a run has no such parameter"),
        ("hydra/launcher=basic", "'hydra/launcher=basic': a run has no such parameter"),
        ("seed", "'seed' cannot be read as KEY=VALUE"),
        ("+compare.'a b'={agent: '1'}", "cannot be read as KEY=VALUE"),
        ("pairs.treshold=70", "'pairs.treshold'; is 'pairs.threshold' meant?"),
        ("Agent.steps=3", "'Agent.steps'; is 'agent.steps' meant?"),
        ("retriever.lr=3", "no parameter is called 'retriever.lr'"),
        ("data=cases", "no parameter is called 'data'"),
        (
            "recipe=lrat",
            "a file of conf/recipe is added to what the scale says: write +recipe=NAME",
        ),
        ("encoder=qwen3", "write +encoder=NAME"),
        ("guest=all", "write +guest=NAME"),
        ("compare.new.agent='1'", "use +compare.new.agent='1'"),
        ("encoder.revision=1e10", """write encoder.revision='"1e10"'"""),
        ("+compare.Base={agent: '0', retriever: '0'}", "'base' and 'Base' would be one file"),
    ],
)
def test_what_would_fail_or_do_nothing_is_one_line(composed, override, message):
    assert message in refused(composed, override)


def test_an_unknown_name_of_a_group_is_told_with_those_that_there_are(composed):
    said = refused(composed, "scale=nosuch")
    assert said.endswith("Available options in 'scale': gpu laptop paper real released smoke yours")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["index.kind=ivfpq", "index.ivfpq.lists=300", "index.sample=299"], "'index.sample'"),
        (["index.kind=ivfpq", "index.ivfpq.lists=4", "index.ivfpq.bytes=48"], "must divide"),
        (
            ["agent.advantage=grpo", "agent.rollouts=1"],
            "'agent.rollouts' must be at least 2, found 1",
        ),
        (["index.kind=hnsw", "index.hnsw.links=1"], "'index.hnsw.links' must be at least 2"),
        (["+replug.retrievers.a={}", "replug.questions=1001"], "'replug.questions' is more than"),
        (["scale=paper", "agent.mini_batch=7"], "must be a multiple of 'agent.mini_batch'"),
        (["scale=paper", "trajectories.questions=168233"], "168232 training questions"),
        (["scale=paper", "index.kind=ivfpq", "index.ivfpq.lists=400001"], "'index.sample'"),
        (["scale=real", "trajectories.questions=100", "+questions.training=99"], "(99: 'quest"),
        (["scale=real", "corpus.source=none.yaml"], "none.yaml: cannot be read"),
    ],
)
def test_blocks_must_fit_each_other(composed, overrides, message):
    assert message in refused(composed, *overrides)


def test_the_files_of_a_run_are_counted(composed, tmp_path):
    corpus, sets = tmp_path / "passages.jsonl", tmp_path / "sets"
    (sets / "test").mkdir(parents=True)
    corpus.write_text('{"id": "0", "contents": "a\\nb"}\n' * 19)
    row = {"id": "0", "question": "q", "golden_answers": ["a"]}
    for place in ("train", "test/a"):
        (sets / f"{place}.jsonl").write_text((json.dumps(row) + "\n") * 5)
    own = ["scale=smoke", f"questions.source={sets}", "questions.sets=null", "agent.questions=1"]
    own += [f"corpus.source={corpus}", "questions.training=null", "questions.test=null"]
    assert "'candidates.top_k' (20) is more than the 19 passages" in refused(composed, *own)
    own.append("candidates.top_k=16")
    assert "(24) is more than the 5 training questions that there" in refused(composed, *own)
    assert composed(*own, "trajectories.questions=null").trajectories.questions is None


def test_what_was_composed_before_stays(composed, tmp_path):
    composed()
    before = hashlib.sha256((tmp_path / "params.yaml").read_bytes()).hexdigest()
    refused(composed, "pairs.threshold=700")
    assert hashlib.sha256((tmp_path / "params.yaml").read_bytes()).hexdigest() == before
    assert [file.name for file in tmp_path.iterdir()] == ["params.yaml"]


def test_a_device_is_written_to_and_not_replaced(composed, tmp_path):
    """/dev/null may stand for the file of a question that needs no answer but yes or no."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    compose(pipe, ["seed=1"])
    assert yaml.safe_load(os.read(reader, 1 << 16))["seed"] == 1
    os.close(reader)
    assert pipe.is_fifo()


def test_what_is_meant_can_be_said(composed):
    assert next(iter(composed("~compare.base", "~compare.agent1_r0").compare)) == "agent1_bm25"
    assert composed("guest={}").guest == {}, "is empty anyway"
    assert composed("""protocol.prompt='"Frage: größe {question}"'""").protocol.prompt[:4]
    assert composed("trajectories.questions=null").trajectories.questions is None
    assert composed("candidates.top_k=10", "pairs.negatives=9").pairs.negatives == 9


def test_random_combinations_load_or_are_one_clear_line(composed, tmp_path):
    """Each value is legal alone, so what is refused is refused for two keys, and names them.

    Hydra, which is slow, composes every tenth; the others change its composition by hand.
    """
    composed(*draw(SEED, 0)[: 1 + len(ONE_ITERATION)])
    plain, loaded = yaml.safe_load((tmp_path / "params.yaml").read_text()), 0
    for number in range(COMBINATIONS):
        overrides = draw(SEED, number)
        try:
            if number % 10 == 0:
                params = composed(*overrides)
            else:
                text = yaml.safe_dump(changed(plain, overrides[1 + len(ONE_ITERATION) :]))
                (tmp_path / "other.yaml").write_text(text)
                params = load_params(tmp_path / "other.yaml")
                check_run(params)
        except InputError as error:
            keys = re.findall(r"'([a-z_]+(?:\.[a-z_]+)+|questions)'", str(error))
            assert "\n" not in str(error) and keys, (overrides, error)
            continue
        loaded += 1
    assert COMBINATIONS / 2 < loaded < COMBINATIONS


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("encoder.max_query_tokens=0", "'encoder.max_query_tokens' must be at least 1, found 0"),
        ("relevance.gold_in_sub_answers=true", "sub_answers_short.yaml: 'gold' is missing"),
    ],
)
def test_what_a_late_stage_would_refuse_is_not_composed(composed, override, said):
    assert said in refused(composed, override)


def changed(plain: dict, overrides: list[str]) -> dict:
    """A copy of `plain` with the values that `key.key=value` gives, read as Hydra reads them."""
    values = deepcopy(plain)
    for override in OverridesParser.create().parse_overrides(overrides):
        *path, name = override.key_or_group.split(".")
        block = values
        for step in path:
            block = block[step]
        block[name] = override.value()
    return values
