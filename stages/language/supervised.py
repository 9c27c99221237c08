"""Supervised training on demonstrations, with the loss on the model's own tokens only."""

import math
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from stages.language.batches import Batch, Make, batches
from stages.plumbing.progress import progress


@dataclass
class Recipe:
    """How long and how fast: `warmup` is in steps, after `flat` of the steps the rate falls."""

    steps: int
    batch_size: int
    learning_rate: float
    warmup: int = 40
    flat: float = 0.5
    final_rate: float = 0.05
    max_gradient_norm: float = 1.0
    save_every: int = 50


def learning_rate(recipe: Recipe, step: int) -> float:
    """Up for `warmup` steps, constant, then straight down to a share of itself."""
    left = (1 - step / recipe.steps) / (1 - recipe.flat)
    fall = recipe.final_rate + (1 - recipe.final_rate) * min(1.0, left)
    return recipe.learning_rate * min(1.0, (step + 1) / recipe.warmup) * fall


def own_loss(model: PreTrainedModel, batch: Batch) -> torch.Tensor:
    """Mean cross-entropy over the tokens that the model writes."""
    hidden = model.model(input_ids=batch.ids).last_hidden_state[:, :-1]  # (batch, length, width)
    own = batch.actions[:, 1:] > 0
    return torch.nn.functional.cross_entropy(model.lm_head(hidden[own]), batch.ids[:, 1:][own])


def train(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    make: Make,
    recipe: Recipe,
    checkpoint: Path,
    desc: str,
) -> list[float]:
    """Train `model` in place; returns the loss of each step.

    A run that was killed goes on from `checkpoint`, with the result it would have had.
    """
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.98), weight_decay=0.01
    )
    losses: list[float] = _resume(model, optimizer, checkpoint)
    start = len(losses)
    bar = progress(total=recipe.steps, desc=desc, unit="step")
    bar.update(start)
    model.train()
    for step, batch in enumerate(
        batches(make, tokenizer, recipe.batch_size, start, recipe.steps), start
    ):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(recipe, step)
        loss = own_loss(model, batch)
        if not math.isfinite(loss.item()):
            raise FloatingPointError(f"{desc}: the loss of step {step} is {loss.item()}")
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.max_gradient_norm)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        bar.update(1)
        if len(losses) % recipe.save_every == 0:
            _save(model, optimizer, losses, checkpoint)
    bar.close()
    model.eval()
    return losses


def _save(model, optimizer, losses: list[float], checkpoint: Path) -> None:
    """Write the checkpoint whole: a run killed meanwhile finds the one before."""
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "losses": losses}
    torch.save(state, checkpoint.with_suffix(".new"))
    os.replace(checkpoint.with_suffix(".new"), checkpoint)


def _resume(model, optimizer, checkpoint: Path) -> list[float]:
    if not checkpoint.exists():
        return []
    state = torch.load(checkpoint, weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return state["losses"]
