"""Step D: an index of the corpus by a retriever R_r (or BM25), searchable where it lies.

In: passages and a retriever folder. Out: a folder with `index.json`, the corpus's line starts and
either the passages' vectors (`index.dtype`) or a bm25s index. Exact search, where the paper's code
holds a flat faiss index in memory; a build that was killed goes on where it stopped.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from stages.errors import run
from stages.params import load_params


def main(argv: list[str] | None = None) -> None:
    """Build one index."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--passages", required=True)
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--retriever", help="folder of the retriever that encodes the passages")
    kind.add_argument("--bm25", action="store_true", help="a BM25 index instead")
    parser.add_argument("--output", required=True)
    parser.add_argument("--metrics", required=True)
    args = parser.parse_args(argv)
    params = load_params()

    import numpy as np

    from stages.records import write_json
    from stages.retrieval.corpus import PassageFile, line_starts, sample_digest
    from stages.scratch import Scratch, fingerprint

    starts = line_starts(args.passages)
    passages = PassageFile(args.passages, starts)
    output = Path(args.output)
    key = fingerprint(params.index, args.passages, *([] if args.bm25 else [args.retriever]))
    with Scratch(f"index-{output.name}", key) as scratch:
        folder = scratch.path / "index"
        folder.mkdir(exist_ok=True)
        about = {"passages": len(passages), "corpus": sample_digest(passages)}
        about |= _bm25(passages, folder) if args.bm25 else _dense(args, params, passages, folder)
        np.save(folder / "starts.npy", starts)
        write_json(folder / "index.json", about)
        shutil.rmtree(output, ignore_errors=True)
        output.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(folder, output)
    write_json(args.metrics, {"in": len(passages), "out": len(passages), "dropped": {}})


def _bm25(passages, folder: Path) -> dict:
    """Index the passages' words into `folder`; what index.json says of it."""
    from stages.retrieval import bm25

    bm25.build(passages, folder)
    return {"type": "bm25"}


def _dense(args: argparse.Namespace, params, passages, folder: Path) -> dict:
    """Encode the passages into `folder`/vectors.npy; what index.json says of it."""
    import torch

    from stages.retrieval import dense
    from stages.retrieval.encoding import Retriever
    from stages.retrieval.identity import digest

    compute = params.compute
    torch.set_num_threads(compute.threads)
    retriever = Retriever.load(args.retriever, device=compute.device, rows=compute.encoding_batch)
    work = folder.parent
    shutil.move(dense.build(passages, retriever, params.index.dtype, work), folder / "vectors.npy")
    return {
        "type": "dense",
        "retriever": digest(args.retriever),
        "dimension": retriever.dimension,
        "dtype": params.index.dtype,
    }


if __name__ == "__main__":
    run(main)
