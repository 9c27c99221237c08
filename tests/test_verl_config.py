"""Our overrides against verl's own configuration, and what is refused before verl is started."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from rollout_models import make_model, make_tokenizer, save

from stages.composing.compose import compose
from stages.params import (
    Advantage,
    Agent,
    Compute,
    Engine,
    Generation,
    Params,
    Rollout,
    Trainer,
    load_params,
)
from stages.plumbing.errors import InputError
from stages.verl_ppo import config, training
from stages.verl_ppo.files import Files

PAPER = Params(
    generation=Generation(dtype="bfloat16", tensor_parallel=2),
    rollout=Rollout(max_turn_tokens=800, max_information_tokens=800, max_context_tokens=4096),
    agent=Agent(
        trainer=Trainer.verl,
        steps=100,
        questions=512,
        rollouts=1,
        mini_batch=256,
        micro_batch=64,
        policy_learning_rate=1e-6,
        policy_warmup_steps=114,
        value_learning_rate=1e-5,
        value_warmup_steps=6,
        kl_coefficient=0.001,
    ),
    compute=Compute(device="cuda", devices=8, nodes=2, ray="auto", retriever_url="http://r"),
)


@pytest.fixture
def base(tmp_path):
    tokenizer = make_tokenizer()
    return str(save(make_model("qwen2", tokenizer), tokenizer, tmp_path / "base"))


def files(tmp_path: Path, name: str = "it's, a=b {c}") -> Files:
    """In a folder whose name Hydra could misread."""
    made = Files(tmp_path / name)
    make_tokenizer().save_pretrained(made.tokenizer)
    return made


GROUP = replace(PAPER, agent=replace(PAPER.agent, rollouts=4, advantage=Advantage.grpo))


@pytest.mark.parametrize("params", [PAPER, replace(PAPER, compute=Compute()), GROUP])
def test_every_override_is_a_key_of_verls_configuration(params, base, tmp_path):
    """Composed by Hydra from verl's files, then checked by verl as its program does at its start.

    Hydra refuses a key that is not there; one that starts with "+" must be a field of the class
    that verl makes of its block, or verl's check fails.
    """
    from omegaconf import OmegaConf
    from verl.trainer.ppo.utils import need_critic, need_reference_policy
    from verl.utils.config import validate_config
    from verl_workers import composed

    settings = config.overrides(params, base, 32768, 2**62, files(tmp_path))
    whole = composed(settings)
    for key, value in settings.items():
        if not key.startswith("hydra."):
            assert OmegaConf.select(whole, key.removeprefix("+")) == value, key
    critic = params is not GROUP
    assert need_critic(whole) is critic
    assert whole.algorithm.adv_estimator == ("gae" if critic else "grpo")
    assert need_reference_policy(whole)
    validate_config(whole, use_reference_policy=True, use_critic=critic)


def test_the_papers_figures_reach_verl(base, tmp_path):
    from verl_workers import composed

    whole = composed(config.overrides(PAPER, base, 32768, 0, files(tmp_path)))
    actor, critic, rollout = (
        whole.actor_rollout_ref.actor,
        whole.critic,
        whole.actor_rollout_ref.rollout,
    )
    assert (whole.data.train_batch_size, rollout.n, actor.ppo_mini_batch_size) == (512, 1, 256)
    assert (actor.optim.lr, critic.optim.lr) == (1e-6, 1e-5)
    assert (actor.optim.lr_warmup_steps, critic.optim.lr_warmup_steps) == (114, 6)
    assert (whole.algorithm.adv_estimator, whole.algorithm.gamma, whole.algorithm.lam) == (
        "gae",
        1,
        1,
    )
    assert (actor.clip_ratio, actor.kl_loss_coef, actor.kl_loss_type) == (0.2, 0.001, "low_var_kl")
    assert actor.loss_agg_mode == critic.loss_agg_mode == "token-mean"
    assert (rollout.max_model_len, rollout.temperature) == (4096, 1)
    assert (whole.trainer.n_gpus_per_node, whole.trainer.nnodes) == (8, 2)
    assert rollout.tensor_model_parallel_size == 2
    passes = (actor.ppo_micro_batch_size_per_gpu, critic.fsdp.micro_batch_size_per_gpu)
    assert passes == (4, 4)  # 64 over 16 devices
    assert whole.ray_kwargs.ray_init.address == "auto"


@pytest.mark.parametrize(
    ("changes", "fused"), [({}, True), ({"logit_scale": 0.0625}, False), ({"logit_scale": 1}, True)]
)
def test_fused_kernels_are_for_models_whose_logits_are_plain(base, tmp_path, changes, fused):
    path = Path(base) / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    settings = config.overrides(PAPER, base, 32768, 0, files(tmp_path))
    assert settings["actor_rollout_ref.model.use_fused_kernels"] is fused


def test_what_is_written_does_not_depend_on_chance(base, tmp_path):
    """verl's deterministic rollouts where the parameters ask for them; and everywhere the kernels
    of vLLM off that vary from run to run, and engines that end with a worker that crashed."""
    from verl_workers import composed

    for wanted in (False, True):
        own = replace(PAPER.generation, engine=Engine.vllm, batch_invariant=wanted)
        whole = composed(
            config.overrides(replace(PAPER, generation=own), base, 4096, 0, files(tmp_path))
        )
        rollout = whole.actor_rollout_ref.rollout
        assert rollout.full_determinism is wanted
        told = json.loads(rollout.engine_kwargs.vllm.compilation_config)
        assert told == {"pass_config": {"fuse_allreduce_rms": False}}
        variables = whole.ray_kwargs.ray_init.runtime_env.env_vars
        assert variables.VLLM_USE_FLASHINFER_SAMPLER == "0"
        assert variables.RAY_process_group_cleanup_enabled == "1"


def test_the_public_codes_figures_reach_verl(tmp_path, base, monkeypatch):
    """Of conf/scale/paper.yaml: its KL is in the reward, by k1; the text's is in the loss."""
    from verl_workers import composed

    monkeypatch.chdir(Path(__file__).parents[1])
    compose(tmp_path / "params.yaml", ["scale=paper"])
    params = load_params(tmp_path / "params.yaml")
    whole = composed(config.overrides(params, base, 32768, 0, files(tmp_path)))
    actor, algorithm = whole.actor_rollout_ref.actor, whole.algorithm
    assert (algorithm.use_kl_in_reward, actor.use_kl_loss) == (True, False)
    assert (algorithm.kl_penalty, algorithm.kl_ctrl.kl_coef) == ("kl", 0.001)
    assert (actor.entropy_coeff, whole.actor_rollout_ref.rollout.top_p) == (0.001, 0.95)
    assert (actor.optim.lr_warmup_steps, whole.critic.optim.lr_warmup_steps) == (114, 6)
    whole = composed(config.overrides(PAPER, base, 32768, 0, files(tmp_path)))
    assert (whole.algorithm.use_kl_in_reward, whole.actor_rollout_ref.actor.use_kl_loss) == (
        False,
        True,
    )
    assert whole.actor_rollout_ref.actor.entropy_coeff == 0


