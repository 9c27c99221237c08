"""Our parameters as overrides of verl's configuration (verl/trainer/config/ppo_trainer.yaml).

What is not set here is verl's default. tests/test_verl_config.py composes all of it with verl's own
files and lets verl check the result.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from stages.engines.vllm_settings import COMPILATION, DECIDED
from stages.params import Advantage, Kl, Params
from stages.plumbing.errors import InputError
from stages.ppo.blocks import training_rollout
from stages.running.cluster import ENVIRONMENT as RAY
from stages.running.cluster import token_mode
from stages.verl_ppo.files import Files

CHANGED_LOGITS = ("final_logit_softcapping", "logit_scale", "logits_scaling")
ROOT = Path(__file__).parents[2]  # of the checkout: Ray starts processes elsewhere
LOOP = "stages.verl_ppo.agent_loop.SearchAgentLoop"
# What every process of verl imports.
MODULES = ("stages.verl_ppo.value_model", "stages.verl_ppo.output_layer")


def check_sharing(params: Params) -> None:
    """InputError if verl could not share the work out as `params` say."""
    agent, compute = params.agent, params.compute
    shared = params.generation.tensor_parallel
    devices, all_devices = compute.all_devices, "compute.devices x compute.nodes"
    batch, pass_ = agent.questions * agent.rollouts, devices * micro_batch(params)
    for name, value, divisor_name, divisor in (
        ("agent.questions x agent.rollouts", batch, "agent.mini_batch", agent.mini_batch),
        ("agent.mini_batch", agent.mini_batch, "agent.rollouts", agent.rollouts),
        ("agent.mini_batch", agent.mini_batch, all_devices, devices),
        ("agent.mini_batch", agent.mini_batch, "agent.micro_batch over all devices", pass_),
        (all_devices, devices, "generation.tensor_parallel", shared),
    ):
        if value % divisor:
            raise InputError(
                f"params.yaml: '{name}' ({value}) must be a multiple of '{divisor_name}' "
                f"({divisor}) where verl trains the agent"
            )
    for name, value in (("ray", compute.ray), ("retriever_url", compute.retriever_url)):
        if compute.nodes > 1 and value in (None, "local"):
            raise InputError(
                f"params.yaml: 'compute.{name}' must be an address that all {compute.nodes} nodes "
                "reach: docs/scale.md says how to start it"
            )


def micro_batch(params: Params) -> int:
    """Rollouts in a forward pass of one device."""
    return max(1, params.agent.micro_batch // params.compute.all_devices)


def longest(params: Params) -> int:
    """Tokens of the longest rollout: its last turn fits the context, what it finds comes after."""
    block = training_rollout(params)
    return block.max_context_tokens + block.max_information_tokens


def alone(params: Params) -> bool:
    """Whether Ray is started for this training, on this machine."""
    return params.compute.ray in (None, "local")


def environment_variables(params: Params, files: Files) -> dict[str, str]:
    """Variables of verl's program and of all processes that it starts, on any node."""
    modules = [os.environ.get("VERL_USE_EXTERNAL_MODULES"), *MODULES]
    places = [str(ROOT), os.environ.get("PYTHONPATH")]
    variables = {
        "PYTHONPATH": os.pathsep.join(filter(None, places)),
        "VERL_USE_EXTERNAL_MODULES": ",".join(filter(None, modules)),
        "VERL_FILE_LOGGER_PATH": str(files.metrics(files.done())),
        "VLLM_NO_USAGE_STATS": "1",
        **RAY,
        **DECIDED,
    }
    if alone(params):
        # Ray's switch for a cluster of one machine: all its ports, and those of the servers that
        # verl starts, are then on the loopback address.
        variables["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        return variables
    return variables | token_mode()


def overrides(params: Params, model: str, window: int, seed: int, files: Files) -> dict:
    """Keys of verl's configuration -> values; a key that starts with "+" is one that it adds.

    `model` is the base agent's folder and `window` what it can read at once, in tokens.
    """
    return (
        _data(params, files)
        | _rollout(params, window, seed, files)
        | _actor(params, model, seed, files)
        | _critic(params, model, seed, files)
        | _trainer(params, files)
    )


def _data(params: Params, files: Files) -> dict:
    return {
        "data.train_files": str(files.questions),
        "data.val_files": str(files.questions),  # verl wants some; it never validates here
        "data.train_batch_size": params.agent.questions,
        "data.shuffle": False,  # the file has the order
        "data.dataloader_num_workers": 0,
        "data.max_prompt_length": training_rollout(params).max_context_tokens,
        "data.max_response_length": longest(params),
        "reward.custom_reward_function.path": "pkg://stages.verl_ppo.reward",
        "reward.custom_reward_function.name": "compute_score",
    }


def _rollout(params: Params, window: int, seed: int, files: Files) -> dict:
    agent, compute = params.agent, params.compute
    settings = {
        "name": "vllm",
        "agent.agent_loop_config_path": str(files.agent_loops),
        "n": agent.rollouts,
        "temperature": agent.temperature,
        "top_p": agent.top_p,
        "seed": seed % 2**31,
        "dtype": params.generation.dtype,
        "max_model_len": min(training_rollout(params).max_context_tokens, window),
        "tensor_model_parallel_size": params.generation.tensor_parallel,
        "full_determinism": params.generation.batch_invariant,
        "gpu_memory_utilization": compute.gpu_memory,
    }
    engine = {"tokenizer": str(files.tokenizer), "compilation_config": json.dumps(COMPILATION)}
    return _under("actor_rollout_ref.rollout", settings) | _under(
        "actor_rollout_ref.rollout.engine_kwargs.vllm", engine, new=True
    )


def _actor(params: Params, model: str, seed: int, files: Files) -> dict:
    agent, in_loss = params.agent, params.agent.kl is Kl.low_var_loss
    settings = {
        "strategy": "fsdp2",  # of the reference too
        "ppo_mini_batch_size": agent.mini_batch // agent.rollouts,  # in questions
        "use_dynamic_bsz": False,  # it counts tokens without the padding that is there
        "ppo_micro_batch_size_per_gpu": micro_batch(params),
        "ppo_epochs": agent.epochs,
        "shuffle": True,
        "data_loader_seed": seed % 2**31,
        "loss_agg_mode": "token-mean",  # over the tokens of the whole mini-batch, as in our loop
        "clip_ratio": agent.clip,
        "clip_ratio_low": agent.clip,
        "clip_ratio_high": agent.clip,
        "use_kl_loss": in_loss,
        "kl_loss_type": "low_var_kl",
        "kl_loss_coef": agent.kl_coefficient,
        "entropy_coeff": agent.entropy_coefficient,
        "optim.lr": agent.policy_learning_rate,
        **_warmup(agent.policy_warmup_steps),
        "optim.clip_grad": agent.max_gradient_norm,
        "+optim.override_optimizer_config.eps": agent.adam_epsilon,
    }
    fused = {  # else logits of all tokens are held at once, and read token by token in Python
        "use_fused_kernels": not changes_logits(model),
        "fused_kernel_options.impl_backend": "torch",  # parts of 512 tokens, sums in float32
    }
    return (
        _model("actor_rollout_ref.model", model, files)
        | _under("actor_rollout_ref.model", fused)
        | _under("actor_rollout_ref.actor", settings)
        | _sharding("actor_rollout_ref.actor.fsdp_config", params)
        | _sharding("actor_rollout_ref.ref.fsdp_config", params)
        | {
            "actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu": micro_batch(params),
            "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu": micro_batch(params),
            "algorithm.adv_estimator": agent.advantage.value,
            "algorithm.gamma": agent.gamma,
            "algorithm.lam": agent.lam,
            "algorithm.use_kl_in_reward": not in_loss,
            "algorithm.kl_penalty": "kl",  # its k1
            "algorithm.kl_ctrl.kl_coef": agent.kl_coefficient,
        }
    )


def changes_logits(model: str) -> bool:
    """Whether the model in this folder scales or caps its logits, which verl's fused kernels do
    not (Gemma 2, Granite, Cohere).
    """
    from transformers import AutoConfig

    text = AutoConfig.from_pretrained(model, trust_remote_code=False).get_text_config()
    return any(getattr(text, key, None) not in (None, 1) for key in CHANGED_LOGITS)


def _warmup(steps: float) -> dict:
    """Where the number of steps is 0, verl takes the ratio."""
    return {"optim.lr_warmup_steps": int(steps), "optim.lr_warmup_steps_ratio": 0.0}


def _critic(params: Params, model: str, seed: int, files: Files) -> dict:
    agent, size = params.agent, micro_batch(params)
    if agent.advantage is not Advantage.gae:
        return {"critic.enable": False}
    settings = {
        "strategy": "fsdp2",
        "ppo_micro_batch_size_per_gpu": size,
        "+fsdp.use_dynamic_bsz": False,  # verl 0.9.1 hands these three on for the actor alone
        "+fsdp.micro_batch_size_per_gpu": size,
        "+fsdp.infer_micro_batch_size_per_gpu": size,
        "data_loader_seed": seed % 2**31,
        "cliprange_value": agent.value_clip,
        "optim.lr": agent.value_learning_rate,
        **_warmup(agent.value_warmup_steps),
        "optim.clip_grad": agent.max_gradient_norm,
    }
    return (
        _model("critic.model", model, files)
        | _under("critic", settings)
        | _sharding("critic.fsdp", params)
    )


def _trainer(params: Params, files: Files) -> dict:
    agent, compute = params.agent, params.compute
    settings = {
        "total_epochs": 1,
        "total_training_steps": agent.steps,
        "n_gpus_per_node": compute.devices,
        "nnodes": compute.nodes,
        "save_freq": compute.checkpoint_steps,
        # verl would remove the actor's last checkpoint before the critic has the next: we do.
        "max_actor_ckpt_to_keep": None,
        "max_critic_ckpt_to_keep": None,
        "default_local_dir": str(files.checkpoints),
        "resume_mode": "auto",
        "val_before_train": False,
        "test_freq": -1,
        "logger": ["console", "file"],
    }
    local = {"address": "local", "include_dashboard": False}
    cluster = local if alone(params) else {"address": compute.ray.strip()}
    variables = environment_variables(params, files)
    return (
        _under("trainer", settings)
        | _under("ray_kwargs.ray_init", cluster, new=True)
        | _under("ray_kwargs.ray_init.runtime_env.env_vars", variables, new=True)
        | {"hydra.run.dir": str(files.folder / "hydra"), "hydra.output_subdir": None}
    )


def _model(key: str, model: str, files: Files) -> dict:
    """A model without flash-attention, and so with padding, which only that can leave out."""
    return {
        f"{key}.path": model,
        f"{key}.tokenizer_path": str(files.tokenizer),
        f"{key}.use_remove_padding": False,
        f"+{key}.override_config.attn_implementation": "sdpa",
    }


def _sharding(key: str, params: Params) -> dict:
    """FSDP: float32 weights, computed in `generation.dtype`, out of vLLM's way while it writes."""
    return {
        f"+{key}.mixed_precision.param_dtype": params.generation.dtype,
        f"{key}.param_offload": True,
        f"{key}.optimizer_offload": True,
    }


def _under(key: str, settings: dict, *, new: bool = False) -> dict:
    return {
        f"{'+' if new or name[0] == '+' else ''}{key}.{name.removeprefix('+')}": value
        for name, value in settings.items()
    }


def as_arguments(settings: dict) -> list[str]:
    """The settings as Hydra's command line has them: `key=value`, texts quoted."""
    return [f"{key}={_value(value)}" for key, value in settings.items()]


def _value(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    if isinstance(value, list):
        return "[" + ",".join(map(_value, value)) + "]"
    return repr(value)
