"""The trainer `loop`: the PPO loop in this process, on one device, in float32.

The policy that is trained is the one that writes the rollouts, so transformers runs both.
"""

from __future__ import annotations

import shutil
from functools import partial

import torch
from transformers import AutoModelForCausalLM

from stages.common import portable
from stages.common.linear import make_portable
from stages.common.models import model_path, save_model
from stages.engines.generator import TransformersGenerator
from stages.loop_ppo.critic import Critic
from stages.loop_ppo.learner import Learner
from stages.loop_ppo.steps import train_steps
from stages.params import Advantage
from stages.ppo.blocks import training_protocol, training_rollout
from stages.ppo.task import StepMetrics, Task
from stages.retrieval.searcher import load_searcher
from stages.rollout.blocks import search_depth
from stages.rollout.protocol import AgentProtocol
from stages.rollout.visit_calls import with_visit_tool


def train(task: Task) -> list[StepMetrics]:
    """See `stages.ppo.task`."""
    params = task.params
    searcher = load_searcher(task.index, task.passages, task.retriever, params.compute)
    limits = training_rollout(params)
    generator, learner = load_models(task)
    curves = train_steps(
        learner,
        generator,
        partial(searcher.search, top_k=search_depth(limits, limits.top_k)),
        task.questions,
        with_visit_tool(AgentProtocol(training_protocol(params))),
        limits,
        params.agent,
        params.compute.checkpoint_steps,
        task.seed,
        task.folder,
        task.log,
    )
    shutil.rmtree(task.model, ignore_errors=True)
    save_model(generator.model, generator.tokenizer, task.model)
    return curves


def load_models(task: Task):
    """The live policy inside its generator, and the learner: policy, frozen reference, and a critic
    where the advantage takes one."""
    compute = task.params.compute
    portable.start_computing(compute)
    generator = TransformersGenerator(
        task.base,
        device=compute.device,
        batch_size=compute.generation_batch,
        top_p=task.params.agent.top_p,
    )
    reference = make_portable(
        AutoModelForCausalLM.from_pretrained(
            model_path(task.base), dtype=torch.float32, use_safetensors=True
        )
    )
    agent, device, critic = task.params.agent, compute.device, None
    if agent.advantage is Advantage.gae:
        critic = Critic.from_base(model_path(task.base)).to(device)
    return generator, Learner(generator.model, critic, reference.to(device), agent, task.seed)
