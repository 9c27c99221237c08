"""R_0, the general dense retriever that searches in turn 1 and that every R_k starts from.

In: passages. Out: a retriever folder that reads the query alone. The paper takes E5-base-v2: then
(`encoder.model` set) the folder is a reference to that model. Without one, a small BERT is made
from scratch by inverse cloze on the passages alone, so that it knows no question.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from stages.params import Baseline, Encoder, Params, load_params
from stages.plumbing.errors import run


def main(argv: list[str] | None = None) -> None:
    """Make R_0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--passages", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--metrics", required=True)
    args = parser.parse_args(argv)
    params = load_params()

    from stages.common.records import write_json

    output = Path(args.output)
    shutil.rmtree(output, ignore_errors=True)
    if params.encoder.model:
        write_json(args.metrics, refer(params.encoder, output))
    else:
        _make(params, args.passages, output, args.metrics)


def refer(block: Encoder | Baseline, output: Path) -> dict:
    """Make the folder `output` stand for a ready-made model; returns figures of it."""
    from stages.common.models import write_reference
    from stages.encoders.encoding import load_model
    from stages.encoders.folder import write_asking

    write_reference(output, block.model, block.revision)
    write_asking(output, _asking(block))
    model = load_model(output)
    return {"parameters": sum(p.numel() for p in model.parameters())}


def _asking(block: Encoder | Baseline):
    from stages.encoders.folder import Asking

    return Asking(
        block.input.value, block.query_prompt, block.passage_prompt, block.max_query_tokens
    )


def _make(params: Params, passages: str, output: Path, metrics: str) -> None:
    import torch
    from datasets import Dataset

    from stages.common.records import read_passages, write_json
    from stages.common.seeds import seed_of
    from stages.contrastive.cloze import Noise, cloze_pairs
    from stages.contrastive.contrast import symmetric_loss
    from stages.contrastive.fresh import fresh_encoder, vocabulary
    from stages.contrastive.training import Recipe, train
    from stages.encoders.folder import save
    from stages.running.scratch import Scratch, fingerprint

    torch.set_num_threads(params.compute.threads)
    p, asking = params.encoder, _asking(params.encoder)
    contents = [passage.contents for passage in read_passages(passages)]
    tokens = vocabulary([*contents, p.words, p.fillers, *p.families])
    model = fresh_encoder(
        tokens,
        layers=p.layers,
        width=p.width,
        heads=p.heads,
        max_length=p.max_length,
        seed=seed_of(params.seed, "encoder", "weights"),
    )
    batch_size = min(p.batch_size, len(contents))
    noise = Noise(fillers=p.fillers.split(), families=[family.split() for family in p.families])
    seed = seed_of(params.seed, "encoder", "pairs")
    pairs = list(cloze_pairs(contents, p.steps * batch_size, batch_size, noise, seed))
    rows = Dataset.from_dict(
        {
            "anchor": [asking.query_prompt + query for query, _ in pairs],
            "positive": [asking.passage_prompt + passage for _, passage in pairs],
        }
    )
    with Scratch("encoder", fingerprint([p, params.seed], passages)) as scratch:
        curve = train(
            model,
            rows,
            lambda model: symmetric_loss(model, p.temperature),
            Recipe(batch_size, p.learning_rate, p.warmup),
            scratch.path,
            seed=seed_of(params.seed, "encoder", "training"),
            device=params.compute.device,
            desc="encoder",
        )
        save(model, output, asking)
        figures = {
            "passages": len(contents),
            "vocabulary": len(tokens),
            "parameters": sum(p.numel() for p in model.parameters()),
            "loss": curve[-1][1],
        }
        write_json(metrics, figures)


if __name__ == "__main__":
    run(main)
