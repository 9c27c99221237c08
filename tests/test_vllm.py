"""vLLM against transformers on real models: the same tokens, trajectories and labels in float32.

Needs vLLM (`make test-vllm` installs its CPU build); an engine takes half a minute to start.
"""

import shutil
from pathlib import Path

import pytest

pytest.importorskip("vllm")
from vllm.platforms import current_platform

if current_platform.is_unspecified():
    pytest.skip("vLLM's build for CUDA, and no GPU", allow_module_level=True)

import label_world
import qwen_world
from rollout_models import make_model, make_tokenizer, save

from stages import candidates, correctness, trajectories
from stages.common.records import read_json
from stages.engines.generator import TransformersGenerator
from stages.engines.vllm_generator import VllmGenerator
from stages.plumbing.errors import InputError

pytestmark = pytest.mark.vllm

TEXTS = [
    "Question: who directed film Alpha?\n",
    "Ana",
    "Question: where was the director of a rather long film born, in which city?\n<information>",
    "Bo works as of in city film film film",
    "x",
]
QUESTIONS = 20


@pytest.fixture(scope="module")
def engines(tmp_path_factory):
    tokenizer = make_tokenizer()
    model = make_model("qwen2", tokenizer, width=64)
    folder = save(model, tokenizer, tmp_path_factory.mktemp("model"))
    return TransformersGenerator(folder), VllmGenerator(folder)


def prompts(engine):
    window = engine.window
    return [*map(engine.tokenizer.encode, TEXTS), *([5] * (window + n) for n in (-2, -1, 0, 3))]


def test_greedy_replies_and_their_ends_are_the_same(engines):
    here, there = engines
    free = {"stop": [], "max_new_tokens": 24}
    expected = here.generate(prompts(here), **free)
    assert there.generate(prompts(here), **free) == expected
    assert [len(ids) for ids in expected[-4:]] == [2, 1, 0, 0]
    text = here.tokenizer.decode(expected[0])
    stops = [text[i : i + n] for i in range(0, len(text) - 3, 4) for n in (1, 3)]
    for stop in [s for s in stops if s.isascii()]:
        options = {"stop": ["never \0", stop], "max_new_tokens": 24}
        written = here.generate(prompts(here), **options)
        assert there.generate(prompts(here), **options) == written
        assert len(written[0]) <= len(expected[0])
    assert there.generate([], **free) == []


@pytest.mark.parametrize("temperature", [0.7, 1.0])
def test_samples_are_the_same(engines, temperature):
    here, there = engines
    asked = prompts(here)[:5] * 20
    keys = [2**62 + n for n in range(len(asked))]
    options = {"stop": ["e"], "max_new_tokens": 24, "temperature": temperature}
    drawn = there.generate(asked, keys=keys, **options)
    assert drawn == here.generate(asked, keys=keys, **options)
    assert len({tuple(ids) for ids in drawn}) > 40
    backwards = there.generate(asked[::-1], keys=keys[::-1], **options)
    assert backwards[::-1] == drawn


def test_it_reads_the_tokenizer_as_it_was_written(engines):
    here, there = engines
    inside = there._engine.get_tokenizer()
    tokens = [[token] for token in range(len(here.tokenizer))]
    assert inside.batch_decode(tokens) == here.tokenizer.batch_decode(tokens)


def test_a_greedy_engine_keeps_room_for_its_context_alone(engines):
    """Without the noise, it draws nothing."""
    here, _ = engines
    there = VllmGenerator(here.name, context=48, sampled=False)
    assert there.window == 48 == there._engine.llm_engine.model_config.max_model_len
    free = {"stop": [], "max_new_tokens": 12}
    short = prompts(here)[:5]
    assert there.generate(short, **free) == here.generate(short, **free)
    with pytest.raises(ValueError, match="greedy text alone"):
        there.generate(short, temperature=1.0, keys=range(5), **free)


def test_a_model_that_it_cannot_run_is_one_clear_line():
    with pytest.raises(InputError, match="models/agent/0: vLLM cannot run this model here"):
        VllmGenerator(label_world.REPO / "models/agent/0")


def test_trajectories_and_labels_of_the_laptop_world_are_the_same(tmp_path, monkeypatch):
    """The labels by two engines on two Ray workers, as several devices have them."""
    monkeypatch.chdir(tmp_path)
    qwen_world.write_world(steps=150, asked=QUESTIONS)
    computed(trajectories, "transformers")
    computed(trajectories, "vllm")
    assert_same("trajectories")
    assert 0 < read_json("vllm/trajectories.json")["em"] < 1
    shutil.copy("vllm/trajectories.jsonl", ".")
    qwen_world.run_stage(candidates)
    label_world.write_relevance(0)
    computed(correctness, "transformers")
    monkeypatch.setattr(correctness, "SHARD", 64)
    computed(correctness, "vllm", ray="local", workers=2)
    assert_same("correctness")
    metrics = read_json("vllm/correctness.json")
    assert 0 < metrics["correct"] < metrics["evaluated"]


def computed(stage, engine: str, **compute) -> None:
    """Run the stage into the folder `engine`."""
    qwen_world.set_params(
        trajectories={"questions": QUESTIONS},
        correctness={"mode": "exhaustive"},
        compute={"engine": engine, "threads": 1, **compute},
    )
    qwen_world.run_stage(stage, engine)


def assert_same(name: str) -> None:
    """The rows and the figures of both engines."""
    for file in (f"{name}.jsonl", f"{name}.json"):
        assert Path("vllm", file).read_bytes() == Path("transformers", file).read_bytes(), file
