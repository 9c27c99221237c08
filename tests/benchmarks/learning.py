"""PPO's learning as benchmarks take it: the models of a finished run, and rollouts of them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stages.common.records import read_questions
from stages.params import Params, load_params

if TYPE_CHECKING:
    from stages.engines.generator import TransformersGenerator
    from stages.loop_ppo.batch import RolloutBatch
    from stages.loop_ppo.learner import Learner

ROOT = Path(__file__).parents[2]
BASE, RETRIEVER, INDEX = Path("models/agent/0"), Path("models/retriever/0"), Path("data/index/0")
PASSAGES = Path("data/corpus/passages.jsonl")
QUESTIONS = 16


@contextmanager
def beside(run: Path) -> Iterator[None]:
    """Work in a new folder that has the inputs of a finished run, and this checkout's code."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("data", "models", "params.yaml", "stages"):
            (Path(folder) / name).symlink_to((ROOT if name == "stages" else run.resolve()) / name)
        os.chdir(folder)
        yield
        os.chdir(ROOT)


@dataclass(frozen=True)
class Learning:
    """What PPO has before it learns: its rollouts, as they are and as one batch."""

    params: Params
    generator: TransformersGenerator
    learner: Learner
    rollouts: list
    batch: RolloutBatch


def prepare() -> Learning:
    """From the run in the working folder; half of the rollouts are called right."""
    from stages.loop_ppo.steps import sample_rollouts, to_batch
    from stages.loop_ppo.training import load_models
    from stages.ppo.blocks import training_protocol, training_rollout
    from stages.ppo.task import Task
    from stages.retrieval.searcher import load_searcher
    from stages.rollout.protocol import AgentProtocol

    params = load_params()
    inputs = BASE, RETRIEVER, INDEX, PASSAGES
    task = Task(*inputs, [], params, 0, Path(), lambda step, metrics: None)
    generator, learner = load_models(task)
    searcher = load_searcher(INDEX, PASSAGES, RETRIEVER, params.compute)
    rollouts = sample_rollouts(
        read_questions("data/questions/train.jsonl")[:QUESTIONS],
        generator,
        lambda requests: searcher.search(requests, top_k=params.agent.top_k),
        AgentProtocol(training_protocol(params)),
        training_rollout(params),
        params.agent,
        0,
        0,
    )
    batch = to_batch(rollouts, [number % 2 for number in range(len(rollouts))], "cpu")
    return Learning(params, generator, learner, rollouts, batch)
