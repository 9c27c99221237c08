"""A retriever server as one writes it in an afternoon: transformers, faiss, one request at a time.

    python tests/benchmarks/plain_server.py MODEL INDEX PASSAGES PORT

The peer of our server in peers.py: the same protocol, encoder and vectors, and nothing else.
"""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock

import faiss
import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer


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

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # as the web frameworks have it

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with turn:
                found = search(asked["queries"], asked["topk"])
            body = json.dumps({"result": found}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words) -> None:
            """Nothing: a line a request would be timed too."""

    ThreadingHTTPServer.request_queue_size = 128
    server = ThreadingHTTPServer(("127.0.0.1", int(port)), Handler)
    print("ready", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
