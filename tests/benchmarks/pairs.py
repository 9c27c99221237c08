"""Seconds a question by (agent, retriever) pair and question set, all pairs in turn in one run.

    PYTHONPATH=. python tests/benchmarks/pairs.py --run FOLDER

Run by hand with a checkout whose run is finished (FOLDER; nothing in it is changed): the pairs are
those of its params.yaml. Writes metrics/benchmarks/pairs.json. Models are loaded before the clock
starts; the time of searching is counted apart.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from functools import partial
from pathlib import Path

from stages.common.records import read_questions, write_json
from stages.engines.loading import load_agent
from stages.params import load_params
from stages.retrieval.searcher import load_searcher
from stages.rollout.loop import run, start
from stages.rollout.protocol import load_protocol

OUTPUT = Path("metrics/benchmarks/pairs.json").resolve()
PASSAGES = Path("data/corpus/passages.jsonl")
ROUNDS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="checkout with a finished run")
    os.chdir(parser.parse_args().run)
    params = load_params()
    files = sorted(Path("data/questions/test").glob("*.jsonl"))
    sets = {file.stem: read_questions(file) for file in files}
    asks = {(a, r): partial(_ask, *_load(a, r, params), params) for a, r in _pairs(params)}
    times: dict[tuple, list[dict]] = {}
    for _ in range(ROUNDS):
        for pair, ask in asks.items():
            for name, questions in sets.items():
                times.setdefault((*pair, name), []).append(ask(questions))
    rows = [_row(key, rounds, len(sets[key[-1]])) for key, rounds in times.items()]
    machine = f"{os.cpu_count()} cores, no GPU, language models of under a million parameters"
    write_json(OUTPUT, {"machine": machine, "rounds": ROUNDS, "pairs": rows})


def _pairs(params) -> list[tuple[str, str]]:
    """(agent, retriever) of every pair that the run evaluates."""
    flywheel = [(k, k) for k in params.iterations]
    return [*flywheel, *((pair.agent, pair.retriever) for pair in params.compare.values())]


def _load(agent: str, retriever: str, params):
    folder = Path("models/agent", agent)
    encoder = Path("models/retriever", retriever)
    return (
        load_agent(folder, params.generation, params.compute),
        load_searcher(Path("data/index", retriever), PASSAGES, encoder, params.compute),
        load_protocol(folder, params.protocol),
    )


def _ask(agent, searcher, protocol, params, questions) -> dict:
    """Seconds of one pass over `questions`, of which searching, and the searches."""
    spent, searches = 0.0, 0

    def search(requests):
        nonlocal spent, searches
        began = time.perf_counter()
        hits = searcher.search(requests, params.rollout.top_k)
        spent += time.perf_counter() - began
        searches += len(requests)
        return hits

    rollouts = [start(question, protocol, agent.tokenizer) for question in questions]
    began = time.perf_counter()
    run(rollouts, agent, search, protocol, params.rollout)
    return {"all": time.perf_counter() - began, "searching": spent, "searches": searches}


def _row(key: tuple, rounds: list[dict], questions: int) -> dict:
    agent, retriever, name = key
    medians = {what: statistics.median(row[what] for row in rounds) for what in rounds[0]}
    return {
        "agent": agent,
        "retriever": retriever,
        "question_set": name,
        "ms_a_question": round(1000 * medians["all"] / questions, 2),
        "ms_searching": round(1000 * medians["searching"] / questions, 2),
        "searches_a_question": round(medians["searches"] / questions, 3),
    }


if __name__ == "__main__":
    main()
