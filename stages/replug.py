"""REPLUG, the single-turn baseline: a retriever that learns what helps the answer at once.

In: the base agent as the frozen language model, R_0 with its index, training questions. Out: a
retriever folder of R_k's form, the counts and the loss curve. For each question the target over
R_0's top 20 passages is the likelihood of the gold answer after each of them, and the retriever
learns it from (question, passage) by KL (REPLUG LSR, arXiv 2301.12652). It sees no intermediate
query in training and reads the query alone in search. REPLUG refreshes its index as it trains;
here the passages are those of R_0's index throughout.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path

from stages.params import Params, load_params
from stages.plumbing.errors import InputError, run
from stages.running.scratch import Scratch, fingerprint
from stages.running.workers import Work, rows_of

SHARD = 64  # questions between two save points


def main(argv: list[str] | None = None) -> None:
    """Label the questions, then train the retriever."""
    args = _arguments(argv)
    params = load_params()

    from stages.common.records import as_csv, write_json, write_text
    from stages.distillation.labels import replug_metrics
    from stages.encoders.folder import save_retriever
    from stages.plumbing.folders import replaced
    from stages.serving.process import running_server

    questions = _questions(args, params)
    index = f"{args.index}/index.json"  # names the corpus and the retriever by their digests
    stage = f"replug@{args.name}"
    inputs = (args.agent, args.retriever, index, args.questions)
    with Scratch(stage, fingerprint(stage, params, *inputs)) as scratch:
        build = partial(_build, args, params)
        options = {"devices": 1, "desc": "replug", "unit": "question", "total": len(questions)}
        options["inputs"] = [args.agent, args.retriever, args.index, args.passages]
        options["server"] = partial(running_server, args.index, args.passages, args.retriever)
        rows = list(rows_of(questions, SHARD, build, params.compute, scratch, **options))
        counts = replug_metrics(rows)
        if not counts["out"]:
            raise InputError(f"replug@{args.name}: no question is left: {counts['dropped']}")
        kept = [row for row in rows if row["dropped"] is None]
        if unused := max(0, len(kept) - params.replug.steps * params.replug.batch_size):
            counts["out"] -= unused
            counts["dropped"]["not_drawn"] = unused
        model, query_format, curve = _train(kept, args, params, scratch.path)
        with replaced(args.output) as folder:
            save_retriever(model, folder, query_format)
        write_text(args.curves, as_csv([{"step": step, "loss": loss} for step, loss in curve]))
        write_json(args.metrics, counts | {"loss": curve[-1][1]})


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--name", required=True, help="of the retriever")
    parser.add_argument("--agent", required=True, help="folder of the base agent")
    parser.add_argument("--retriever", required=True, help="folder of R_0")
    parser.add_argument("--index", required=True, help="folder of its index")
    parser.add_argument("--passages", required=True, help="the corpus")
    parser.add_argument("--questions", required=True, help="training questions")
    parser.add_argument("--output", required=True, help="folder of the retriever")
    parser.add_argument("--metrics", required=True, help="counts and the final loss, JSON")
    parser.add_argument("--curves", required=True, help="loss curve, CSV")
    return parser.parse_args(argv)


def _questions(args: argparse.Namespace, params: Params) -> list:
    from stages.common.records import read_questions
    from stages.rollout.draw import draw_questions

    available = read_questions(args.questions)
    try:
        return draw_questions(available, params.replug.questions, params.seed, "replug", args.name)
    except InputError as error:
        raise InputError(f"{args.questions}: 'replug.questions': {error}") from None


def _build(args: argparse.Namespace, params: Params, address: str | None = None) -> Work:
    """Load what labels questions."""
    from stages.distillation.labels import Labeller
    from stages.distillation.likelihood import load_reader
    from stages.rollout.protocol import load_protocol
    from stages.rollout.visit_calls import with_visit_tool
    from stages.serving.shared import searcher_at

    reader = load_reader(args.agent, params.generation, params.compute)
    searcher = searcher_at(address, args.index, args.passages, args.retriever, params.compute)
    protocol = with_visit_tool(load_protocol(args.agent, params.protocol))
    return Labeller(reader, searcher, protocol, params).label


def _train(rows: list[dict], args: argparse.Namespace, params: Params, work: Path):
    """The trained model, how it is asked, and its loss curve."""
    from datasets import Dataset

    from stages.common import portable
    from stages.common.seeds import seed_of
    from stages.contrastive.rows import training_order
    from stages.contrastive.training import ContrastiveRecipe, train_encoder
    from stages.distillation.loss import LikelihoodLoss, likelihood_columns
    from stages.encoders.encoding import load_model
    from stages.encoders.folder import read_format

    portable.start_computing(params.compute)
    p = params.replug
    query_format = replace(read_format(args.retriever), input="query")
    seed = seed_of(params.seed, "replug", args.name)
    order = training_order(len(rows), p.steps * p.batch_size, seed)
    model = load_model(args.retriever)
    curve = train_encoder(
        model,
        Dataset.from_dict(likelihood_columns(rows, query_format)).select(order),
        lambda model: LikelihoodLoss(model, p.temperature, p.likelihood_temperature),
        ContrastiveRecipe(p.batch_size, p.learning_rate, p.warmup),
        work,
        seed=seed,
        device=params.compute.device,
        desc=f"replug@{args.name}",
    )
    return model, query_format, curve


if __name__ == "__main__":
    run(main)
