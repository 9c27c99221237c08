"""Both trainers learn the same from the same rollouts: ours, and verl's own workers on a CPU.

verl's engines, losses, optimisers and its advantage run as they do in its trainer, with the
configuration that stages/verl_ppo makes; only where they run is this processor.
"""

from __future__ import annotations

import random
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from rollout_models import make_model, make_tokenizer, save

from stages import params
from stages.common import portable
from stages.engines.generator import TransformersGenerator
from stages.loop_ppo.batch import collate
from stages.loop_ppo.critic import Critic
from stages.loop_ppo.learner import Learner

AGENT = params.Agent(
    trainer=params.Trainer.verl,
    steps=4,
    questions=4,
    rollouts=2,
    mini_batch=8,
    micro_batch=2,
    policy_learning_rate=3e-3,
    value_learning_rate=1e-2,
    kl_coefficient=0.05,
    gamma=0.99,
    lam=0.95,
    temperature=1.3,
)
PUBLIC = replace(AGENT, kl=params.Kl.k1_reward, entropy_coefficient=0.02)  # as the public code


def rollouts() -> list[SimpleNamespace]:
    """Token ids, the mask (1 = written), the prompt's length, the reward, of eight rollouts."""
    draw = random.Random(0)
    made = []
    for number in range(8):
        prompt = draw.randrange(3, 8)
        mask = [0] * prompt
        for _ in range(draw.randrange(1, 4)):
            mask += [1] * draw.randrange(1, 6) + [0] * draw.randrange(1, 6)
        if number == 0:
            mask = [0] * len(mask)  # the model wrote nothing
        elif number % 2:
            while not mask[-1]:  # it answered
                mask.pop()
        ids = [draw.randrange(2, 300) for _ in mask]
        made.append(SimpleNamespace(ids=ids, mask=mask, prompt=prompt, reward=number % 2))
    return made


@pytest.fixture(scope="module", autouse=True)
def same_sums():
    """verl's workers have torch's own linear layers; ours have them here too, so that what differs
    is no rounding of a layer.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(portable, "is_on", lambda: False)
        yield


@pytest.fixture(scope="module")
def models(agent, tmp_path_factory):
    """The folders of a base model, and of a policy that has moved away from it; for the public
    code's settings with an output layer of its own, as Qwen2.5-7B has.
    """
    folder, tokenizer = tmp_path_factory.mktemp("models"), make_tokenizer()
    model = make_model("qwen2", tokenizer, tied=agent is not PUBLIC)
    save(model, tokenizer, folder / "base")
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    save(model, tokenizer, folder / "policy")
    return folder


def head(size: int) -> torch.Tensor:
    """The same lively value head for both critics."""
    return 0.3 * torch.randn(1, size, generator=torch.Generator().manual_seed(2))


GROUP = replace(AGENT, advantage=params.Advantage.grpo)


@pytest.fixture(scope="module", params=[AGENT, PUBLIC, GROUP], ids=["text", "code", "grpo"])
def agent(request):
    return request.param


@pytest.fixture(scope="module")
def ours(models, agent):
    """Our learner after one step, with what it estimated before."""
    policy = TransformersGenerator(models / "policy").model
    critic = None
    if agent.advantage is params.Advantage.gae:
        critic = Critic.from_base(str(models / "base"))
        critic.head.weight.data = head(32)
    reference = TransformersGenerator(models / "base").model
    learner = Learner(policy, critic, reference, agent, seed=0)
    made = rollouts()
    batch = collate([r.ids for r in made], [r.mask for r in made], [r.reward for r in made])
    estimates, _ = learner._estimate(batch, torch.arange(0), 0)
    return SimpleNamespace(
        batch=batch, estimates=estimates, metrics=learner.update(batch, 0), learner=learner
    )


@pytest.fixture(scope="module")
def theirs(models, agent, tmp_path_factory):
    """verl's workers after the same step, in the order of its trainer's `_step_once`."""
    import verl_workers

    given = params.Params(agent=agent, rollout=params.Rollout(max_context_tokens=64))
    return verl_workers.step(given, models, rollouts(), head(32), tmp_path_factory)


def aligned(ours, padded: torch.Tensor) -> torch.Tensor:
    """verl's (rollouts, response) as ours, (rollouts, length - 1): column t speaks of token t+1."""
    spread = torch.zeros(ours.batch.mask.shape, dtype=padded.dtype)
    for row, rollout in enumerate(rollouts()):
        size = len(rollout.ids) - rollout.prompt
        spread[row, rollout.prompt - 1 : rollout.prompt - 1 + size] = padded[row, :size]
    return spread


