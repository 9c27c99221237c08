"""Ours beside what a user would pick in our place, each in turn in one run.

    PYTHONPATH=.:tests python tests/benchmarks/peers.py --run FOLDER

Run by hand, with the checkout of a finished laptop run (FOLDER; nothing in it is changed); writes
metrics/benchmarks/peers.json, and docs/performance.md with the others. A row is a rate of ours and
the peer's, the medians of ROUNDS turns, and the ratio of each turn.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import learning
from clients import ask
from performance import machine, write_page

from stages.common.records import read_passages, write_json
from stages.params import load_params

ROOT = Path(__file__).parents[2]
OUTPUT = ROOT / "metrics/benchmarks/peers.json"
ROUNDS = 5
PASSAGES, MODEL, INDEX = Path("data/corpus/passages.jsonl"), "models/retriever/1", "data/index/1"
LARGE = 200_000  # made-up vectors that are searched
Work = Callable[[], float]  # does something, and gives how much of it


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="checkout with a finished run")
    parser.add_argument("--only", default="", help="rows whose name has this text")
    args = parser.parse_args()
    began, made = machine(), []
    with learning.beside(args.run):
        for benchmark in (startup, bm25, search, encoding, retriever, judging, ppo, servers):
            if args.only in benchmark.__name__:
                for row in benchmark():
                    made.append(row)
                    print(row, flush=True)
    if not args.only:
        write_json(OUTPUT, {"machine": began, "rounds": ROUNDS, "rows": made})
        write_page()


def row(what: str, unit: str, peer: str, ours: Work, theirs: Work, limit: str = "") -> dict:
    """Both rates, in turns; once before the clock starts."""
    rates: list[tuple[float, float]] = []
    for number in range(ROUNDS + 1):
        pair = []
        order = (0, 1) if number % 2 else (1, 0)
        for side in order:
            start = time.perf_counter()
            amount = (ours, theirs)[side]()
            pair.append((side, amount / (time.perf_counter() - start)))
        if number:
            rates.append(tuple(rate for _, rate in sorted(pair)))
    ratios = [own / other for own, other in rates]
    own, other = (statistics.median(side) for side in zip(*rates, strict=True))
    return {
        "what": what,
        "unit": unit,
        "ours": float(f"{own:.3g}"),
        "peer": peer,
        "theirs": float(f"{other:.3g}"),
        "ratio": round(statistics.median(ratios), 3),
        "lowest": round(min(ratios), 3),
        "highest": round(max(ratios), 3),
        "limit": limit,
    }


def startup() -> Iterator[dict]:
    def run(*words: str) -> float:
        subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
        return 1

    for stage in ("pairs", "trajectories"):
        help_text = ("-m", f"stages.{stage}", "--help")
        yield row(
            f"start of `{stage} --help`",
            "a second",
            "`python -c pass`",
            lambda words=help_text: run(*words),
            lambda: run("-c", "pass"),
            "an interpreter's own start",
        )
    loaded = "import stages.engines.generator, stages.encoders.encoding, sentence_transformers"
    bare = "import transformers.models.auto.modeling_auto, sentence_transformers, torch"
    yield row(
        "imports of a stage with models",
        "a second",
        "those of the libraries alone",
        lambda: run("-c", loaded),
        lambda: run("-c", bare),
        "the libraries' own imports",
    )


def bm25() -> Iterator[dict]:
    import bm25s

    from stages.retrieval.bm25 import Bm25Index

    passages = read_passages(PASSAGES)
    queries = _queries(256)
    ours = Bm25Index.load("data/index/bm25", len(passages))
    theirs = bm25s.BM25()
    quiet = {"show_progress": False}
    theirs.index(bm25s.tokenize([passage.contents for passage in passages], **quiet), **quiet)

    def plain() -> int:
        theirs.retrieve(bm25s.tokenize(queries, **quiet), k=20, **quiet)
        return len(queries)

    yield row(
        "BM25 search, top 20",
        "queries a second",
        "bm25s",
        lambda: len(ours.search(queries, 20)),
        plain,
    )


def search() -> Iterator[dict]:
    import faiss
    import numpy as np

    from stages.retrieval.dense import DenseIndex

    draw = np.random.default_rng(0)
    vectors = draw.standard_normal((LARGE, 128), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    queries = vectors[:256] + 0.1
    flat = faiss.IndexFlatIP(128)
    flat.add(vectors)
    index = DenseIndex(vectors)
    for count in (1, 256):
        some = queries[:count]
        yield row(
            f"exact search of {LARGE:,} vectors, {count} at once",
            "queries a second",
            "faiss.IndexFlatIP",
            lambda some=some: len(index.search(some, 20)),
            lambda some=some: len(flat.search(some, 20)[0]),
            "reading the vectors once",
        )


def encoding() -> Iterator[dict]:
    import faiss

    from stages.encoders.encoding import DenseRetriever

    contents = [passage.contents for passage in read_passages(PASSAGES)]
    for rows in (8, 32):
        retriever = DenseRetriever.load(MODEL, rows=rows)
        model = retriever.model

        def plain(model=model, rows=rows) -> int:
            return len(model.encode(contents, batch_size=rows, normalize_embeddings=True))

        yield row(
            f"encoding of passages, {rows} at once",
            "passages a second",
            "sentence-transformers",
            lambda retriever=retriever: len(retriever.encode_passages(contents)),
            plain,
        )

    def stage() -> int:
        from stages import index

        words = ["--passages", str(PASSAGES), "--retriever", MODEL]
        index.main([*words, "--output", "built", "--metrics", "built.json"])
        return len(contents)

    def flat() -> int:
        vectors = model.encode(contents, batch_size=8, normalize_embeddings=True)
        made = faiss.IndexFlatIP(vectors.shape[1])
        made.add(vectors)
        faiss.write_index(made, "built.faiss")
        return len(contents)

    peer = "sentence-transformers and faiss"
    yield row("index of the corpus, on disk", "passages a second", peer, stage, flat)


def retriever() -> Iterator[dict]:
    from datasets import Dataset
    from sentence_transformers import SentenceTransformerTrainer
    from sentence_transformers import SentenceTransformerTrainingArguments as Arguments
    from sentence_transformers.losses import MultipleNegativesRankingLoss

    from stages.contrastive.loss import instance_loss
    from stages.contrastive.rows import contrastive_columns, read_training_rows
    from stages.contrastive.training import ContrastiveRecipe, train_encoder
    from stages.encoders.encoding import load_model
    from stages.encoders.folder import read_format

    steps, block = 20, load_params().retriever
    form = replace(read_format("models/retriever/0"), input=block.input)
    rows = read_training_rows("data/pairs/1.jsonl", form)[: steps * block.batch_size]
    columns = contrastive_columns(rows)
    done = len(rows) // block.batch_size

    def ours() -> int:
        with tempfile.TemporaryDirectory() as work:
            train_encoder(
                load_model("models/retriever/0"),
                Dataset.from_dict(columns),
                lambda model: instance_loss(model, block.temperature, block.cached_batch),
                ContrastiveRecipe(block.batch_size, block.learning_rate, block.warmup),
                Path(work),
                seed=0,
                device="cpu",
                desc="retriever",
            )
        return done

    def theirs() -> int:
        model = load_model("models/retriever/0")
        texts = {name: column for name, column in columns.items() if name != "label"}
        with tempfile.TemporaryDirectory() as work:
            arguments = Arguments(
                output_dir=work,
                per_device_train_batch_size=block.batch_size,
                num_train_epochs=1,
                learning_rate=block.learning_rate,
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
                use_cpu=True,
            )
            loss = MultipleNegativesRankingLoss(model, scale=1 / block.temperature)
            SentenceTransformerTrainer(
                model=model, args=arguments, train_dataset=Dataset.from_dict(texts), loss=loss
            ).train()
        return done

    peer = "sentence-transformers' trainer"
    yield row("retriever training", "steps a second", peer, ours, theirs, "its own products")


def judging() -> Iterator[dict]:
    from itertools import islice

    from stages.common.candidates import wanted_by
    from stages.common.corpus import WantedPassages
    from stages.engines.loading import load_judge
    from stages.judge.asking import Judge
    from stages.judge.judging import JudgePrompts, asked_of, judge_trajectories

    params = load_params()
    block = params.relevance
    judge = Judge(
        load_judge("models/judge", params.generation, params.compute),
        params.seed,
        block.retries,
        block.temperature,
        block.max_reply_tokens,
    )
    prompts = JudgePrompts.load(block)
    passages = WantedPassages(PASSAGES, wanted_by("data/candidates/1.jsonl")[1])
    files = "data/candidates/1.jsonl", "data/trajectories/1.jsonl"
    asked = list(islice(asked_of(*files, passages), 12))
    queries = sum(len(each.rows) for each in asked)

    def ours() -> int:
        judge_trajectories(judge, prompts, asked, block)
        return queries

    def theirs() -> int:
        for each in asked:
            judge_trajectories(judge, prompts, [each], block)
        return queries

    yield row("grades of all candidates", "queries a second", "question by question", ours, theirs)


def ppo() -> Iterator[dict]:
    import torch
    from plain_ppo import PlainLearner

    told = learning.prepare()
    rollouts = told.rollouts
    plain = PlainLearner(str(learning.BASE), told.params.agent)
    yield row(
        "PPO: learning from rollouts",
        "rollouts a second",
        "a plain loop",
        lambda: (told.learner.update(told.batch, 0), len(rollouts))[1],
        lambda: (plain.update(told.batch), len(rollouts))[1],
        "products of the linear layers",
    )
    prompts = [rollout.token_ids[: rollout.prompt_length] for rollout in rollouts]
    width = max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(p)) + p for p in prompts])
    new, keys = 24, list(range(len(prompts)))

    def ours() -> int:
        told.generator.generate(prompts, stop=[], max_new_tokens=new, temperature=1.0, keys=keys)
        return len(prompts)

    def theirs() -> int:
        mask = (ids != 0).long()
        plain.policy.generate(
            input_ids=ids, attention_mask=mask, max_new_tokens=new, do_sample=True, pad_token_id=0
        )
        return len(prompts)

    peer = "transformers' generate"
    yield row("PPO: writing, 24 tokens", "prompts a second", peer, ours, theirs)


def servers() -> Iterator[dict]:
    """The run's own encoder, and one of the size of all-MiniLM-L6-v2 (random weights)."""
    from retrieval_world import tiny_retriever

    from stages import index

    yield from _served("the run's encoder", MODEL, INDEX)
    sizes = {"layers": 6, "width": 384, "heads": 12, "max_length": 256}
    model = str(tiny_retriever(Path("minilm"), **sizes))
    words = ["--passages", str(PASSAGES), "--retriever", model]
    index.main([*words, "--output", "of-minilm", "--metrics", "of-minilm.json"])
    yield from _served("MiniLM's size", model, "of-minilm")


