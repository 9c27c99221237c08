"""vLLM against transformers on one machine: the same text? how fast, each in turn in one run?

    PYTHONPATH=.:tests .venv-vllm/bin/python tests/benchmarks/generation.py --work FOLDER

Run by hand; writes metrics/benchmarks/generation.json. The laptop world, searched by BM25, with a
Qwen2 that is taught into FOLDER once; greedy, float32, vLLM's CPU build.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from functools import partial
from pathlib import Path

import qwen_world

from stages import candidates, params, trajectories
from stages.common.candidates import read_candidates
from stages.common.corpus import WantedPassages
from stages.common.records import read_questions, write_json
from stages.common.trajectories import Trajectory, read_trajectories
from stages.engines.loading import load_agent
from stages.gac.rollouts import Start, finish
from stages.retrieval.searcher import load_searcher
from stages.rollout import loop
from stages.rollout.draw import draw_questions
from stages.rollout.protocol import AgentProtocol

OUTPUT = Path("metrics/benchmarks/generation.json").resolve()
MACHINE = "2 cores, 23 GB of memory, no GPU; one thread a model, in a process of its own with vLLM"
ROUNDS, STEPS, QUESTIONS, QUERIES, SAMPLED = 3, 250, 100, 60, 256
ENGINES = ("transformers", "vllm")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for world and agent")
    folder = parser.parse_args().work
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    if not Path("agent").exists():
        qwen_world.write_world(STEPS, QUESTIONS)
    qwen_world.set_params(trajectories={"questions": QUESTIONS}, compute={"threads": 1})
    given = params.load_params()
    engines, starts = {}, {}
    for name in ENGINES:
        compute = params.Compute(threads=1, engine=params.Engine(name))
        began = time.perf_counter()
        engines[name] = load_agent("agent", given.generation, compute)
        starts[name] = round(time.perf_counter() - began, 2)
    play = partial(_play, given)
    if not Path("candidates.jsonl").exists():
        qwen_world.run_stage(trajectories)
        qwen_world.run_stage(candidates)
    told = {name: play(engine) for name, engine in engines.items()}
    labels = {name: _labels(given, engine) for name, engine in engines.items()}
    samples = {name: _samples(engine) for name, engine in engines.items()}
    metrics = {
        "machine": MACHINE,
        "model": "Qwen2 of 2 layers, width 128, float32",
        "start_seconds": starts,
        "trajectories": _agreement(told) | {"right": sum(each.em for each in told["vllm"])},
        "labels": _agreement(labels) | {"correct": sum(labels["vllm"])},
        "samples": _agreement(samples),
        "tokens_a_second": _speed(engines, told["vllm"]),
    }
    write_json(OUTPUT, metrics)


def _questions(given: params.Params) -> list:
    """Those that the agent was taught, and as many that it was not."""
    available = read_questions("data/questions/train.jsonl")
    return draw_questions(available, 2 * QUESTIONS, given.seed, "trajectories", 1)


def _tools(given: params.Params):
    searcher = load_searcher("index", "data/passages.jsonl", None, given.compute)
    search = partial(searcher.search, top_k=given.rollout.top_k)
    return search, AgentProtocol(given.protocol), given.rollout


def _play(given: params.Params, engine) -> list[dict]:
    """Trajectories of the questions."""
    search, protocol, limits = _tools(given)
    rollouts = [loop.start(q, protocol, engine.tokenizer) for q in _questions(given)]
    loop.run(rollouts, engine, search, protocol, limits)
    return [loop.record(rollout) for rollout in rollouts]


def _labels(given: params.Params, engine) -> list[int]:
    """GAC of every candidate of some queries."""
    queries = read_candidates("candidates.jsonl")[:QUERIES]
    wanted = {identifier for each in queries for identifier in each.ids}
    passages = WantedPassages("data/passages.jsonl", wanted)
    by_id = {each.id: each for each in read_trajectories("trajectories.jsonl")}
    starts = [
        Start(by_id[each.query.question_id], each.query.turn, passages[identifier])
        for each in queries
        for identifier in each.ids
    ]
    return [row["em"] for row in finish(starts, engine, *_tools(given), lambda count: None)]


def _samples(engine) -> list[list[int]]:
    """Whole turns drawn at temperature 1."""
    prompt = engine.tokenizer.encode("Question: who is the director of the film")
    options = {"stop": ["</search>"], "max_new_tokens": 32, "temperature": 1.0}
    return engine.generate([prompt] * SAMPLED, keys=[*range(SAMPLED)], **options)


def _agreement(results: dict[str, list]) -> dict:
    pairs = list(zip(*results.values(), strict=True))
    same = sum(one == other for one, other in pairs)
    return {"compared": len(pairs), "identical": same, "identical_share": same / len(pairs)}


def _speed(engines: dict, told: list[Trajectory]) -> dict:
    """New tokens a second on the prompts of all turns, in turns; the ratio of each round."""
    tokenizer = engines["vllm"].tokenizer
    prompts = []
    for each in told:
        text = f"Question: {each.question}\n"
        for turn in each.turns:
            prompts.append(tokenizer.encode(text))
            text += turn.text + turn.information
    rounds: dict[str, list[float]] = {name: [] for name in engines}
    for number in range(ROUNDS + 1):  # the first warms up
        for name, engine in engines.items():
            # Another first token each round, so that no cache has what follows.
            asked = [[5 + number, *prompt[1:]] for prompt in prompts]
            began = time.perf_counter()
            written = engine.generate(asked, stop=[], max_new_tokens=32)
            tokens = sum(map(len, written))
            rounds[name] += [tokens / (time.perf_counter() - began)] if number else []
    ratios = [b / a for a, b in zip(rounds["transformers"], rounds["vllm"], strict=True)]
    return {
        "prompts": len(prompts),
        **{name: round(statistics.median(rates)) for name, rates in rounds.items()},
        "vllm_to_transformers": [round(ratio, 2) for ratio in ratios],
    }


if __name__ == "__main__":
    main()
