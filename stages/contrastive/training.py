"""Train a sentence-transformers model, so that a killed run goes on and ends with equal bytes.

The rows come in the order they are used in, `batch_size` of them a step and each used once: the
order is the caller's seeded choice, and going on is skipping the batches that were done. The
library's trainer does the rest: optimizer, schedule, processes, checkpoints.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stages.plumbing.errors import InputError
from stages.plumbing.finite import Watch
from stages.plumbing.progress import progress

if TYPE_CHECKING:
    from datasets import Dataset
    from sentence_transformers import SentenceTransformer
    from torch import nn

CHECKPOINTS = 8  # in a run
LARGE = 100_000_000  # weights, from which a model's activations are computed twice, not kept
POINTS = 50  # of a curve
SKIPS = 30  # steps in a row that float16 may leave out while its loss scale, of 2^16, halves


@dataclass(frozen=True)
class ContrastiveRecipe:
    """How to optimise: AdamW, linear warm-up over a share of the steps, then linear decay.

    `dtype` is that of the products in the model; weights and the loss stay float32.
    """

    batch_size: int
    learning_rate: float
    warmup: float
    dtype: str = "float32"
    weight_decay: float = 0.01


def train_encoder(
    model: SentenceTransformer,
    rows: Dataset,
    loss: Callable[[SentenceTransformer], nn.Module],
    recipe: ContrastiveRecipe,
    work: Path,
    *,
    seed: int,
    device: str,
    desc: str,
) -> list[tuple[int, float]]:
    """Train `model` in place on `rows`; the curve as pairs (step, mean loss up to it).

    `loss` makes the loss for the model. Checkpoints lie in `work`, and the newest whole one there
    is where the run starts. Every process of a distributed run takes `recipe.batch_size` rows of
    a step; rows that do not fill a last step for all processes are left out. NotFinite if the
    training diverges: then 'STAGE.learning_rate' is too high, where `desc` is STAGE or STAGE@NAME.
    """
    from sentence_transformers import SentenceTransformerTrainer
    from sentence_transformers.base.sampler import DefaultBatchSampler
    from torch.utils.data import SequentialSampler

    watch, rate = Watch(desc), f"{desc.partition('@')[0]}.learning_rate"
    patience = SKIPS if recipe.dtype == "float16" else 0

    class Trainer(SentenceTransformerTrainer):
        skipped = 0

        def get_batch_sampler(self, dataset, batch_size, drop_last, **_):
            """Rows as they come: their order is the caller's."""
            order = SequentialSampler(dataset)
            return DefaultBatchSampler(order, batch_size=batch_size, drop_last=drop_last)

        def add_model_card_callback(self, default_args_dict):
            """The folder's own card is written instead: the library's holds dates and paths."""

        def training_step(self, *args, **kwargs):
            """The library's, whose loss must be finite."""
            loss = super().training_step(*args, **kwargs)
            watch.see(self.state.global_step + 1, rate, {"loss": loss.item()})
            return loss

        def _get_grad_norm(self, *args, **kwargs):
            """The norm before the gradient was clipped, which must be finite. The loss scale of
            float16 is found by trying: what overflows is left out, and tried at half the scale."""
            norm = super()._get_grad_norm(*args, **kwargs)
            value = float(norm)
            self.skipped = 0 if math.isfinite(value) else self.skipped + 1
            if not 0 < self.skipped <= patience:
                watch.see(self.state.global_step + 1, rate, {"gradient norm": value})
            return norm

    large = sum(p.numel() for p in model.parameters()) > LARGE
    arguments = _arguments(recipe, work, len(rows), seed, device, large)
    trainer = Trainer(model=model, args=arguments, train_dataset=rows, loss=loss)
    _show_progress(trainer, desc)
    trainer.train(resume_from_checkpoint=_newest_checkpoint(work, arguments.world_size))
    watch.see_weights(trainer.state.global_step, model, rate)
    return [
        (row["step"], round(row["loss"], 6)) for row in trainer.state.log_history if "loss" in row
    ]


def _arguments(
    recipe: ContrastiveRecipe, work: Path, rows: int, seed: int, device: str, large: bool
):
    if recipe.dtype == "float16" and device == "cpu":
        raise InputError("training in float16 needs a GPU: take bfloat16 or float32")
    from sentence_transformers import SentenceTransformerTrainingArguments

    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(work),
        per_device_train_batch_size=recipe.batch_size,
        num_train_epochs=1,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        optim="adamw_torch_fused",  # the plain one's square roots are those of this processor
        lr_scheduler_type="linear",
        dataloader_drop_last=True,
        dataloader_pin_memory=device != "cpu",
        use_cpu=device == "cpu",
        bf16=recipe.dtype == "bfloat16",
        fp16=recipe.dtype == "float16",
        gradient_checkpointing=large,
        gradient_checkpointing_kwargs={"use_reentrant": False} if large else None,
        seed=seed % 2**32,
        save_strategy="steps",
        save_total_limit=2,
        logging_strategy="steps",
        logging_nan_inf_filter=False,  # or a loss that is not finite would be logged as another
        report_to="none",
        disable_tqdm=True,
    )
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1  # or it would spread each batch over all GPUs in sight
    if device == "cpu" and arguments.world_size > 1:
        import torch

        # or it would be cpu:1 and so on, where torch cannot load a checkpoint
        arguments._setup_devices = torch.device("cpu")
    steps = rows // (recipe.batch_size * arguments.world_size)
    if steps == 0:
        raise InputError(f"{rows} training rows do not fill one step: lower the batch size")
    arguments.warmup_steps = round(recipe.warmup * steps)
    arguments.save_steps = -(-steps // CHECKPOINTS)
    arguments.logging_steps = -(-steps // POINTS)
    return arguments


def _newest_checkpoint(work: Path, processes: int) -> str | None:
    """The newest checkpoint that was written to its end: a process's last file is its state."""
    from transformers import TrainerState

    states = [f"rng_state_{rank}.pth" for rank in range(processes)] if processes > 1 else []
    for folder in sorted(work.glob("checkpoint-*"), key=_step, reverse=True):
        try:
            TrainerState.load_from_json(str(folder / "trainer_state.json"))
        except (OSError, ValueError, TypeError):
            continue
        if all((folder / state).exists() for state in states) and _readable(folder):
            return str(folder)
    return None


def _readable(folder: Path) -> bool:
    """Whether no file of tensors is cut short, as the end of the machine itself leaves them."""
    from safetensors import SafetensorError, safe_open

    for file in folder.rglob("*.safetensors"):
        try:
            with safe_open(file, "np"):
                pass
        except SafetensorError:
            return False
    pickled = [file for file in folder.rglob("*") if file.suffix in (".pt", ".pth")]
    return all(zipfile.is_zipfile(file) for file in pickled)  # a zip's table stands at its end


def _step(folder: Path) -> int:
    return int(folder.name.rpartition("-")[2])


def _show_progress(trainer, desc: str) -> None:
    """One bar of our own in place of the trainer's printing."""
    from transformers import PrinterCallback, TrainerCallback

    class Bar(TrainerCallback):
        def on_train_begin(self, args, state, control, **_):
            self.bar = progress(total=state.max_steps, desc=desc, unit="step")
            self.bar.update(state.global_step)

        def on_step_end(self, args, state, control, **_):
            self.bar.update(1)

        def on_train_end(self, args, state, control, **_):
            self.bar.close()

    trainer.remove_callback(PrinterCallback)
    if trainer.is_world_process_zero():
        trainer.add_callback(Bar())
