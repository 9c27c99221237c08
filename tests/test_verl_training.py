"""The stage with `agent.trainer: verl`: verl's own program, on a CPU.

All of it is verl's as on GPUs (Ray, its queue, its workers, FSDP, its checkpoints) and ours (agent
loop, reward, retriever server), but for two things: vLLM's server is replaced by transformers
(tests/verl_cpu_rollout.py), and there is one process in place of each eight.
"""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
import yaml
from ppo_world import COLORS, PASSAGES, PLANTS, QUESTIONS, turns
from rollout_models import make_model, save

from stages import agent, index
from stages.common.records import write_passages, write_questions
from stages.engines.generator import TransformersGenerator
from stages.language.tokenizer import make_tokenizer
from stages.loop_ppo.batch import collate
from stages.loop_ppo.policy import token_log_probs
from stages.ppo.task import STEP_METRICS, Task
from stages.verl_ppo import config, training

pytestmark = [
    pytest.mark.verl,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(
        importlib.util.find_spec("transfer_queue") is None,
        reason="requirements/verl-cpu.txt is not installed",
    ),
]
SMALL = {  # verl's defaults are eight of each
    "actor_rollout_ref.rollout.name": "transformers",
    "actor_rollout_ref.rollout.agent.num_workers": 1,
    "reward.num_workers": 1,
    "transfer_queue.backend.SimpleStorage.num_data_storage_units": 1,
    "trainer.device": "cpu",
    "ray_kwargs.ray_init.num_cpus": 8,
    "+ray_kwargs.ray_init.num_gpus": 1,  # what Ray counts; verl_cpu.py makes it a CPU
}
SETTINGS = {
    "agent": {
        "trainer": "verl",
        "steps": 2,
        "questions": 6,
        "rollouts": 4,
        "mini_batch": 12,
        "micro_batch": 6,
        "max_searches": 2,
        "policy_learning_rate": 1e-3,
        "value_learning_rate": 1e-2,
        "adam_epsilon": 1e-8,
    },
    "rollout": {"max_turn_tokens": 12, "max_information_tokens": 32, "max_context_tokens": 128},
    "compute": {"threads": 1, "checkpoint_steps": 1},
}
ARGUMENTS = (
    "--base base --retriever base --index index --passages passages.jsonl --iteration 1 "
    "--questions questions.jsonl --output agent --metrics agent.json --curves agent.csv"
)


def write_base(folder: Path) -> Path:
    """A Qwen2 taught to search and then to answer any color: right a quarter of the time."""
    torch.set_num_threads(1)
    told = [turns(plant, color) for plant in PLANTS for color in COLORS]
    tokenizer = make_tokenizer(["".join(text for text, _ in turn) for turn in told])
    model = make_model("qwen2", tokenizer)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    rows = [[(tokenizer.encode(text), own) for text, own in turn] for turn in told]
    ids = [[token for part, _ in row for token in part] for row in rows]
    masks = [[int(own) for part, own in row for _ in part] for row in rows]
    batch = collate(ids, masks, [0.0] * len(rows))
    for _ in range(300):
        log_probs, _ = token_log_probs(model, batch.token_ids, batch.mask, 1.0)
        (-log_probs.sum() / batch.mask.sum()).backward()
        optimizer.step()
        optimizer.zero_grad()
    return save(model.eval(), tokenizer, folder)


@contextmanager
def project_in(folder: Path, settings: dict, small: dict):
    """Go to `folder`, with a base agent, parameters, a corpus, questions and a BM25 index in it."""
    tests, original = Path(__file__).parent, config.overrides
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        patch.setenv("PYTHONPATH", os.pathsep.join([str(tests), *filter(None, sys.path)]))
        patch.setenv("VERL_USE_EXTERNAL_MODULES", "verl_cpu")
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setattr(training, "check_machine", lambda: None)
        patch.setattr(config, "overrides", lambda *given: original(*given) | small)
        (folder / "params.yaml").write_text(yaml.safe_dump(settings))
        write_base(folder / "base")
        write_passages("passages.jsonl", PASSAGES)
        write_questions("questions.jsonl", QUESTIONS)
        arguments = "--passages passages.jsonl --bm25 --output index --metrics index.json"
        index.main(arguments.split())
        yield


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project for one process."""
    folder = tmp_path_factory.mktemp("project")
    with project_in(folder, SETTINGS, SMALL):
        yield folder


def test_a_killed_training_goes_on_and_ends_in_a_plain_model_folder(project, monkeypatch):
    train = training.train

    def killed(task: Task):
        def log(step, row):
            task.log(step, row)
            raise KeyboardInterrupt

        return train(Task(**{**vars(task), "log": log}))

    monkeypatch.setattr(training, "train", killed)
    with pytest.raises(KeyboardInterrupt):
        agent.main(ARGUMENTS.split())
    [scratch] = (project / "tmp" / "scratch").iterdir()
    assert (scratch / "checkpoints" / "global_step_1" / "actor").is_dir()
    monkeypatch.setattr(training, "train", train)
    agent.main(ARGUMENTS.split())

    rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(open("agent.csv"))]
    assert list(rows[0]) == list(STEP_METRICS)
    assert [row["step"] for row in rows] == [1, 2]
    for row in rows:
        assert row["reward"] == pytest.approx(row["em"])
        assert 0 < row["em"] < 1
        assert row["searches"] >= 0.5
        assert row["entropy"] > 0.01
    assert rows[0]["kl"] < rows[1]["kl"] < 1
    metrics = json.loads(Path("agent.json").read_text())
    assert (metrics["in"], metrics["out"], metrics["steps"]) == (6, 6, 2)
    assert not scratch.exists()

    base, trained = TransformersGenerator("base"), TransformersGenerator("agent")
    moved = [
        (one - other).abs().max().item()
        for one, other in zip(base.model.parameters(), trained.model.parameters(), strict=True)
    ]
    assert 1e-3 < max(moved) < 0.2
    prompt = base.tokenizer.encode("Question: color of fern\n")
    [reply] = trained.generate([prompt], stop=["</search>", "</answer>"], max_new_tokens=12)
    assert "<search>" in trained.tokenizer.decode(reply)
