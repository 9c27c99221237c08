"""verl's trainer over two nodes of this machine, one of its workers on each.

As in test_verl_training.py, but the stage joins a cluster as docs/scale.md says: by
`compute.nodes`, its address, the token, and a retriever server that runs already.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import test_verl_training as alone
import yaml
from cluster_world import cluster

from stages import agent
from stages.serving.process import running_server

pytestmark = alone.pytestmark
SMALL = {key: value for key, value in alone.SMALL.items() if "ray_init" not in key}
NODE = "--num-cpus 12 --num-gpus 1"  # what Ray counts; verl_cpu.py makes the GPU a CPU


def test_two_nodes_train_one_agent_with_a_worker_on_each(tmp_path, monkeypatch):
    notes = tmp_path / "notes"
    with cluster() as made:
        made.lines = {n: line.replace("--num-cpus 1", NODE) for n, line in made.lines.items()}
        for name in ("one", "two"):
            made.start(name, like=name, VERL_CPU_NOTES=str(notes))
        raylets = {str(made.process(name, "raylet/raylet").pid) for name in ("one", "two")}
        monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", f"{made.folder}/.ray/auth_token")
        with (
            alone.project_in(tmp_path, alone.SETTINGS, SMALL),
            running_server("index", "passages.jsonl", None) as address,
        ):
            nodes = {"nodes": 2, "ray": made.address, "retriever_url": address}
            compute = alone.SETTINGS["compute"] | nodes
            Path("params.yaml").write_text(yaml.safe_dump(alone.SETTINGS | {"compute": compute}))
            agent.main(alone.ARGUMENTS.split())
    with open(tmp_path / "agent.csv") as file:
        rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    assert [row["step"] for row in rows] == [1, 2]
    for row in rows:
        assert 0 < row["em"] < 1 and row["reward"] == pytest.approx(row["em"])
        assert row["searches"] > 0.5
    assert rows[0]["kl"] < rows[1]["kl"] < 1
    told = [line.split() for line in notes.read_text().splitlines()]  # rank, raylet, step
    for step in ("0", "1", "2"):
        ranks, places = zip(*((rank, raylet) for rank, raylet, at in told if at == step))
        assert sorted(ranks) == ["0", "1"] and set(places) == raylets
    assert (tmp_path / "agent/model.safetensors").exists()
