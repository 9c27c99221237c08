"""Step A by verl: prepare its files, run it beside a retriever server, take over its checkpoint."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

from stages.errors import InputError
from stages.models import model_path
from stages.ppo.task import Row, Task
from stages.progress import progress
from stages.records import write_text
from stages.rollout.loop import Limits
from stages.serving.process import running_server
from stages.verl_ppo import config, counts, data
from stages.verl_ppo.curves import Curves
from stages.verl_ppo.export import export
from stages.verl_ppo.files import Files
from stages.verl_ppo.settings import Settings

PACKAGES = ("verl", "vllm", "transfer_queue")
POLL = 1.0  # seconds between two looks at what verl has written
PATIENCE = 60.0  # seconds that verl is given to end by itself


def train(task: Task) -> list[Row]:
    """See `stages.ppo.task`. InputError where verl cannot run, or stopped."""
    check_machine()
    config.check(task.params)
    agent, files = task.params.agent, Files(task.folder.resolve())
    done = files.done()
    forget_after(files, done)
    curves = Curves(files, done, agent.questions * agent.rollouts)
    if done < agent.steps:
        with retriever_of(task) as address:
            settings = prepare(task, files, address)
            run(settings, config.environment(task.params, files), curves, task)
    if files.done() != agent.steps:
        raise InputError(f"agent: verl ended after step {files.done()} of {agent.steps}")
    export(files.checkpoint(agent.steps), task.base, task.model)
    return curves.rows


def check_machine() -> None:
    """InputError where verl's trainer cannot run."""
    for package in PACKAGES:
        if importlib.util.find_spec(package) is None:
            raise InputError(
                f"'agent.trainer' is verl, and the package {package} is missing: "
                "requirements/gpu.txt has it"
            )
    import torch

    if not torch.cuda.is_available():
        raise InputError(
            "'agent.trainer' is verl, whose trainer needs CUDA, and there is none here: run this "
            "stage on a GPU machine, or set 'agent.trainer: loop'"
        )


def forget_after(files: Files, done: int) -> None:
    """Leave nothing of steps that will be made again, nor of checkpoints that are not the last."""
    counts.forget_after(files.counts, done)
    for folder in files.checkpoints.glob("global_step_*"):
        if folder != files.checkpoint(done):
            shutil.rmtree(folder)
    files.figures(done).unlink(missing_ok=True)


def retriever_of(task: Task):
    """A context: the address of the retriever server, of a new one where there is none."""
    address = task.params.compute.retriever_url
    if address is not None:
        return nullcontext(address)
    return running_server(task.index, task.passages, task.retriever)


def prepare(task: Task, files: Files, retriever: str) -> dict:
    """Write what verl reads beside its settings, which are returned.

    `retriever` is the address of a retriever server.
    """
    import yaml
    from transformers import AutoConfig

    from stages.rollout.replies import end_ids, window_of
    from stages.rollout.tokenizer import load_tokenizer

    params, model = task.params, str(Path(model_path(task.base)).resolve())
    about = AutoConfig.from_pretrained(model, trust_remote_code=False)
    tokenizer = load_tokenizer(task.base)
    tokenizer.save_pretrained(files.tokenizer)
    agent = params.agent
    data.write_questions(files.questions, task.questions, agent.steps, agent.questions, task.seed)
    Settings(
        tokenizer=str(files.tokenizer),
        ends=sorted(end_ids(model, about, tokenizer)),
        window=window_of(about),
        protocol=params.protocol,
        limits=replace(Limits.of(params.rollout), max_searches=agent.max_searches),
        top_k=agent.top_k,
        retriever=retriever,
        counts=str(files.counts),
    ).write(files.settings)
    loop = {"name": data.AGENT, "_target_": config.LOOP, "settings": str(files.settings)}
    write_text(files.agent_loops, yaml.safe_dump([loop]))
    return config.overrides(params, model, window_of(about), task.seed, files)


def run(settings: dict, environment: dict[str, str], curves: Curves, task: Task) -> None:
    """Run verl to its end, logging its rows as they come. InputError if it fails."""
    arguments = config.as_arguments(settings)
    command = [sys.executable, "-m", "verl.trainer.main_ppo", *arguments]
    bar = progress(total=task.params.agent.steps, desc="PPO", unit="step")
    bar.update(len(curves.rows))
    with bar, running(command, environment) as process:
        ended = False
        while not ended:
            ended = process.poll() is not None  # and then once more, for its last lines
            for row in curves.new():
                task.log(row["step"], row)
                bar.set_postfix(em=f"{row['em']:.3f}", refresh=False)
                bar.update()
            if not ended:
                time.sleep(POLL)
    if process.returncode:
        raise InputError(
            f"agent: verl failed (exit code {process.returncode}), its output above says why; "
            "the same command goes on from the last checkpoint"
        )


@contextmanager
def running(command: list[str], environment: dict[str, str]):
    """The process of `command`, with more variables; it ends with the block."""
    process = subprocess.Popen(command, env=os.environ | environment)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
