"""The files that a flywheel of two iterations leaves, with made-up figures, for report tests."""

import random
from pathlib import Path

from rows import set_metrics, trajectory_row, turn_row

from stages.common.records import (
    Passage,
    Question,
    write_json,
    write_jsonl,
    write_passages,
    write_questions,
    write_text,
)
from stages.common.trajectories import trajectory_of
from stages.params import Iteration, Pair, Params

SETS = ("indomain", "relations")
CHANCE = {("0", "0"): 0.3, ("1", "bm25"): 0.5, ("1", "0"): 0.45}
CHANCE |= {("1", "1"): 0.75, ("2", "1"): 0.8, ("2", "2"): 0.9}
LABEL_FILES = ("trajectories", "candidates", "relevance", "correctness")
HOSTILE = "<script>alert(1)</script> </information> $x_{1}$ {{ 7*7 }} ‮"


def params() -> Params:
    """Two iterations and the paper's comparisons."""
    return Params(
        iterations={"1": Iteration("0"), "2": Iteration("1")},
        compare={
            "base": Pair("0", "0"),
            "agent1_bm25": Pair("1", "bm25"),
            "agent1_r0": Pair("1", "0"),
            "agent2_r1": Pair("2", "1"),
        },
    )


def pairs() -> dict[str, tuple[str, str]]:
    """Name of each evaluated pair -> (agent, retriever)."""
    named = {name: (pair.agent, pair.retriever) for name, pair in params().compare.items()}
    return named | {k: (k, k) for k in params().iterations}


def write_flywheel(folder: Path, questions: int = 40) -> None:
    """Write into `folder` `metrics/`, and of `data/` corpus, questions, predictions and labels."""
    passages = [Passage(str(n), f"Title {n}", f"Text {n} {HOSTILE}") for n in range(50)]
    write_passages(folder / "data/corpus/passages.jsonl", passages)
    for name, (agent, retriever) in pairs().items():
        rows = _predictions(CHANCE[agent, retriever], questions)
        write_jsonl(folder / f"data/predictions/{name}.jsonl", rows)
        write_json(folder / f"metrics/evaluate/{name}.json", _metrics(agent, retriever, rows))
    for name in SETS:
        write_questions(folder / f"data/questions/test/{name}.jsonl", _questions(questions))
    for iteration in params().iterations:
        _stage_metrics(folder / "metrics", iteration)
        _labels(folder / "data", iteration)
    write_json(folder / "metrics/base.json", {"agent": {"accuracy": 0.8}, "judge": {"accuracy": 1}})


def _predictions(chance: float, questions: int) -> list[dict]:
    return [
        _prediction(set_name, number, chance) for set_name in SETS for number in range(questions)
    ]


def _prediction(set_name: str, number: int, chance: float) -> dict:
    draw = random.Random(f"{set_name} {number}")
    hops, em = 1 + number % 3, int(draw.random() < chance)
    searches = hops + (0 if em else 1)
    ranked = [str(n) for n in draw.sample(range(50), 20)]
    turns = [_turn(f"query {place} of {number}", ranked) for place in range(searches)]
    turns.append(turn_row(text="<answer> a </answer>", thought="so"))
    return {
        "set": set_name,
        "id": f"{number}",
        "question": f"Question {number}? {HOSTILE}",
        "golden_answers": [HOSTILE],
        "turns": turns,
        "answer": HOSTILE if em else None,
        "em": em,
        "f1": float(em),
        "searches": searches,
        "stop": "answer" if em else "searches",
        "hops": hops,
        "supporting_ids": [[ranked[hop * 3]] for hop in range(hops)],
    }


def _turn(query: str, ranked: list[str]) -> dict:
    passages = [{"id": name, "score": 1 - place / 10} for place, name in enumerate(ranked[:3])]
    text = f"<think> {HOSTILE} </think> <search> {query} </search>"
    return turn_row(text=text, thought=HOSTILE, query=query, passages=passages, ranked=ranked)