def same(one: torch.Tensor, other: torch.Tensor, mask: torch.Tensor) -> None:
    assert mask.any()
    torch.testing.assert_close(one[mask], other[mask], atol=1e-6, rtol=1e-5)


def test_the_mask_is_the_same(ours, theirs):
    assert torch.equal(aligned(ours, theirs.mask).bool(), ours.batch.mask)


def test_log_probabilities_and_values(ours, theirs):
    mask = ours.batch.mask
    same(aligned(ours, theirs.old), ours.estimates.old_log_probs, mask)
    same(aligned(ours, theirs.reference), ours.estimates.reference_log_probs, mask)
    if theirs.values is not None:
        same(aligned(ours, theirs.values), ours.estimates.values, mask)
        assert ours.estimates.values[mask].std() > 0.1


def test_advantages_and_returns(ours, theirs):
    same(aligned(ours, theirs.advantages), ours.estimates.advantages, ours.batch.mask)
    assert ours.estimates.advantages[ours.batch.mask].abs().max() > 0.5
    if theirs.values is not None:
        same(aligned(ours, theirs.returns), ours.estimates.returns, ours.batch.mask)


def test_losses(ours, theirs, agent):
    """The policy's with its KL term or entropy bonus, and the critic's, as means over the
    mini-batch's tokens; a KL in the reward is a figure of each, over tokens and over rollouts."""
    metrics = theirs.metrics
    assert metrics["actor/loss"] == pytest.approx(ours.metrics["policy_loss"], abs=1e-6)
    if theirs.values is None:
        assert not {"critic/vf_loss", "value_loss"} & {*metrics, *ours.metrics}
    else:
        assert metrics["critic/vf_loss"] == pytest.approx(ours.metrics["value_loss"], abs=1e-6)
        assert ours.metrics["value_loss"] > 1e-2
    if agent.kl is params.Kl.low_var_loss:
        assert metrics["actor/kl_loss"] == pytest.approx(ours.metrics["kl"], abs=1e-6)
    else:
        assert "actor/kl_loss" not in metrics
        kl = ours.estimates.old_log_probs - ours.estimates.reference_log_probs
        mask = ours.batch.mask
        rows = [float(row[own].sum() / (own.sum() + 1e-8)) for row, own in zip(kl, mask)]
        assert metrics["actor/reward_kl_penalty"] == pytest.approx(sum(rows) / len(rows), abs=1e-5)
        assert ours.metrics["kl"] == pytest.approx(float(kl[mask].mean()), abs=1e-6)
    assert metrics["actor/entropy"] == pytest.approx(ours.metrics["entropy"], abs=1e-6)
    assert abs(ours.metrics["kl"]) > 1e-3


def test_the_weights_after_the_step(ours, theirs):
    """So the gradients are the same too: what is masked is out of both."""
    for model, weights in ((ours.learner.policy, theirs.policy), (ours.learner.critic, None)):
        if model is None:
            assert theirs.critic is None
            continue
        if weights is None:
            weights = {
                name.replace("score.", "head.").replace("model.", "backbone."): tensor
                for name, tensor in theirs.critic.items()
            }
        for name, tensor in model.state_dict().items():
            # A thousandth of a step: Adam makes as much of a gradient's last bit where it is tiny.
            assert (tensor - weights[name]).abs().max().item() < 1e-5, name


def test_what_is_said_of_masked_tokens_changes_nothing(theirs, agent):
    """verl's losses with other numbers at masked tokens, and no gradient there. (The policy's, of
    outputs so far away, is clipped to none but for its KL term.)"""
    kept = agent.kl is params.Kl.low_var_loss
    for name in theirs.losses if kept else ("value",):
        loss, gradient = theirs.losses[name](0.0)
        other, _ = theirs.losses[name](7.0)
        assert loss == other
        assert (gradient[~theirs.mask.bool()] == 0).all()
        assert (gradient[theirs.mask.bool()] != 0).any()
