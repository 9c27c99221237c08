"""The PPO loop: sample rollouts with the live policy, reward exact match, learn, repeat.

A run is a function of its seed: the questions of a step, the noise of each rollout and the order of
the mini-batches come from names and not from a stream of random numbers, so a run that was killed
goes on from its last checkpoint to the same bytes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path

from stages.common.records import Question
from stages.common.seeds import seed_of
from stages.engines.generator import BrokenLogits
from stages.loop_ppo.batch import RolloutBatch, collate, unmasked
from stages.loop_ppo.learner import POLICY_RATE, Learner
from stages.params import Agent, Rollout
from stages.plumbing.progress import progress
from stages.ppo.questions import questions_of_step
from stages.ppo.task import LIMITED
from stages.rollout.limits import limited
from stages.rollout.loop import RolloutState, run, start
from stages.rollout.protocol import AgentProtocol
from stages.running import checkpoint
from stages.scoring import exact_match

CHECKPOINT = "checkpoint.pt"
RUNNING = 5  # steps in the running EM that the progress bar shows


def train_steps(
    learner: Learner,
    generator,
    search: Callable,
    questions: list[Question],
    protocol: AgentProtocol,
    limits: Rollout,
    params: Agent,
    checkpoint_steps: int,
    seed: int,
    folder: Path,
    log: Callable[[int, dict], None],
) -> list[dict]:
    """Train for `params.steps` steps; returns the curves, one row a step (counted from 1).

    `generator` samples from `learner.policy`; `folder` keeps the checkpoint of every
    `checkpoint_steps`; `log(step, row)` is told every step that this process makes.
    """
    curves = _resume(learner, folder)
    recent = deque((row["em"] for row in curves), maxlen=RUNNING)
    bar = progress(total=params.steps, desc="PPO", unit="step")
    bar.update(len(curves))
    with bar:
        for step in range(len(curves), params.steps):
            asked = questions_of_step(questions, step, params.questions, seed)
            try:
                rollouts = sample_rollouts(
                    asked, generator, search, protocol, limits, params, seed, step
                )
            except BrokenLogits as error:
                raise learner.watch.diverged(step + 1, str(error), POLICY_RATE) from None
            rewards = [exact_match(r.answer, r.question.golden_answers) for r in rollouts]
            device, masked = str(generator.model.device), params.mask_retrieved
            batch = to_batch(rollouts, rewards, device, masked)
            row = {"step": step + 1, **rollout_metrics(rollouts, rewards)}
            row |= learner.update(batch, step)
            curves.append({name: round(number, 6) for name, number in row.items()})
            log(step + 1, curves[-1])
            recent.append(row["em"])
            bar.set_postfix(em=f"{sum(recent) / len(recent):.3f}", refresh=False)
            bar.update()
            if (step + 1) % checkpoint_steps == 0:
                _save(learner, curves, folder)
    learner.check_policy(params.steps)
    return curves


def sample_rollouts(
    questions: list[Question],
    generator,
    search: Callable,
    protocol: AgentProtocol,
    limits: Rollout,
    params: Agent,
    seed: int,
    step: int,
) -> list[RolloutState]:
    """`params.rollouts` sampled rollouts of each question, finished."""
    rollouts, keys = [], []
    for question in questions:
        for number in range(params.rollouts):
            rollouts.append(start(question, protocol, generator.tokenizer, as_written=True))
            keys.append(seed_of(seed, "rollout", step, question.id, number))
    run(
        rollouts,
        generator,
        search,
        protocol,
        limits,
        temperature=params.temperature,
        keys=keys,
    )
    return rollouts


def to_batch(
    rollouts: list[RolloutState], rewards: list[int], device: str, mask_retrieved: bool = True
) -> RolloutBatch:
    """The rollouts as tensors; without `mask_retrieved` all that follows the prompt is learned."""
    masks = [
        r.mask if mask_retrieved else unmasked(len(r.token_ids), r.prompt_length) for r in rollouts
    ]
    return collate([r.token_ids for r in rollouts], masks, rewards, device)


def rollout_metrics(rollouts: list[RolloutState], rewards: list[int]) -> dict[str, float]:
    """Means over the rollouts of a step; the reward is the exact match."""
    count, told = len(rollouts), [limited(r.turns, r.stop) for r in rollouts]
    return {
        "reward": sum(rewards) / count,
        "em": sum(rewards) / count,
        "searches": sum(len(r.queries) for r in rollouts) / count,
        "response_length": sum(sum(r.mask) for r in rollouts) / count,
        "invalid": sum(r.stop in ("invalid", "length") for r in rollouts) / count,
        **{key: sum(row[key] for row in told) / count for key in LIMITED},
    }


def _save(learner: Learner, curves: list[dict], folder: Path) -> None:
    checkpoint.save({"learner": learner.state(), "curves": curves}, folder / CHECKPOINT)


def _resume(learner: Learner, folder: Path) -> list[dict]:
    """Load the checkpoint if there is one; returns the rows of the steps already made."""
    saved = checkpoint.load(folder / CHECKPOINT)
    if saved is None:
        return []
    learner.load(saved["learner"])
    return saved["curves"]
