"""Check 4: PPO by verl and vLLM's server: the weights it is given, sleep, a kill and a return."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from stages.gpu_checks.models import SMALL, write_qwen
from stages.plumbing.errors import InputError

ROOT = Path(__file__).parents[2]
PATIENCE = 120.0  # seconds for the card to be empty after a kill
LIMIT = 540.0  # for a training
LEFT = 1e9  # bytes on a card that are nobody's fault
EVERY = 0.5  # seconds between two looks at a training
ASLEEP, AWAKE = 0.5, 0.8  # of the peak: less where vLLM sleeps, more where it writes
MOST_APART = 0.05  # mean difference of probabilities, the trainer's and vLLM's, in 16 bits
SETTINGS = [
    "scale=smoke",
    "generation.engine=vllm",
    "generation.dtype=bfloat16",
    "agent.trainer=verl",
    "agent.steps=3",
    "agent.questions=8",
    "agent.rollouts=2",
    "agent.mini_batch=8",
    "agent.micro_batch=2",
    "compute.device=cuda",
    "compute.checkpoint_steps=1",
    "compute.gpu_memory=0.4",
]
MAKE = (
    "corpus --output data",
    "questions --corpus data --output data/questions",
    "index --passages data/passages.jsonl --bm25 --output index --metrics index.json",
)
TRAIN = (
    "--base base --retriever base --index index --passages data/passages.jsonl --iteration 1 "
    "--questions data/questions/train.jsonl --output agent --metrics agent.json --curves agent.csv"
)
# verl says how far vLLM's probabilities are from the trainer's: vLLM starts with random weights, so
# they are near only if it was given the trainer's.
AGENT = """
from stages.verl_ppo import config
usual = config.overrides
apart = {"actor_rollout_ref.rollout.calculate_log_probs": True}
config.overrides = lambda *given: usual(*given) | apart
from stages import agent
from stages.plumbing.errors import run
run(agent.main)
"""


def check_ppo(folder: Path, cuda: bool) -> dict:
    """A small agent is trained, killed after its first checkpoint, and trained to the end, while
    the memory that the card holds says whether vLLM sleeps."""
    write_qwen(folder / "base", SMALL)
    return trained(folder, SETTINGS, cuda, kill=True)


def trained(folder: Path, settings: list[str], cuda: bool, *, kill: bool) -> dict:
    """PPO of the model `folder`/base with these parameters; without a GPU, verl checks them."""
    from stages.composing.compose import compose
    from stages.params import load_params

    compose(folder / "params.yaml", settings)
    for command in MAKE:
        _stage(folder, ["-m", f"stages.{command.split()[0]}", *command.split()[1:]])
    if not cuda:
        return _ready(folder, load_params(folder / "params.yaml"))
    before, began, metrics = used(), time.perf_counter(), {}
    if kill:
        metrics |= _killed(folder, before)
    samples = _stage(folder, ["-c", AGENT, *TRAIN.split()], used if kill else None)
    if kill:
        metrics |= slept([held - before for held in samples])
    with open(folder / "agent.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    steps = load_params(folder / "params.yaml").agent.steps
    if [int(float(row["step"])) for row in rows] != list(range(1, steps + 1)):
        raise InputError(f"{folder}/agent.csv: has not the steps 1 to {steps}, once each")
    _empty(before)
    return metrics | {"steps": steps, "seconds": round(time.perf_counter() - began, 1)}


def _killed(folder: Path, before: int) -> dict:
    """Start it, kill it when its first checkpoint is whole, and wait until the card is empty."""
    command = [sys.executable, "-c", AGENT, *TRAIN.split()]
    process = subprocess.Popen(command, cwd=folder, env=_environment())
    deadline, noted = time.monotonic() + LIMIT, "*/checkpoints/latest_checkpointed_iteration.txt"
    scratch = folder / "tmp" / "scratch"
    while not list(scratch.glob(noted)):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise InputError("verl fails before its first checkpoint, its output above says why")
        time.sleep(0.5)
    process.send_signal(signal.SIGKILL)
    process.wait()
    began = time.monotonic()
    _empty(before)
    metrics = {"seconds_until_empty": round(time.monotonic() - began, 1)}
    lines = [
        json.loads(line)["data"]
        for file in scratch.glob("*/metrics-*.jsonl")
        for line in file.read_text(encoding="utf-8").splitlines()
    ]
    apart = next((row[key] for row in lines for key in row if "probs_diff_mean" in key), None)
    if apart is None or apart > MOST_APART:
        raise InputError(f"vLLM's probabilities are {apart} from the trainer's: no weight sync")
    return metrics | {"probabilities_apart": apart}


def slept(samples: list[int]) -> dict:
    """The most that a training held of a card, and the least between two such heights. InputError
    unless it fell well below and rose again: vLLM left its memory to the trainer, and took it back.
    """
    most = max(samples, default=0)
    heights = [number for number, held in enumerate(samples) if held > AWAKE * most > 0]
    least = min(samples[heights[0] : heights[-1]], default=most) if heights else most
    shown = f"{least / 1e9:.1f} GB of the {most / 1e9:.1f} GB at its height"
    if not least < ASLEEP * most:
        raise InputError(f"vLLM's server does not sleep: the card never held less than {shown}")
    return {"awake_gb": round(most / 1e9, 1), "asleep_gb": round(least / 1e9, 1)}


def _empty(before: int) -> None:
    """InputError if something stays on the card."""
    deadline = time.monotonic() + PATIENCE
    while used() > before + LEFT:
        if time.monotonic() > deadline:
            raise InputError("processes stay on the card: `nvidia-smi` names them")
        time.sleep(0.5)


def used() -> int:
    """Bytes of the first card that are taken, by any process."""
    asked = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "-i", "0"]
    return int(subprocess.check_output(asked, text=True)) * 2**20


def _ready(folder: Path, params) -> dict:
    """verl's own check of its whole configuration, as its program makes it at its start."""
    if importlib.util.find_spec("verl") is None:
        return {"verl": "not installed"}
    from hydra import compose, initialize_config_module
    from verl.utils.config import validate_config

    from stages.common.records import read_questions
    from stages.ppo.task import Task
    from stages.verl_ppo import config, training
    from stages.verl_ppo.files import Files

    config.check_sharing(params)
    files = Files((folder / "verl").resolve())
    places = [folder / name for name in ("base", "base", "index", "data/passages.jsonl")]
    questions = read_questions(folder / "data/questions/train.jsonl")
    task = Task(*places, questions, params, 0, files.folder, print)
    settings = training.prepare(task, files, "http://127.0.0.1:9")
    of_verl = {key: value for key, value in settings.items() if not key.startswith("hydra.")}
    with initialize_config_module("verl.trainer.config", version_base=None):
        whole = compose("ppo_trainer", overrides=config.as_arguments(of_verl))
    validate_config(whole, use_reference_policy=True, use_critic=True)
    return {"verl": "configuration checked", "overrides": len(settings)}


def _stage(folder: Path, command: list[str], look: Callable[[], int] | None = None) -> list[int]:
    """Run it to its end; what `look` said twice a second."""
    process = subprocess.Popen([sys.executable, *command], cwd=folder, env=_environment())
    shown = " ".join(command[:2]) if command[0] == "-m" else "stages.agent"
    deadline, found = time.monotonic() + LIMIT, []
    while process.poll() is None:
        if time.monotonic() > deadline:
            process.kill()
            raise InputError(f"{shown} takes over {LIMIT:.0f} seconds in {folder}")
        if look is not None:
            found.append(look())
        with suppress(subprocess.TimeoutExpired):
            process.wait(EVERY)
    if process.returncode:
        raise InputError(f"{shown} fails in {folder}, its output above says why")
    return found


def _environment() -> dict[str, str]:
    places = filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])
    store = "sqlite:///mlflow.db"
    return os.environ | {"PYTHONPATH": os.pathsep.join(places), "MLFLOW_TRACKING_URI": store}
