"""Step C: R_k, trained contrastively from R_0 on the training pairs of iteration k.

In: training pairs and R_0. Out: the folder of R_k, which reads `question [SEP] query`
(`retriever.input`) in training and in search alike, and the loss curve. Section 3.3: InfoNCE with
the instance's 15 negatives, the batch's and those of the other processes (`retriever.processes`,
one a GPU, started here); always from R_0, never from R_(k-1). Under torchrun the processes are its
own, on any number of nodes that share the working folder (docs/scale.md). Negatives and instances
may be weighed (`retriever.tier_weights`, `retriever.instance_weights`), which the paper does not.
"""

from __future__ import annotations

import argparse
import os
import shutil
from dataclasses import replace
from pathlib import Path

from stages.params import Params, Retriever, load_params
from stages.plumbing.errors import run


def main(argv: list[str] | None = None) -> None:
    """Train the retriever of one iteration."""
    args = _arguments(argv)
    params = load_params()

    from stages.common.records import as_csv, read_json, write_json, write_text
    from stages.contrastive.processes import launched, run_launched, run_processes
    from stages.contrastive.rows import read_training_rows
    from stages.contrastive.weights import row_weights, weighed
    from stages.encoders.folder import read_format
    from stages.running.scratch import Scratch, fingerprint

    query_format = replace(read_format(args.encoder), input=params.retriever.input)
    instances = read_training_rows(args.pairs, query_format)
    weights = row_weights(instances, params.retriever, args.pairs)
    stage = f"retriever@{args.iteration}"
    scratch = Scratch(stage, fingerprint(stage, params, args.pairs, args.encoder))
    if launched() and os.environ["RANK"] != "0":  # the first holds the folder and writes the result
        task = params, args, query_format, instances, weights, scratch.path
        run_launched(params.retriever.processes, train_retriever, *task)
        return
    with scratch:
        task = params, args, query_format, instances, weights, scratch.path
        if launched():
            run_launched(params.retriever.processes, train_retriever, *task)
        elif params.retriever.processes == 1:
            train_retriever(*task)
        else:
            run_processes(params.retriever.processes, params.compute.device, train_retriever, *task)
        curve = read_json(scratch.path / "curve.json")
        shutil.rmtree(args.output, ignore_errors=True)
        Path(args.output).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(scratch.path / "model", args.output)
        write_text(args.curves, as_csv([{"step": step, "loss": loss} for step, loss in curve]))
        dropped = left_out(params.retriever, len(instances))
        write_json(
            args.metrics,
            {
                "in": len(instances),
                "out": len(instances) - sum(dropped.values()),
                "dropped": dropped,
                "queries": len({instance.query_id for instance in instances}),
                "loss": curve[-1][1],
                **weighed(instances, params.retriever),
            },
        )


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--iteration", required=True, help="k, the iteration of the flywheel")
    parser.add_argument("--pairs", required=True, help="training pairs of this iteration")
    parser.add_argument("--encoder", required=True, help="folder of R_0")
    parser.add_argument("--output", required=True, help="folder of R_k")
    parser.add_argument("--metrics", required=True, help="counts and the final loss, JSON")
    parser.add_argument("--curves", required=True, help="loss curve, CSV")
    return parser.parse_args(argv)


def train_retriever(
    params: Params,
    args: argparse.Namespace,
    query_format,
    instances: list,
    weights: list[list[float]] | None,
    work: Path,
) -> None:
    """Train, as one of `retriever.processes`; the first writes `work`/model and curve.json."""
    from datasets import Dataset

    from stages.common import portable
    from stages.common.records import write_json
    from stages.common.seeds import seed_of
    from stages.contrastive import training
    from stages.contrastive.loss import instance_loss
    from stages.contrastive.rows import contrastive_columns, training_order
    from stages.encoders.encoding import check_length, load_model
    from stages.encoders.folder import save_retriever

    portable.start_computing(params.compute)
    p = params.retriever
    model = load_model(args.encoder)
    check_length(model, p.max_length)
    if p.max_length is not None:
        model.max_seq_length = p.max_length
    seed = seed_of(params.seed, "retriever", args.iteration)
    rows = training_rows(p, len(instances))
    curve = training.train_encoder(
        model,
        Dataset.from_dict(contrastive_columns(instances, weights)).select(
            training_order(len(instances), rows, seed)
        ),
        lambda model: instance_loss(model, p.temperature, p.cached_batch, weights is not None),
        training.ContrastiveRecipe(
            p.batch_size, p.learning_rate, p.warmup, p.dtype, p.weight_decay
        ),
        work,
        seed=seed,
        device=params.compute.device,
        desc=f"retriever@{args.iteration}",
    )
    if p.processes == 1 or os.environ["RANK"] == "0":
        save_retriever(model, work / "model", query_format)
        write_json(work / "curve.json", curve)


def training_rows(p: Retriever, instances: int) -> int:
    """How many rows the training is given; one of an epoch is an instance."""
    return p.epochs * instances if p.steps is None else p.steps * p.batch_size * p.processes


def left_out(p: Retriever, instances: int) -> dict[str, int]:
    """Instances that training does not use, by reason: `steps` end before the first epoch does, or
    the last rows of the last epoch do not fill a step of all processes."""
    rows = training_rows(p, instances)
    if rows < instances:
        return {"not_drawn": instances - rows}
    missed = min(rows % (p.batch_size * p.processes), instances)
    return {"incomplete_batch": missed} if missed else {}


if __name__ == "__main__":
    run(main)
