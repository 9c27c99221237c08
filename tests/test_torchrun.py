"""The retriever trained over two nodes by torchrun, on loopback, held to two processes of one."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import retrieval_world as world
from cluster_world import free_port
from test_retriever import hashes, make_retriever, set_params, write_pairs

from stages.contrastive.processes import run_launched
from stages.plumbing.errors import InputError

REPO = Path(__file__).parents[1]
SECONDS = 600  # in which the others must have ended; gloo itself would wait 1800
STEPS = 48


def documented() -> list[str]:
    """The words of docs/scale.md that start a node's process, up to the stage's own."""
    text = (REPO / "docs/scale.md").read_text(encoding="utf-8").replace("\\\n", " ")
    [line] = re.findall(r"^torchrun .*", text, re.MULTILINE)
    return line.partition(" -m stages.retriever")[0].split()


def start_node(rank: int, port: int, name: str) -> subprocess.Popen:
    given = {"N": str(rank), "FIRST": "127.0.0.1", "29500": str(port), "8": "1"}
    words = [given.get(word, word) for word in documented()]
    words[0] = str(Path(sys.executable).parent / words[0])
    stage = f"--iteration 1 --pairs pairs.jsonl --encoder R0 --output {name} --metrics {name}.json"
    return subprocess.Popen(
        [*words, "-m", "stages.retriever", *f"{stage} --curves {name}.csv".split()],
        env=os.environ | {"PYTHONPATH": str(REPO), "GLOO_SOCKET_IFNAME": "lo"},
        stderr=open(f"{name}{rank}.log", "w"),
    )


def test_two_nodes_train_as_two_processes_also_when_one_was_lost(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    world.tiny_retriever(tmp_path / "R0")
    write_pairs(tmp_path, world.corpus())
    set_params(tmp_path, retriever={"steps": STEPS, "batch_size": 4, "processes": 2})
    expected = hashes(make_retriever(tmp_path, "one"))

    port = free_port()
    nodes = [start_node(rank, port, "lost") for rank in (0, 1)]
    try:
        while not (found := list(tmp_path.glob("tmp/scratch/*/checkpoint-*/rng_state_1.pth"))):
            assert all(node.poll() is None for node in nodes)
            time.sleep(0.01)
        [worker] = psutil.Process(nodes[1].pid).children()
        worker.kill()
        assert all(node.wait(SECONDS) != 0 for node in nodes)
        assert not Path("lost").exists() and found[0].exists()

        port = free_port()
        nodes = [start_node(rank, port, "again") for rank in (0, 1)]
        assert [node.wait() for node in nodes] == [0, 0], Path("again0.log").read_text()
    finally:
        for node in nodes:
            node.kill()
    assert hashes(tmp_path / "again") == expected
    assert Path("again.csv").read_text() == Path("one.csv").read_text()


def test_another_number_of_processes_is_one_line(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "16")
    with pytest.raises(InputError, match=r"starts 16 .* 'retriever\.processes' is 8"):
        run_launched(8, print)