def _questions(count: int) -> list[Question]:
    return [
        Question(str(n), f"Question {n}?", ["a"], {"hops": 1 + n % 3, "namesakes": 5 + n % 2})
        for n in range(count)
    ]


# Query -> LR and GAC of its candidates 0 to 19 in rank order; what is not named has LR 0, no GAC.
LABELS = {
    "lower": ({0: 100, 4: 80}, {0: 0, 4: 1}),
    "among": ({0: 100, 4: 100}, {0: 0, 4: 1}),
    "below": ({4: 100}, {4: 1}),
    "first": ({0: 100}, {0: 1}),
    "grades": ({0: 40}, {}),
    "answers": ({0: 100}, {0: 0}),
    "ties": (dict.fromkeys(range(6), 100), dict.fromkeys(range(6), 1)),
}


def _labels(data: Path, iteration: str) -> None:
    """Training question `train-NAME` with one query for each of LABELS."""
    files: dict[str, list[dict]] = {name: [] for name in LABEL_FILES}
    for name, (lr, gac) in LABELS.items():
        question = {"question": f"{name}? {HOSTILE}", "golden_answers": [HOSTILE]}
        query = {"id": f"train-{name}#0", "query": f"{name} {HOSTILE}"}
        asked = {"question": question["question"], "history": [], "thought": HOSTILE}
        hits = [{"id": str(n), "score": 1 - n / 100} for n in range(20)]
        scores = {str(n): lr.get(n, 0) for n in range(20)}
        rows = (
            trajectory_row(f"train-{name}", **question),
            {**query, **asked, "question_id": f"train-{name}", "turn": 0, "candidates": hits},
            {"id": query["id"], "sub_answer": HOSTILE, "scores": scores},
            {"id": query["id"], "scores": {str(n): score for n, score in gac.items()}},
        )
        for file, row in zip(files.values(), rows, strict=True):
            file.append(row)
    for stage, rows in files.items():
        write_jsonl(data / stage / f"{iteration}.jsonl", rows)


def _metrics(agent: str, retriever: str, rows: list[dict]) -> dict:
    told = [trajectory_of(row, "a test") for row in rows]
    sets = {name: set_metrics([one for one in told if one.set == name]) for name in SETS}
    return {"agent": agent, "retriever": retriever, "sets": sets}


def _stage_metrics(metrics: Path, iteration: str) -> None:
    count = len(LABELS)
    whole = {"in": count, "out": count, "dropped": {}}
    means = {"reward": 0.5, "em": 0.5, "searches": 2.5, "response_length": 50.0, "entropy": 0.05}
    ends = {"steps": 5, "first": means, "last": means}
    told = {"em": 0.0, "f1": 0.0, "searches": 1.0, "queries": count, "stops": {"answer": count}}
    drops = {
        "no_candidate_reaches_threshold": 1,
        "no_correct_candidate_reaches_threshold": 1,
        "few_negatives": 1,
    }
    kept = {"instances": 5, "positive_selection_rate": round(4 / count, 4)}
    by_stage = {
        "agent": {"in": 100, "out": 90, "dropped": {"not_drawn": 10}} | ends,
        "trajectories": whole | told,
        "candidates": whole | {"trajectories": count, "trajectories_without_query": 0},
        "relevance": whole,
        "correctness": whole | {"rollouts": 200, "rollouts_saved": 1600},
        "pairs": {"in": count, "out": count - 3, "dropped": drops} | kept,
        "retriever": {"in": 5, "out": 5, "dropped": {}, "queries": 4, "loss": 1.5},
    }
    for stage, values in by_stage.items():
        write_json(metrics / stage / f"{iteration}.json", values)
    curve = "".join(f"{step},{step / 10},0.0{step},\n" for step in range(1, 6))
    write_text(metrics / "agent" / f"{iteration}.csv", "step,reward,kl,entropy\n" + curve)
    write_text(metrics / "retriever" / f"{iteration}.csv", "step,loss\n1,2.5\n2,1.5\n")
    write_json(
        metrics / "health" / f"{iteration}.json",
        {"values": {"entropy": 0.25}, "signatures": [], "shown": []},
    )