def test_a_short_window_limits_the_context(base, tmp_path):
    settings = config.overrides(PAPER, base, 2048, 0, files(tmp_path))
    assert settings["actor_rollout_ref.rollout.max_model_len"] == 2048


def test_one_machine_keeps_its_ports_to_itself(base, tmp_path):
    variables = config.environment_variables(replace(PAPER, compute=Compute()), files(tmp_path))
    assert variables["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"
    assert "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER" not in config.environment_variables(
        PAPER, files(tmp_path)
    )


@pytest.mark.parametrize(
    ("block", "changes", "said"),
    [
        ("agent", {"mini_batch": 250}, r"rollouts' \(512\) must be a multiple of .* \(250\)"),
        ("agent", {"rollouts": 3}, r"multiple of 'agent\.rollouts' \(3\)"),
        ("agent", {"mini_batch": 8}, r"'agent\.mini_batch' \(8\) must .*nodes' \(16\)"),
        ("agent", {"micro_batch": 48}, r"multiple of 'agent\.micro_batch over all .* \(48\)"),
        ("generation", {"tensor_parallel": 3}, r"multiple of 'generation\.tensor_parallel' \(3\)"),
        ("compute", {"ray": None}, r"'compute\.ray' must be an address that all 2 nodes"),
        ("compute", {"retriever_url": None}, r"'compute\.retriever_url' must be an address"),
    ],
)
def test_what_cannot_be_shared_out_is_refused(block, changes, said):
    config.check_sharing(PAPER)
    with pytest.raises(InputError, match=said):
        config.check_sharing(replace(PAPER, **{block: replace(getattr(PAPER, block), **changes)}))


@pytest.mark.parametrize(
    "words", [["scale=gpu"], ["scale=paper"], ["scale=paper", "compute.nodes=4"]]
)
def test_the_scales_that_use_verl_can_be_shared_out(words, tmp_path, monkeypatch):
    """Over the nodes of docs/scale.md too; one rollout a pass, for its logits take 10 GB."""
    monkeypatch.chdir(Path(__file__).parents[1])
    addresses = ["compute.ray=auto", "compute.retriever_url=http://r"]
    compose(tmp_path / "params.yaml", words + addresses)
    params = load_params(tmp_path / "params.yaml")
    assert params.agent.trainer is Trainer.verl
    config.check_sharing(params)
    assert config.micro_batch(params) == 1


def test_without_a_gpu_the_trainer_says_so(monkeypatch):
    monkeypatch.setattr(training, "PACKAGES", ("verl",))
    with pytest.raises(InputError, match="needs CUDA, and there is none here"):
        training.check_machine()
    monkeypatch.setattr(training, "PACKAGES", ("verl", "no_such_package"))
    with pytest.raises(InputError, match=r"no_such_package is missing: requirements/gpu\.txt"):
        training.check_machine()
