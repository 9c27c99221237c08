"""A retriever server as one writes it in an afternoon: FastAPI, transformers, faiss, one at a time.

    python tests/benchmarks/plain_server.py MODEL INDEX PASSAGES PORT

The peer of our server in peers.py: the same protocol, encoder and vectors, and nothing else.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from threading import Lock

import faiss
import numpy as np
import torch
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import AutoModel, AutoTokenizer


class Asked(BaseModel):
    """What a client asks."""

    queries: list[str]
    topk: int
    return_scores: bool


def main() -> None:
    model, index, passages, port = sys.argv[1:]
    torch.set_num_threads(2)
    faiss.omp_set_num_threads(2)
    tokenizer, encoder = AutoTokenizer.from_pretrained(model), AutoModel.from_pretrained(model)
    vectors = np.load(Path(index) / "vectors.npy").astype(np.float32)
    flat = faiss.IndexFlatIP(vectors.shape[1])
    flat.add(vectors)
    documents = [json.loads(line) for line in Path(passages).read_text().splitlines()]
    turn = Lock()

    @torch.inference_mode()
    def search(queries: list[str], k: int) -> list[list[dict]]:
        features = tokenizer(queries, padding=True, truncation=True, return_tensors="pt")
        hidden = encoder(**features).last_hidden_state
        mask = features["attention_mask"][..., None]
        means = (hidden * mask).sum(1) / mask.sum(1)
        scores, places = flat.search(torch.nn.functional.normalize(means).numpy(), k)
        return [
            [{"document": documents[p], "score": float(s)} for p, s in zip(*row, strict=True)]
            for row in zip(places, scores, strict=True)
        ]

    app = FastAPI()

    @app.post("/retrieve")
    def retrieve(asked: Asked) -> dict:
        with turn:
            return {"result": search(asked.queries, asked.topk)}

    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning")


if __name__ == "__main__":
    main()
