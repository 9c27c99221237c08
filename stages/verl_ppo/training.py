"""Step A by verl: prepare its files, run it beside a retriever server, take over its checkpoint."""

from __future__ import annotations

import importlib.util
import shutil
import sys
import time
from pathlib import Path
from typing import TextIO

from stages.common.records import write_text
from stages.params import Advantage, Params
from stages.plumbing.errors import InputError
from stages.plumbing.progress import progress
from stages.ppo.blocks import training_protocol, training_rollout
from stages.ppo.task import StepMetrics, Task
from stages.running.cluster import check_sockets
from stages.verl_ppo import config, counts, data
from stages.verl_ppo.curves import Curves
from stages.verl_ppo.export import export
from stages.verl_ppo.files import LATEST, Files
from stages.verl_ppo.process import held, running
from stages.verl_ppo.retriever import retriever_of
from stages.verl_ppo.settings import Settings

PACKAGES = ("verl", "vllm", "transfer_queue")
POLL = 1.0  # seconds between two looks at what verl has written


def train(task: Task) -> list[StepMetrics]:
    """See `stages.ppo.task`. InputError where verl cannot run, or stopped."""
    check_machine()
    config.check_sharing(task.params)
    if config.alone(task.params):
        check_sockets()
    agent = task.params.agent
    files = Files(task.folder.resolve(), critic=agent.advantage is Advantage.gae)
    with held(files.lock) as lock:
        done = files.done()
        if done < agent.steps:
            check_world_size(files, done, task.params)
        forget_steps(files, done)
        rollouts = agent.questions * agent.rollouts
        curves = Curves(files, done, rollouts, agent.kl, agent.advantage)
        if done < agent.steps:
            with retriever_of(task) as addresses:
                settings = prepare(task, files, addresses)
                run_verl(
                    settings, config.environment_variables(task.params, files), curves, task, lock
                )
        if files.tracked() != agent.steps:
            raise InputError(f"agent: verl ended after step {files.tracked()} of {agent.steps}")
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


def check_world_size(files: Files, done: int, params: Params) -> None:
    """InputError where verl could not read its checkpoint: each GPU reads the shard of its rank."""
    written, here = files.world_size(done), params.compute.all_devices
    if done and written != here:
        raise InputError(
            f"{files.checkpoint(done)}: was written by {written} GPUs and only as many can go on "
            f"from it; 'compute.devices' x 'compute.nodes' is {here}: make it {written}, or remove "
            f"{files.folder} to start the training anew"
        )


def forget_steps(files: Files, done: int) -> None:
    """Leave nothing of steps that will be made again, nor of checkpoints that are not of `done`."""
    counts.forget_counts(files.counts, done)
    for step in files.steps():
        if step != done:
            shutil.rmtree(files.checkpoint(step))
    if done:
        write_text(files.checkpoints / LATEST, str(done))  # which a kill may have torn
    files.metrics(done).unlink(missing_ok=True)


def forget_before(files: Files) -> None:
    """Remove the checkpoints before the one that verl noted last: one stays, and one is written."""
    for step in files.steps():
        if step < files.tracked():
            shutil.rmtree(files.checkpoint(step), ignore_errors=True)  # else a second later


def prepare(task: Task, files: Files, retriever: list[str]) -> dict:
    """Write what verl reads beside its settings, which are returned.

    `retriever` are the addresses of retriever servers.
    """
    import yaml

    from stages.engines.description import describe_model

    params, about = task.params, describe_model(task.base)
    about.tokenizer.save_pretrained(files.tokenizer)
    agent = params.agent
    data.write_draws(files.questions, task.questions, agent.steps, agent.questions, task.seed)
    Settings(
        tokenizer=str(files.tokenizer),
        ends=sorted(about.ends),
        window=about.window,
        protocol=training_protocol(params),
        limits=training_rollout(params),
        top_k=agent.top_k,
        mask_retrieved=agent.mask_retrieved,
        retriever=retriever,
        counts=str(files.counts),
        seed=task.seed if params.generation.batch_invariant else None,
    ).write(files.settings)
    loop = {"name": data.AGENT, "_target_": config.LOOP, "settings": str(files.settings)}
    write_text(files.agent_loops, yaml.safe_dump([loop]))
    model = str(Path(about.path).resolve())
    return config.overrides(params, model, about.window, task.seed, files)


def run_verl(
    settings: dict, environment: dict[str, str], curves: Curves, task: Task, lock: TextIO
) -> None:
    """Run verl to its end, logging its rows as they come. InputError if it fails."""
    arguments = config.as_arguments(settings)
    command = [sys.executable, "-m", "verl.trainer.main_ppo", *arguments]
    bar = progress(total=task.params.agent.steps, desc="PPO", unit="step")
    bar.update(len(curves.rows))
    with bar, running(command, environment, lock) as process:
        ended = False
        while not ended:
            ended = process.poll() is not None  # and then once more, for its last lines
            for row in curves.new():
                task.log(row["step"], row)
                bar.set_postfix(em=f"{row['em']:.3f}", refresh=False)
                bar.update()
            forget_before(curves.files)
            if not ended:
                time.sleep(POLL)
    if process.returncode:
        raise InputError(
            f"agent: verl failed (exit code {process.returncode}), its output above says why; "
            "the same command goes on from the last checkpoint, on as many GPUs"
        )
