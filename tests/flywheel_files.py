"""The files that a flywheel of two turns leaves behind, with made-up figures, for report tests."""

import random
from pathlib import Path

from stages.common.records import (
    Passage,
    Question,
    write_json,
    write_jsonl,
    write_passages,
    write_questions,
    write_text,
)
from stages.evaluation.summary import summarise
from stages.params import Iteration, Pair, Params

SETS = ("indomain", "relations")
CHANCE = {("0", "0"): 0.3, ("1", "bm25"): 0.5, ("1", "0"): 0.45}
CHANCE |= {("1", "1"): 0.75, ("2", "1"): 0.8, ("2", "2"): 0.9}
LABEL_FILES = ("trajectories", "candidates", "relevance", "correctness")
HOSTILE = "<script>alert(1)</script> </information> $x_{1}$ {{ 7*7 }} ‮"


def params() -> Params:
    """Two turns and the paper's comparisons."""
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
    return named | {turn: (turn, turn) for turn in params().iterations}


def write_flywheel(folder: Path, questions: int = 40) -> None:
    """Write into `folder` `metrics/`, and of `data/` corpus, questions, predictions and labels."""
    passages = [Passage(str(n), f"Title {n}", f"Text {n} {HOSTILE}") for n in range(50)]
    write_passages(folder / "data/corpus/passages.jsonl", passages)
    for name, (agent, retriever) in pairs().items():
        rows = _predictions(CHANCE[agent, retriever], questions)
        write_jsonl(folder / f"data/predictions/{name}.jsonl", rows)
        write_json(folder / f"metrics/evaluate/{name}.json", _figures(agent, retriever, rows))
    for name in SETS:
        write_questions(folder / f"data/questions/test/{name}.jsonl", _questions(questions))
    for turn in params().iterations:
        _stage_figures(folder / "metrics", turn)
        _labels(folder / "data", turn)
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
    turns.append({"text": "<answer> a </answer>", "thought": "so", "query": None, "passages": []})
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
    return {
        "text": f"<think> {HOSTILE} </think> <search> {query} </search>",
        "thought": HOSTILE,
        "query": query,
        "passages": passages,
        "ranked": ranked,
    }


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


def _labels(data: Path, turn: str) -> None:
    """Training question `train-NAME` with one query for each of LABELS."""
    files: dict[str, list[dict]] = {name: [] for name in LABEL_FILES}
    for name, (lr, gac) in LABELS.items():
        question = {"question": f"{name}? {HOSTILE}", "golden_answers": [HOSTILE]}
        query = {"id": f"train-{name}#0", "query": f"{name} {HOSTILE}"}
        hits = [{"id": str(n), "score": 1 - n / 100} for n in range(20)]
        scores = {str(n): lr.get(n, 0) for n in range(20)}
        rows = (
            {"id": f"train-{name}", **question, "turns": [], "em": 0},
            {**query, **question, "question_id": f"train-{name}", "turn": 0, "candidates": hits},
            {"id": query["id"], "sub_answer": HOSTILE, "scores": scores},
            {"id": query["id"], "scores": {str(n): score for n, score in gac.items()}},
        )
        for file, row in zip(files.values(), rows, strict=True):
            file.append(row)
    for stage, rows in files.items():
        write_jsonl(data / stage / f"{turn}.jsonl", rows)


def _figures(agent: str, retriever: str, rows: list[dict]) -> dict:
    options = {"recall_at": [3, 20], "shown": 3, "seed": 0, "samples": 200}
    sets = {name: summarise([r for r in rows if r["set"] == name], **options) for name in SETS}
    return {"agent": agent, "retriever": retriever, "sets": sets}


def _stage_figures(metrics: Path, turn: str) -> None:
    counts = {"in": 100, "out": 90, "dropped": {"malformed": 10}}
    for stage in ("agent", "trajectories", "candidates", "relevance", "retriever"):
        write_json(metrics / stage / f"{turn}.json", counts)
    gac = {"in": 90, "out": 90, "dropped": {}, "rollouts": 200, "rollouts_saved": 1600}
    write_json(metrics / "correctness" / f"{turn}.json", gac)
    rate = {"in": 90, "out": 60, "dropped": {"few_negatives": 30}, "positive_selection_rate": 2 / 3}
    write_json(metrics / "pairs" / f"{turn}.json", rate)
    curve = "".join(f"{step},{step / 10},0.0{step},nan\n" for step in range(1, 6))
    write_text(metrics / "agent" / f"{turn}.csv", "step,reward,kl,entropy\n" + curve)
    write_text(metrics / "retriever" / f"{turn}.csv", "step,loss\n1,2.5\n2,1.5\n")
    write_json(metrics / "health" / f"{turn}.json", {"values": {}, "signatures": [], "shown": []})
