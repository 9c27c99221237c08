"""One PPO step by verl's own workers, in this process and on its processor."""

from __future__ import annotations

import os
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import torch
import verl_cpu  # noqa: F401  (before verl's engines)
from hydra import compose, initialize_config_module
from tensordict import TensorDict
from transformers import Qwen2ForCausalLM
from verl.models.transformers.dense_common import forward_with_torch_backend
from verl.protocol import DataProto
from verl.trainer.ppo.core_algos import agg_loss, get_kl_controller
from verl.trainer.ppo.ray_trainer import apply_kl_penalty, compute_advantage
from verl.trainer.ppo.utils import need_critic
from verl.utils import tensordict_utils as tu
from verl.utils.config import omega_conf_to_dataclass
from verl.utils.metric import reduce_metrics
from verl.workers.config import TrainingWorkerConfig
from verl.workers.engine_workers import TrainingWorker
from verl.workers.utils.losses import ppo_loss, value_loss
from verl.workers.utils.padding import response_from_nested, response_to_nested

from stages.engines.tokenizer import load_tokenizer
from stages.params import Params
from stages.verl_ppo import (
    config,
    output_layer,  # noqa: F401  (as in every process of verl)
    value_model,  # noqa: F401
)
from stages.verl_ppo.files import Files


def composed(settings: dict):
    """verl's whole configuration with our overrides."""
    verls = {key: value for key, value in settings.items() if not key.startswith("hydra.")}
    with initialize_config_module("verl.trainer.config", version_base=None):
        return compose("ppo_trainer", overrides=config.as_arguments(verls))


@contextmanager
def group(tmp_path_factory):
    """A process group of this process alone, as verl's workers have one."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    told = dict(zip(names, ("0", "1", "0", "1", "127.0.0.1", "0")))  # as verl tells them
    store = tmp_path_factory.mktemp("store") / "store"
    # Left behind, they would start a group in later tests, and what verl makes of the class stay.
    forward = patch.object(Qwen2ForCausalLM, "forward", Qwen2ForCausalLM.forward)
    with patch.dict(os.environ, told), forward:
        torch.distributed.init_process_group("gloo", f"file://{store}", rank=0, world_size=1)
        try:
            yield
        finally:
            torch.distributed.destroy_process_group()


def settings(params: Params, base: Path, folder: Path):
    """verl's configuration of a training of `base`."""
    files = Files(folder)
    load_tokenizer(base).save_pretrained(files.tokenizer)
    whole = composed(config.overrides(params, str(base), 256, 0, files))
    for optimizer in (whole.actor_rollout_ref.actor.optim, whole.critic.optim):
        optimizer.total_training_steps = params.agent.steps  # as verl's trainer does
    return whole


def write_checkpoint(params: Params, base: Path, folder: Path, tmp_path_factory) -> None:
    """verl's checkpoint of a policy that has just been loaded."""
    whole = settings(params, base, tmp_path_factory.mktemp("files"))
    with group(tmp_path_factory):
        _policy(whole, base)[0].save_checkpoint(str(folder))


def step(params: Params, models: Path, rollouts: list, head: torch.Tensor, tmp_path_factory):
    """What verl estimates of `rollouts`, its figures and its weights after the update."""
    whole = settings(params, models / "base", tmp_path_factory.mktemp("files"))
    with group(tmp_path_factory):
        done = _step(whole, models, rollouts, head)
        assert Qwen2ForCausalLM.forward is forward_with_torch_backend
        return done


def _step(whole, models: Path, rollouts: list, head: torch.Tensor):
    actor, actor_config = _policy(whole, models / "policy")
    reference, _ = _policy(whole, models / "base")
    critic, critic_config = _critic(whole, head) if need_critic(whole) else (None, None)
    temperature = whole.actor_rollout_ref.rollout.temperature
    data = _data(rollouts)
    asked = {"compute_loss": False, "temperature": temperature}

    output = actor.infer_batch(_with(data, calculate_entropy=True, **asked))
    old = response_from_nested(output["log_probs"], data["response_mask"])
    entropy = response_from_nested(output["entropy"], data["response_mask"])
    output = reference.infer_batch(_with(data, calculate_entropy=False, **asked))
    ref = response_from_nested(output["log_probs"], data["response_mask"])
    estimated = {"old_log_probs": old, "ref_log_prob": ref}
    if critic:
        output = critic.infer_batch(_with(data, **asked))
        estimated["values"] = response_from_nested(output["values"], data["response_mask"])
    estimated |= {"response_mask": data["response_mask"], "rm_scores": data["rm_scores"]}
    padded = TensorDict(estimated, batch_size=len(rollouts)).to_padded_tensor()
    padded["token_level_scores"] = padded["token_level_rewards"] = padded["rm_scores"]
    # a group of rollouts for each question, in order, as verl's trainer names them
    each = whole.actor_rollout_ref.rollout.n
    groups = np.array([f"question {row // each}" for row in range(len(rollouts))], dtype=object)
    rated, penalty = DataProto(batch=padded, non_tensor_batch={"uid": groups}), {}
    if whole.algorithm.use_kl_in_reward:
        control = get_kl_controller(whole.algorithm.kl_ctrl)
        rated, penalty = apply_kl_penalty(rated, control, whole.algorithm.kl_penalty)
    advantage = compute_advantage(
        rated,
        adv_estimator=whole.algorithm.adv_estimator,
        gamma=whole.algorithm.gamma,
        lam=whole.algorithm.lam,
        config=whole.algorithm,
    ).batch
    for name in ("advantages", "returns"):
        estimated[name] = response_to_nested(advantage[name], data["response_mask"])
    for name, value in estimated.items():
        data[name] = value

    learning = whole.actor_rollout_ref.actor
    minibatch = learning.ppo_mini_batch_size * whole.actor_rollout_ref.rollout.n
    train = {
        "global_batch_size": minibatch,
        "mini_batch_size": minibatch,
        "epochs": learning.ppo_epochs,
        "seed": learning.data_loader_seed,
        "dataloader_kwargs": {"shuffle": learning.shuffle},
        "temperature": temperature,
    }
    metrics = dict(penalty)
    for name, worker in (("critic", critic), ("actor", actor)) if critic else (("actor", actor),):
        entropy_too = name == "actor" and learning.entropy_coeff != 0  # as verl's trainer asks
        output = worker.train_mini_batch(_with(data, calculate_entropy=entropy_too, **train))
        learned = reduce_metrics(output["metrics"])
        metrics |= {f"{name}/{key.removeprefix(name + '/')}": v for key, v in learned.items()}
    mask = advantage["response_mask"]
    metrics["actor/entropy"] = float(
        agg_loss(torch.nested.to_padded_tensor(entropy, 0.0), mask, learning.loss_agg_mode)
    )
    losses = {
        "policy": partial(_loss, ppo_loss, actor_config, "log_probs", data, advantage),
    }
    if critic:
        losses["value"] = partial(_loss, value_loss, critic_config, "values", data, advantage)
    return SimpleNamespace(
        mask=mask,
        old=advantage["old_log_probs"],
        reference=advantage["ref_log_prob"],
        values=advantage["values"] if critic else None,
        advantages=advantage["advantages"],
        returns=advantage["returns"],
        metrics=metrics,
        policy=_weights(actor),
        critic=_weights(critic) if critic else None,
        losses=losses,
    )


