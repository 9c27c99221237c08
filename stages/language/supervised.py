"""Supervised training on demonstrations, with the loss on the model's own tokens only."""

from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from stages.language.batches import Make, SupervisedBatch, batches
from stages.plumbing.finite import Watch
from stages.plumbing.progress import progress
from stages.running import checkpoint


@dataclass
class SupervisedRecipe:
    """How long and how fast: `warmup` is in steps, after `flat` of the steps the rate falls."""

    steps: int
    batch_size: int
    learning_rate: float
    warmup: int = 40
    flat: float = 0.5
    final_rate: float = 0.05
    max_gradient_norm: float = 1.0
    save_every: int = 50


def learning_rate(recipe: SupervisedRecipe, step: int) -> float:
    """Up for `warmup` steps, constant, then straight down to a share of itself."""
    left = (1 - step / recipe.steps) / (1 - recipe.flat)
    fall = recipe.final_rate + (1 - recipe.final_rate) * min(1.0, left)
    return recipe.learning_rate * min(1.0, (step + 1) / recipe.warmup) * fall


def own_loss(model: PreTrainedModel, batch: SupervisedBatch) -> torch.Tensor:
    """Mean cross-entropy over the tokens that the model writes."""
    hidden = model.model(input_ids=batch.ids).last_hidden_state[:, :-1]  # (batch, length, width)
    own = batch.actions[:, 1:] > 0
    return torch.nn.functional.cross_entropy(model.lm_head(hidden[own]), batch.ids[:, 1:][own])


def train_language_model(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    make: Make,
    recipe: SupervisedRecipe,
    file: Path,
    desc: str,
    rate: str = "learning_rate",
) -> list[float]:
    """Train `model` in place; returns the loss of each step. NotFinite if it diverges.

    A run that was killed goes on from `file`, its checkpoint, with the result it would have
    had. `rate` is the parameter that holds the learning rate.
    """
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=recipe.learning_rate,
        betas=(0.9, 0.98),
        weight_decay=0.01,
        fused=True,
    )
    losses: list[float] = _resume(model, optimizer, file)
    start, watch = len(losses), Watch(desc)
    bar = progress(total=recipe.steps, desc=desc, unit="step")
    bar.update(start)
    model.train()
    for step, batch in enumerate(
        batches(make, tokenizer, recipe.batch_size, start, recipe.steps), start
    ):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(recipe, step)
        loss = own_loss(model, batch)
        watch.see(step + 1, rate, {"loss": loss.item()})
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.max_gradient_norm)
        watch.see(step + 1, rate, {"gradient norm": norm.item()})
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        bar.update(1)
        if len(losses) % recipe.save_every == 0:
            _save(model, optimizer, losses, file)
    bar.close()
    watch.see_weights(recipe.steps, model, rate)
    model.eval()
    return losses


def _save(model, optimizer, losses: list[float], file: Path) -> None:
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "losses": losses}
    checkpoint.save(state, file)


def _resume(model, optimizer, file: Path) -> list[float]:
    state = checkpoint.load(file)
    if state is None:
        return []
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return state["losses"]
