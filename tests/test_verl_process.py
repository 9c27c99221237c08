"""verl's program and what it starts end with the stage, however that ends; then the next may."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from stages.params import Params
from stages.plumbing.errors import InputError
from stages.verl_ppo import config
from stages.verl_ppo.files import Files
from stages.verl_ppo.process import held, running

STAGE = """
import sys
from pathlib import Path
from stages.verl_ppo.process import held, running
with held(Path(sys.argv[1])) as lock, running([sys.executable, "-c", sys.argv[2]], {}, lock) as it:
    it.wait()
"""
WITH_RAY = """
import os, subprocess, time
import ray
ray.init(address="local", include_dashboard=False, num_cpus=1)
@ray.remote
class Worker:
    def pid(self):
        self.engine = subprocess.Popen(["sleep", "7200"])
        return os.getpid()
worker = Worker.remote()
print("actor", ray.get(worker.pid.remote()), flush=True)
time.sleep(7200)
"""
STUBBORN = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("actor", os.getpid(), flush=True)
time.sleep(7200)
"""


CRASHES = """
import os, signal, subprocess, time
import ray
ray.init(address="local", include_dashboard=False, num_cpus=1)
@ray.remote(max_restarts=0)
class Worker:
    def pids(self):
        self.engine = subprocess.Popen(["sleep", "7200"])
        return os.getpid(), self.engine.pid
worker = Worker.remote()
actor, engine = ray.get(worker.pids.remote())
os.kill(actor, signal.SIGKILL)
print("engine", engine, flush=True)
time.sleep(7200)
"""


def killed_stage(lock: Path, program: str) -> list[psutil.Process]:
    """What a stage had started, `program` and all below, when it was ended by SIGKILL."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", STAGE, str(lock), program]
    stage = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    with stage:
        line = next(line for line in stage.stdout if "actor" in line)
        started = psutil.Process(stage.pid).children(recursive=True)
        assert int(line.split()[-1]) in {process.pid for process in started}
        said = rf"{lock.name}: .*\(process {started[0].pid}\)"
        with pytest.raises(InputError, match=said), held(lock):
            pass
        stage.send_signal(signal.SIGKILL)
        stage.stdout.close()
    return started


def test_a_killed_stage_takes_verl_and_rays_processes_with_it(tmp_path):
    pytest.importorskip("ray")
    started = killed_stage(tmp_path / "lock", WITH_RAY)
    assert len(started) > 4  # the program, Ray's servers, the actor, and what that started
    _, alive = psutil.wait_procs(started)
    assert not alive
    with held(tmp_path / "lock"):
        pass


def test_a_worker_of_verl_that_crashes_takes_its_engine_with_it(tmp_path):
    """While verl's program lives on: a vLLM engine that stays would keep its card's memory."""
    pytest.importorskip("ray")
    environment = os.environ | config.environment_variables(Params(), Files(tmp_path))
    command = [sys.executable, "-c", CRASHES]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as program:
        try:
            line = next(line for line in program.stdout if line.startswith("engine"))
            engine = psutil.Process(int(line.split()[1]))
            _, alive = psutil.wait_procs([engine])
            assert not alive and program.poll() is None
        finally:
            program.terminate()


def test_a_program_that_does_not_end_keeps_the_next_one_out(tmp_path):
    [program] = killed_stage(tmp_path / "lock", STUBBORN)
    time.sleep(0.5)
    said = f"still at work .process {program.pid}"
    with pytest.raises(InputError, match=said), held(tmp_path / "lock"):
        pass
    program.kill()
    psutil.wait_procs([program])
    with held(tmp_path / "lock"):
        pass


def test_the_program_ends_with_its_block(tmp_path):
    with held(tmp_path / "lock") as lock:
        with running([sys.executable, "-c", "import time; time.sleep(7200)"], {}, lock) as process:
            assert process.poll() is None
        assert process.returncode == -signal.SIGTERM
