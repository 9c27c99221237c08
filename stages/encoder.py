"""R_0, the general dense retriever that searches in iteration 1 and that every R_k starts from.

In: passages. Out: a retriever folder that reads the query alone. The paper takes E5-base-v2: then
(`encoder.model` set) the folder is a reference to that model. Without one, a small BERT is made
from scratch by inverse cloze on the passages alone, so that it knows no question.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from stages.params import Params, load_params
from stages.plumbing.errors import run


def main(argv: list[str] | None = None) -> None:
    """Make R_0."""
    args = _arguments(argv)
    params = load_params()

    from stages.common.records import write_json
    from stages.encoders.reference import refer_to_encoder
    from stages.plumbing.folders import replaced

    with replaced(args.output) as folder:
        if params.encoder.model:
            write_json(
                args.metrics, refer_to_encoder(params.encoder, folder, params.retriever.max_length)
            )
        else:
            _make(params, args.passages, folder, args.metrics)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--passages", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--metrics", required=True)
    return parser.parse_args(argv)


def _make(params: Params, passages: str, output: Path, metrics_file: str) -> None:
    from datasets import Dataset

    from stages.common import portable
    from stages.common.records import read_passages, write_json
    from stages.common.seeds import seed_of
    from stages.contrastive.cloze import Noise, cloze_pairs
    from stages.contrastive.fresh import fresh_encoder, vocabulary
    from stages.contrastive.loss import symmetric_loss
    from stages.contrastive.training import ContrastiveRecipe, train_encoder
    from stages.encoders.encoding import check_length
    from stages.encoders.folder import save_retriever
    from stages.encoders.reference import format_of
    from stages.running.scratch import Scratch, fingerprint

    portable.start_computing(params.compute)
    p, query_format = params.encoder, format_of(params.encoder)
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
    check_length(model, params.retriever.max_length)
    batch_size = min(p.batch_size, len(contents))
    noise = Noise(fillers=p.fillers.split(), families=[family.split() for family in p.families])
    seed = seed_of(params.seed, "encoder", "pairs")
    pairs = list(cloze_pairs(contents, p.steps * batch_size, batch_size, noise, seed))
    rows = Dataset.from_dict(
        {
            "anchor": [query_format.query_prompt + query for query, _ in pairs],
            "positive": [query_format.passage_prompt + passage for _, passage in pairs],
        }
    )
    with Scratch("encoder", fingerprint("encoder", params, passages)) as scratch:
        curve = train_encoder(
            model,
            rows,
            lambda model: symmetric_loss(model, p.temperature),
            ContrastiveRecipe(batch_size, p.learning_rate, p.warmup),
            scratch.path,
            seed=seed_of(params.seed, "encoder", "training"),
            device=params.compute.device,
            desc="encoder",
        )
        save_retriever(model, output, query_format)
        metrics = {
            "passages": len(contents),
            "vocabulary": len(tokens),
            "parameters": sum(p.numel() for p in model.parameters()),
            "loss": curve[-1][1],
        }
        write_json(metrics_file, metrics)


if __name__ == "__main__":
    run(main)