def _policy(whole, folder: Path):
    """A worker for the policy in `folder`, made as ActorRolloutRefWorker makes it."""
    whole.actor_rollout_ref.model.path = str(folder)
    settings = omega_conf_to_dataclass(whole.actor_rollout_ref.actor)
    engine = settings.engine
    engine.use_dynamic_bsz = settings.use_dynamic_bsz
    engine.micro_batch_size_per_gpu = settings.ppo_micro_batch_size_per_gpu
    rollout = whole.actor_rollout_ref.rollout
    engine.infer_micro_batch_size_per_gpu = rollout.log_prob_micro_batch_size_per_gpu
    model = omega_conf_to_dataclass(whole.actor_rollout_ref.model)
    worker = _worker("language_model", model, settings)
    worker.set_loss_fn(partial(ppo_loss, config=settings))
    return worker, settings


def _critic(whole, head: torch.Tensor):
    """A worker for the critic, made as verl's trainer makes it; with `head`, its first weights."""
    settings = omega_conf_to_dataclass(whole.critic)
    worker = _worker("value_model", settings.model, settings)
    score = worker.engine.module.score
    assert not any(parameter.to_local().any() for parameter in score.parameters())
    with torch.no_grad():
        score.weight.to_local().copy_(head)
    worker.set_loss_fn(partial(value_loss, config=settings))
    return worker, settings


def _worker(kind: str, model, settings) -> TrainingWorker:
    worker = TrainingWorker(
        TrainingWorkerConfig(
            model_type=kind,
            model_config=model,
            engine_config=settings.engine,
            optimizer_config=settings.optim,
            checkpoint_config=settings.checkpoint,
        )
    )
    worker.reset()
    return worker


def _data(rollouts: list) -> TensorDict:
    """The rollouts as AgentLoopWorkerTQ puts them into the queue."""
    rows = []
    for rollout in rollouts:
        ids, mask = torch.tensor(rollout.ids), torch.tensor(rollout.mask)
        response = mask[rollout.prompt :]
        scores = torch.zeros(len(response))
        scores[-1] = rollout.reward
        rows.append(
            {
                "prompts": ids[: rollout.prompt],
                "responses": ids[rollout.prompt :],
                "input_ids": ids,
                "position_ids": torch.arange(len(ids)),
                "response_mask": response,
                "loss_mask": response,
                "rm_scores": scores,
            }
        )
    return tu.list_of_dict_to_tensordict(rows)


def _with(data: TensorDict, **settings) -> TensorDict:
    data = data.clone()
    tu.assign_non_tensor(data, **settings)
    return data


def _weights(worker: TrainingWorker) -> dict[str, torch.Tensor]:
    return {
        name: tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
        for name, tensor in worker.engine.module.state_dict().items()
    }


def _loss(function, settings, output: str, data, advantage, elsewhere: float):
    """The loss of model outputs drawn at random, and its gradient on them, (rollouts, response).

    `elsewhere` is added to everything that is known of the tokens outside the mask.
    """
    lengths = data["input_ids"].offsets().diff()
    draw = torch.Generator().manual_seed(3)
    outputs = torch.randn(int(lengths.sum()), generator=draw).requires_grad_()
    changed = data.clone()
    known = ("old_log_probs", "ref_log_prob", "values", "advantages", "returns")
    for name in set(known) & set(advantage.keys()):
        other = advantage[name] + elsewhere * (1 - advantage["response_mask"])
        changed[name] = response_to_nested(other, data["response_mask"])
    tokens = int(advantage["response_mask"].sum())
    tu.assign_non_tensor(changed, dp_size=1, batch_num_tokens=tokens, global_batch_size=len(data))
    nested = torch.nested.nested_tensor_from_jagged(outputs, data["input_ids"].offsets())
    loss, _ = function(config=settings, model_output={output: nested}, data=changed)
    loss.backward()
    whole = torch.nested.nested_tensor_from_jagged(outputs.grad, data["input_ids"].offsets())
    gradient = response_from_nested(whole, data["response_mask"])
    return loss.item(), torch.nested.to_padded_tensor(gradient, 0.0)
