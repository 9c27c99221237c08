"""Step D: an index of the corpus by a retriever R_r (or BM25), searchable where it lies.

In: passages and a retriever folder. Out: a folder with `index.json`, the corpus's line starts and
either the passages' vectors (`index.dtype`), with a faiss index beside them if `index.kind` asks
for one, or a bm25s index. The paper's code holds a flat faiss index in memory; here vectors are
searched on disk or spread over GPUs. A build that was killed goes on where it stopped.
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import asdict
from pathlib import Path

from stages.params import IndexKind, Params, load_params
from stages.plumbing.errors import run

RECALL_AT = 20  # the method's candidates


def main(argv: list[str] | None = None) -> None:
    """Build one index."""
    args = _arguments(argv)
    params = load_params()

    import numpy as np

    from stages.common.records import write_json
    from stages.params.enough import check_lists
    from stages.retrieval.corpus import STARTS, PassageFile, line_starts, sample_digest
    from stages.running.scratch import Scratch, fingerprint

    output = Path(args.output)
    inputs = [args.passages] if args.bm25 else [args.passages, args.retriever]
    key = fingerprint("index", params, *inputs)
    with Scratch(f"index-{output.name}", key) as scratch:
        folder = scratch.path / "index"
        folder.mkdir(exist_ok=True)
        np.save(folder / STARTS, line_starts(args.passages))
        passages = PassageFile(args.passages, np.load(folder / STARTS, mmap_mode="r"))
        about = {"passages": len(passages), "corpus": sample_digest(passages)}
        metrics = {"in": len(passages), "out": len(passages), "dropped": {}}
        if not args.bm25:
            check_lists(params.index, len(passages), "params.yaml")  # before hours of encoding
        if args.bm25:
            about |= _bm25(passages, folder)
        else:
            about |= _dense(args.retriever, params, passages, folder)
            if params.index.kind is not IndexKind.exact:
                extra, recall = _approximate(args.retriever, params, passages, folder)
                about, metrics = about | extra, metrics | recall
        about["finite"] = True  # every vector and every score was looked at as it was made
        write_json(folder / "index.json", about)
        write_json(args.metrics, metrics)
        shutil.rmtree(output, ignore_errors=True)
        output.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(folder, output)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--passages", required=True)
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--retriever", help="folder of the retriever that encodes the passages")
    kind.add_argument("--bm25", action="store_true", help="a BM25 index instead")
    parser.add_argument("--output", required=True)
    parser.add_argument("--metrics", required=True)
    return parser.parse_args(argv)


def _bm25(passages, folder: Path) -> dict:
    """Index the passages' words into `folder`; what index.json says of it."""
    from stages.retrieval import bm25

    bm25.build(passages, folder)
    return {"type": "bm25"}


def _dense(retriever: str, params: Params, passages, folder: Path) -> dict:
    """Encode the passages into `folder`/vectors.npy; what index.json says of it."""
    from stages.common import portable
    from stages.indexing import store
    from stages.retrieval.identity import retriever_digest

    portable.start_computing(params.compute)
    note = folder.with_name("encoded.json")
    vectors = store.build(passages, retriever, params.index.dtype, params.compute, folder, note)
    return {
        "type": "dense",
        "retriever": retriever_digest(retriever),
        "dimension": vectors.shape[1],
        "dtype": params.index.dtype,
    }


def _approximate(retriever: str, params: Params, passages, folder: Path) -> tuple[dict, dict]:
    """Put a faiss index beside the vectors; what index.json says of it, and its recall."""
    from stages.contrastive.cloze import passage_queries
    from stages.encoders.encoding import DenseRetriever, devices
    from stages.retrieval import approximate
    from stages.retrieval.dense import open_vectors
    from stages.retrieval.searcher import exact_index

    p, compute = params.index, params.compute
    vectors = open_vectors(folder)
    place = devices(compute)[0]
    approximate.build(vectors, p, compute.threads, folder, place)
    exact = exact_index(vectors, compute)
    index = approximate.load(folder, p.kind, exact, p.candidates, compute.threads, place)
    reader = DenseRetriever.load(retriever, device=compute.device, rows=compute.encoding_batch)
    queries = reader.encode_queries(passage_queries(passages, p.recall_queries, p.seed))
    found = approximate.recall(index, exact, queries, RECALL_AT)
    metrics = {f"recall_{RECALL_AT}": round(found, 4), "recall_queries": len(queries)}
    kind = p.kind.value
    about = {"kind": kind, "candidates": p.candidates, "seed": p.seed, "sample": p.sample}
    size = (folder / approximate.FILE).stat().st_size
    about |= {kind: asdict(getattr(p, kind)), "faiss": approximate.faiss_digest(folder)}
    return about | {"faiss_bytes": size}, metrics


if __name__ == "__main__":
    run(main)
