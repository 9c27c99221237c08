"""Step C: R_k, trained contrastively from R_0 on the training pairs of turn k.

In: training pairs and R_0. Out: the folder of R_k, which reads `question [SEP] query`
(`retriever.input`) in training and in search alike, and the loss curve. Section 3.3: InfoNCE with
the instance's 15 negatives, the batch's and those of the other processes; always from R_0, never
from R_(k-1). Run it under `torchrun` to train on several devices.
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path

from stages.errors import run
from stages.params import Params, load_params


def main(argv: list[str] | None = None) -> None:
    """Train the retriever of one turn."""
    args = _arguments(argv)
    params = load_params()

    import torch

    from stages.records import write_json, write_text
    from stages.retrieval.contrast import read_instances
    from stages.retrieval.encoding import load_model
    from stages.retrieval.folder import Asking, read_asking, save
    from stages.scratch import Scratch, fingerprint

    torch.set_num_threads(params.compute.threads)
    prompts = read_asking(args.encoder)
    asking = Asking(params.retriever.input.value, prompts.query_prompt, prompts.passage_prompt)
    instances = read_instances(args.pairs, asking)
    model = load_model(args.encoder, params.compute.device)
    if params.retriever.max_length is not None:
        model.max_seq_length = params.retriever.max_length
    key = fingerprint([params.retriever, params.seed], args.pairs, args.encoder)
    with Scratch(f"retriever@{args.turn}", key) as scratch:
        curve = _train(params, args.turn, instances, model, scratch.path)
        if os.environ.get("RANK", "0") != "0":
            return  # another process writes
        shutil.rmtree(args.output, ignore_errors=True)
        save(model, args.output, asking)
    write_text(args.curves, "".join(f"{s},{loss}\n" for s, loss in [("step", "loss"), *curve]))
    write_json(
        args.metrics,
        {
            "in": len(instances),
            "out": len(instances),
            "dropped": {},
            "queries": len({instance.query_id for instance in instances}),
            "loss": curve[-1][1],
        },
    )


def _train(params: Params, turn: str, instances: list, model, work: Path) -> list[tuple]:
    """Train in place; the curve as (step, loss)."""
    from datasets import Dataset

    from stages.retrieval.contrast import InstanceLoss, columns, training_order
    from stages.retrieval.training import Recipe, train
    from stages.seeds import seed_of

    p = params.retriever
    if p.steps is None:
        total = p.epochs * len(instances)
    else:
        total = p.steps * p.batch_size * int(os.environ.get("WORLD_SIZE", "1"))
    seed = seed_of(params.seed, "retriever", turn)
    return train(
        model,
        Dataset.from_dict(columns(instances)).select(training_order(len(instances), total, seed)),
        lambda model: InstanceLoss(model, p.temperature),
        Recipe(p.batch_size, p.learning_rate, p.warmup),
        work,
        seed=seed,
        device=params.compute.device,
        desc=f"retriever@{turn}",
    )


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turn", required=True, help="k, the turn of the flywheel")
    parser.add_argument("--pairs", required=True, help="training pairs of this turn")
    parser.add_argument("--encoder", required=True, help="folder of R_0")
    parser.add_argument("--output", required=True, help="folder of R_k")
    parser.add_argument("--metrics", required=True, help="counts and the final loss, JSON")
    parser.add_argument("--curves", required=True, help="loss curve, CSV")
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main)