def _served(name: str, model: str, folder: str) -> Iterator[dict]:
    from stages.serving.process import running_server

    queries = _queries(640)
    with running_server(folder, PASSAGES, model) as ours, _plain_server(model, folder) as theirs:
        for clients, count in ((1, 60), (64, 640)):
            asked = "one query at a time" if clients == 1 else f"{clients} clients"
            yield row(
                f"server, {name}, {asked}",
                "requests a second",
                "FastAPI over transformers and faiss, one at a time",
                lambda count=count, clients=clients: ask(ours, queries[:count], clients),
                lambda count=count, clients=clients: ask(theirs, queries[:count], clients),
                "the encoder in large batches",
            )


@contextmanager
def _plain_server(model: str, folder: str) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, str(Path(__file__).with_name("plain_server.py"))]
    words = [*command, model, folder, str(PASSAGES), port]
    process = subprocess.Popen(words)
    try:
        while not _listens(int(port)):
            if process.poll() is not None:
                raise SystemExit("the plain server did not start")
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _queries(count: int) -> list[str]:
    import numpy as np

    from stages.contrastive.cloze import passage_queries
    from stages.retrieval.corpus import PassageFile, line_starts

    passages = PassageFile(PASSAGES, np.asarray(line_starts(PASSAGES)))
    found = passage_queries(passages, count, 0)
    return [found[number % len(found)] for number in range(count)]


if __name__ == "__main__":
    main()
