"""PPO's maths against formulas written out, and the mask on retrieved tokens."""

from __future__ import annotations

import math

import pytest
import torch

from stages.loop_ppo import losses
from stages.loop_ppo.batch import collate, micro_batches
from stages.loop_ppo.learner import warmup

PROMPT, WRITTEN, RETRIEVED = 0, 1, 0


def gae_of_one(rewards, values, gamma, lam):
    """Generalised advantage estimation by its definition, over the model's tokens alone."""
    advantages = []
    for t in range(len(rewards)):
        total = 0.0
        for later in range(t, len(rewards)):
            following = values[later + 1] if later + 1 < len(values) else 0.0
            error = rewards[later] + gamma * following - values[later]
            total += (gamma * lam) ** (later - t) * error
        advantages.append(total)
    return advantages


def spread(numbers, mask, filler):
    """Put `numbers` on the mask's tokens and `filler` elsewhere."""
    out = torch.full(mask.shape, filler)
    out[mask] = torch.tensor(numbers)
    return out


MASKS = torch.tensor(
    [
        [0, 0, 1, 1, 1, 0, 0, 1, 1, 0],
        [0, 1, 1, 0, 0, 0, 1, 1, 1, 1],
    ],
    dtype=torch.bool,
)
REWARDS = [[0.0, 0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0, 0.0, 0.5]]
VALUES = [[0.3, 0.1, 0.4, 0.2, 0.9], [0.5, 0.2, 0.7, 0.6, 0.1, 0.8]]
FLAT_REWARDS = [number for row in REWARDS for number in row]
FLAT_VALUES = [number for row in VALUES for number in row]


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 1.0), (0.95, 0.9), (0.9, 0.0)])
def test_gae_is_the_plain_recursion_over_the_models_tokens(gamma, lam):
    rewards = spread(FLAT_REWARDS, MASKS, 0.0)
    values = spread(FLAT_VALUES, MASKS, 7.0)
    advantages, returns = losses.estimate_advantages(rewards, values, MASKS, gamma, lam)

    plain = [a for r, v in zip(REWARDS, VALUES) for a in gae_of_one(r, v, gamma, lam)]
    assert returns[MASKS].tolist() == pytest.approx(
        [a + v for a, v in zip(plain, FLAT_VALUES)], abs=1e-6
    )
    mean = sum(plain) / len(plain)
    variance = sum((a - mean) ** 2 for a in plain) / (len(plain) - 1)
    whitened = [(a - mean) / math.sqrt(variance) for a in plain]
    assert advantages[MASKS].tolist() == pytest.approx(whitened, abs=1e-5)


def test_a_groups_advantage_is_the_reward_against_its_questions_other_rollouts():
    """Two questions of three rollouts: mean and standard deviation (of a sample) by hand."""
    mask = torch.tensor([[True, False, True, True]]).repeat(6, 1)
    mask[4] = False  # it wrote nothing, and counts in its group
    scores = torch.zeros(6, 4)
    scores[:, 3] = torch.tensor([1.0, 0.0, 0.0, 0.5, 0.0, 0.5])
    scores[2, 0] = -0.25  # a KL in the reward: the sum counts
    found = losses.group_advantages(scores, mask, rollouts=3)
    for first, rewards in ((0, [1.0, 0.0, -0.25]), (3, [0.5, 0.0, 0.5])):
        mean = sum(rewards) / 3
        deviation = math.sqrt(sum((reward - mean) ** 2 for reward in rewards) / 2)
        for row, reward in enumerate(rewards, first):
            expected = (reward - mean) / (deviation + 1e-6)
            for advantage in found[row][mask[row]].tolist():
                assert advantage == pytest.approx(expected)
    assert (found[~mask] == 0).all()
    assert (losses.group_advantages(torch.ones(4, 4), mask[:4], rollouts=2) == 0).all()


def ppo_inputs(information: int, filler: float):
    """One batch whose second turn follows `information` retrieved tokens of value `filler`."""
    masks = [
        [PROMPT] * 3 + [WRITTEN] * 4 + [RETRIEVED] * information + [WRITTEN] * 3,
        [PROMPT] * 2 + [WRITTEN] * 2 + [RETRIEVED] * (information + 2) + [WRITTEN] * 4,
    ]
    written = [sum(mask) for mask in masks]
    batch = collate([[5] * len(mask) for mask in masks], masks, [1.0, 0.0])
    draw = torch.Generator().manual_seed(3)
    numbers = {
        name: spread(
            torch.randn(sum(written), generator=draw).mul(0.4).tolist(), batch.mask, filler
        )
        for name in ("log_probs", "old_log_probs", "reference_log_probs", "values", "old_values")
    }
    return batch, {name: tensor.requires_grad_() for name, tensor in numbers.items()}


def all_losses(batch, x):
    advantages, returns = losses.estimate_advantages(
        batch.scores, x["old_values"].detach(), batch.mask, 1.0, 0.95
    )
    policy, _ = losses.policy_loss(
        x["log_probs"],
        x["old_log_probs"].detach(),
        x["reference_log_probs"].detach(),
        advantages,
        batch.mask,
        clip=0.2,
        kl_coefficient=0.1,
        tokens=int(batch.mask.sum()),
    )
    value = losses.value_loss(
        x["values"],
        x["old_values"].detach(),
        returns,
        batch.mask,
        clip=0.5,
        tokens=int(batch.mask.sum()),
    )
    return advantages[batch.mask], policy, value


