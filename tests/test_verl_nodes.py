"""verl's trainer over two nodes of this machine, one of its workers on each, of which one is lost.

As in test_verl_training.py, but the stage joins a cluster as docs/scale.md says: by
`compute.nodes`, its address, the token, and a retriever server that runs already. Each turn of a
rollout has a seed of its own.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
import test_verl_training as alone
import yaml
from cluster_world import Cluster, cluster

from stages import agent
from stages.plumbing.errors import InputError
from stages.ppo.task import Task
from stages.serving.process import running_server
from stages.verl_ppo import training

pytestmark = alone.pytestmark
SMALL = {key: value for key, value in alone.SMALL.items() if "ray_init" not in key}
ROLLOUTS = alone.SETTINGS["agent"]["questions"] * alone.SETTINGS["agent"]["rollouts"]
SETTINGS = alone.SETTINGS | {
    "agent": alone.SETTINGS["agent"] | {"mini_batch": ROLLOUTS},
    "generation": {"engine": "vllm", "batch_invariant": True},
}
NODE = "--num-cpus 8 --num-gpus 1"  # what Ray counts; verl_cpu.py makes the GPU a CPU


def start(made: Cluster, name: str, like: str, notes: Path) -> str:
    """Start a node with room for a worker of verl; the process id of its raylet."""
    made.lines[like] = re.sub(r"--num-cpus \d+( --num-gpus \d+)?", NODE, made.lines[like])
    made.start(name, like=like, VERL_CPU_NOTES=str(notes))
    return str(made.process(name, "raylet/raylet").pid)


def train(made: Cluster, url: str) -> None:
    """Run the stage over both nodes."""
    nodes = {"nodes": 2, "devices": 1, "ray": made.address, "retriever_url": url}
    settings = SETTINGS | {"compute": SETTINGS["compute"] | nodes}
    Path("params.yaml").write_text(yaml.safe_dump(settings))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_TOKEN_PATH", f"{made.folder}/.ray/auth_token")
        agent.main(alone.ARGUMENTS.split())


def places(notes: Path, step: int) -> dict[str, str]:
    """The workers' ranks, and under which raylet each was when it gave its weights of `step`."""
    told = [line.split() for line in notes.read_text().splitlines()]
    return {rank: raylet for rank, raylet, at in told if at == str(step)}


def test_two_nodes_train_one_agent_also_when_one_of_them_was_lost(tmp_path, monkeypatch):
    notes = tmp_path / "notes"
    with (
        alone.project_in(tmp_path, SETTINGS, SMALL),
        running_server("index", "passages.jsonl", None) as url,
        cluster() as made,
    ):
        raylets = [start(made, name, name, notes) for name in ("one", "two")]
        whole = training.train

        def losing(task: Task):
            def log(step, row):
                task.log(step, row)
                made.kill("two")

            return whole(Task(**{**vars(task), "log": log}))

        with monkeypatch.context() as patch:
            patch.setattr(training, "train", losing)
            with pytest.raises(InputError, match="verl failed"):
                train(made, url)
        for step in (0, 1):
            assert set(places(notes, step)) == {"0", "1"}
            assert set(places(notes, step).values()) == set(raylets)
        raylets[1] = start(made, "three", "two", notes)
        train(made, url)
        assert set(places(notes, 2)) == {"0", "1"}
        assert set(places(notes, 2).values()) == set(raylets)

    with open(tmp_path / "agent.csv") as file:
        rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    assert [row["step"] for row in rows] == [1, 2]
    for row in rows:
        assert 0 < row["em"] < 1 and row["reward"] == pytest.approx(row["em"])
        assert row["searches"] > 0.5
    assert rows[0]["kl"] < rows[1]["kl"] < 1
    assert (tmp_path / "agent/model.safetensors").exists()
