"""The retriever server under 64 clients at once, against the same requests one at a time.

    PYTHONPATH=. python tests/benchmarks/server.py --work /tmp/server-benchmark

Run by hand; writes metrics/benchmarks/server.json. Both are measured in turns in the same run, on
the loopback address; each client keeps its connection and sends one query a request.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import threading
import time
from pathlib import Path

import corpus
import numpy as np

from stages.common.records import write_json
from stages.contrastive.cloze import passage_queries
from stages.retrieval.corpus import PassageFile
from stages.serving.process import running_server

OUTPUT = Path("metrics/benchmarks/server.json").resolve()
PASSAGES, CLIENTS, ALONE, TOGETHER, ROUNDS = 100_000, 64, 100, 1280, 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for corpus and index")
    folder = parser.parse_args().work
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "exact").exists():
        corpus.write_corpus(folder / "passages.jsonl", PASSAGES)
        corpus.make_encoder(folder)
        corpus.write_params(folder, kind="exact")
        corpus.finish(corpus.start_index(folder, "exact"))
    corpus.write_params(folder, texts=8)
    os.chdir(folder)
    os.environ.update(corpus.environment())
    passages = PassageFile("passages.jsonl", np.load("exact/starts.npy"))
    queries = passage_queries(passages, TOGETHER, 0)
    with running_server("exact", "passages.jsonl", "retriever") as address:
        ask(address, queries[:ALONE], 1)  # warm
        rounds = [
            (ask(address, queries[:ALONE], 1), ask(address, queries, CLIENTS))
            for _ in range(ROUNDS)
        ]
    alone, together = ([pair[i] for pair in rounds] for i in range(2))
    rates = [(row["requests_a_second"], other["requests_a_second"]) for row, other in rounds]
    figures = {
        "machine": corpus.MACHINE + "; clients on the same cores",
        "index": {"passages": PASSAGES, "dimension": 64, "dtype": "float16", "kind": "exact"},
        "one_at_a_time": alone,
        f"{CLIENTS}_clients": together,
        "times_the_throughput": round(float(np.median([b / a for a, b in rates])), 2),
    }
    write_json(OUTPUT, figures)
    print(json.dumps(figures, indent=1))


def ask(address: str, queries: list[str], clients: int) -> dict:
    """Send each query as a request, from `clients` connections at once."""
    seconds: list[float] = []

    def client(own: list[str]) -> None:
        connection = http.client.HTTPConnection(address.removeprefix("http://"))
        for query in own:
            body = json.dumps({"queries": [query], "topk": 3, "return_scores": True})
            began = time.perf_counter()
            connection.request("POST", "/retrieve", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            result = json.loads(answer.read())["result"]
            seconds.append(time.perf_counter() - began)
            if answer.status != 200 or len(result[0]) != 3:
                raise SystemExit(f"the server answered {answer.status}")
        connection.close()

    threads = [threading.Thread(target=client, args=(queries[n::clients],)) for n in range(clients)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rate = len(seconds) / (time.perf_counter() - began)
    middle, slow = np.percentile(seconds, [50, 95])
    return {
        "requests": len(seconds),
        "requests_a_second": round(rate, 1),
        "median_ms": round(middle * 1000, 1),
        "p95_ms": round(slow * 1000, 1),
    }


if __name__ == "__main__":
    main()