@pytest.mark.parametrize(("information", "filler"), [(5, 0.0), (5, -3.0), (1, 2.0), (40, 9.0)])
def test_retrieved_text_changes_neither_advantages_nor_losses(information, filler):
    expected = all_losses(*ppo_inputs(5, 0.0))
    found = all_losses(*ppo_inputs(information, filler))
    for one, other in zip(expected, found):
        assert torch.allclose(one, other, rtol=0, atol=1e-6)


def test_gradients_on_retrieved_tokens_are_exactly_zero():
    batch, x = ppo_inputs(6, 1.5)
    _, policy, value = all_losses(batch, x)
    (policy + value).backward()
    for name in ("log_probs", "values"):
        assert (x[name].grad[~batch.mask] == 0).all()
        assert (x[name].grad[batch.mask] != 0).any()


def test_policy_loss_is_the_clipped_objective_plus_low_variance_kl():
    batch, x = ppo_inputs(4, 0.0)
    advantages = torch.where(
        batch.mask, torch.linspace(-2, 2, batch.mask.numel()).view_as(batch.mask), 0.0
    )
    loss, clipped = losses.policy_loss(
        x["log_probs"],
        x["old_log_probs"],
        x["reference_log_probs"],
        advantages,
        batch.mask,
        clip=0.2,
        kl_coefficient=0.3,
        tokens=int(batch.mask.sum()),
    )
    total, outside, tokens = 0.0, 0, 0
    for new, old, reference, advantage in zip(
        *(x[n][batch.mask].tolist() for n in ("log_probs", "old_log_probs", "reference_log_probs")),
        advantages[batch.mask].tolist(),
    ):
        ratio = math.exp(new - old)
        objective = min(ratio * advantage, min(max(ratio, 0.8), 1.2) * advantage)
        outside += objective < ratio * advantage
        if advantage < 0:
            objective = max(objective, 3 * advantage)
        towards = math.exp(reference - new)
        total += -objective + 0.3 * (towards - (reference - new) - 1)
        tokens += 1
    assert loss.item() == pytest.approx(total / tokens, abs=1e-6)
    assert clipped == pytest.approx(outside / tokens)


def test_value_loss_is_half_the_larger_of_the_plain_and_the_clipped_square():
    batch, x = ppo_inputs(4, 0.0)
    returns = torch.full_like(x["values"], 0.7)
    loss = losses.value_loss(
        x["values"], x["old_values"], returns, batch.mask, clip=0.1, tokens=int(batch.mask.sum())
    )
    squares = [
        max((new - 0.7) ** 2, (min(max(new, old - 0.1), old + 0.1) - 0.7) ** 2)
        for new, old in zip(*(x[n][batch.mask].tolist() for n in ("values", "old_values")))
    ]
    assert loss.item() == pytest.approx(0.5 * sum(squares) / len(squares), abs=1e-6)


def test_micro_batches_add_up_to_the_mini_batch():
    batch, x = ppo_inputs(4, 0.0)
    advantages = torch.randn(batch.mask.shape, generator=torch.Generator().manual_seed(1))

    def loss(rows):
        return losses.policy_loss(
            *(x[n][rows] for n in ("log_probs", "old_log_probs", "reference_log_probs")),
            advantages[rows],
            batch.mask[rows],
            clip=0.2,
            kl_coefficient=0.1,
            tokens=int(batch.mask.sum()),
        )[0]

    assert loss([0, 1]).item() == pytest.approx((loss([0]) + loss([1])).item(), abs=1e-6)


def test_the_reward_sits_on_the_last_written_token():
    batch = collate([[1, 2, 3, 4], [1, 2]], [[0, 1, 1, 0], [0, 0]], [1.0, 1.0])
    assert batch.scores.tolist() == [[0, 1, 0], [0, 0, 0]]
    assert batch.mask.tolist() == [[True, True, False], [False, False, False]]


def test_rows_are_cut_to_their_longest():
    batch = collate([[1] * 9, [2] * 4, [3] * 5], [[0] + [1] * 8, [0, 1, 1, 1], [0] * 5], [0, 1, 0])
    groups = micro_batches(torch.tensor([0, 1, 2]), batch.lengths, 2)
    assert [group.tolist() for group in groups] == [[1, 2], [0]]
    part = batch.rows(groups[0])
    assert part.token_ids.tolist() == [[2, 2, 2, 2, 0], [3] * 5]
    assert part.mask.tolist() == [[True, True, True, False], [False] * 4]


def test_explained_variance():
    mask = torch.tensor([[True, True, True, False]])
    returns = torch.tensor([[0.0, 1.0, 2.0, 50.0]])
    assert losses.explained_variance(returns, returns, mask) == 1
    assert losses.explained_variance(torch.zeros(1, 4), returns, mask) == 0
    assert losses.explained_variance(returns, torch.ones(1, 4), mask) == 0


def test_warm_up_is_a_share_of_the_steps():
    assert [warmup(step, 4) for step in range(5)] == [0.25, 0.5, 0.75, 1, 1]
    assert warmup(0, 0) == 1
    assert [warmup(step, 1.6) for step in range(3)] == [1 / 1.6, 1, 1]
    assert warmup(99, 114) == 100 / 114, "the paper's agent still warms up when its training ends"
