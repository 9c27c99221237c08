"""Real models of a few thousand parameters for the labelling stages, and what they read.

A corpus of notes about a plant; an agent that searches the plant and, by the number of the first
note it is shown, either searches once more or answers a color; a judge that writes grades and
sub-answers in the right form. Both are taught in seconds; their tokenizer knows the notes.
"""

import functools
import random
import shutil
from pathlib import Path

import torch
import yaml
from retrieval_world import vocabulary

from stages import index
from stages.common.records import Passage, Question, read_jsonl, write_jsonl, write_passages
from stages.common.search import SearchRequest
from stages.contrastive.fresh import fresh_encoder
from stages.encoders import folder
from stages.judge import relevance, sub_answers
from stages.judge.prompts import Prompt
from stages.language.architecture import Architecture, make_model
from stages.language.tokenizer import make_tokenizer
from stages.params import Compute, load_params
from stages.retrieval.searcher import load_searcher
from stages.rollout.protocol import AgentProtocol

REPO = Path(__file__).parents[1]
PLANTS = ("fern", "rose", "moss", "palm", "vine", "reed")
COLORS = ("red", "green", "blue", "white")
NOTES = [
    Passage(f"n{number}", f"N{number}", f"N{number} is about a {PLANTS[number % len(PLANTS)]}.")
    for number in range(28)
]
QUESTIONS = [
    Question(f"q{number}", f"which color has the {plant}", [COLORS[number % len(COLORS)]])
    for number, plant in enumerate(PLANTS)
]
WINDOW = 4
Segments = list[tuple[str, bool]]  # (text, written by the model)


def trajectory(draw: random.Random) -> Segments:
    """What the agent learns: the first note's number decides the next turn."""
    plant = draw.choice(PLANTS)
    segments = [
        (f"Question: which color has the {plant}\n", False),
        (f"<think> look </think> <search> {plant} </search>", True),
    ]
    for _ in range(3):
        shown = [draw.choice(NOTES) for _ in range(draw.choice((1, 3)))]
        lines = "".join(f"{note.text}\n" for note in shown)
        segments.append((f"\n<information>\n{lines}</information>\n", False))
        number = int(shown[0].id[1:])
        if number % 3 == 0:
            segments.append((f"<think> more </think> <search> {plant} more </search>", True))
        else:
            color = COLORS[number % len(COLORS)]
            segments.append((f"<think> read </think> <answer> {color} </answer>", True))
            break
    return segments


def grading(draw: random.Random) -> Segments:
    """A window of notes with grades that say nothing, many tied."""
    notes = [draw.choice(NOTES) for _ in range(WINDOW)]
    prompt = Prompt.load(REPO / "stages/prompts/relevance_short.yaml", *relevance.FIELDS)
    reference = draw.choice((None, *COLORS))
    text = relevance.render(prompt, draw.choice(PLANTS), reference, notes)
    grades = [draw.choice((0, 40, 60, 80, 80, 100)) for _ in notes]
    return [(text, False), (reply(grades), True)]


def answering(draw: random.Random) -> Segments:
    """A trajectory and an answer to each of its queries."""
    segments = trajectory(draw)
    queries = [text for text, own in segments if own and "<search>" in text]
    queries = [text.partition("<search> ")[2].partition(" </search>")[0] for text in queries]
    prompt = Prompt.load(REPO / "stages/prompts/sub_answers_short.yaml", *sub_answers.FIELDS)
    told = "".join(text for text, _ in segments)
    text = prompt.render(trajectory=told, queries=prompt.numbered(queries))
    answers = [draw.choice((*COLORS, "Not Sure")) for _ in queries]
    return [(text, False), (reply(answers), True)]


def judging(draw: random.Random) -> Segments:
    """What the judge learns."""
    return (grading if draw.random() < 0.7 else answering)(draw)


def reply(values: list) -> str:
    """The judge's lines, and the end of its text."""
    return "".join(f"[{n}] {value}\n" for n, value in enumerate(values, 1)) + "<|eos|>"


@functools.cache
def tokenizer():
    draw = random.Random(0)
    makes = (trajectory, grading, answering)
    texts = ["".join(text for text, _ in make(draw)) for make in makes for _ in range(80)]
    return make_tokenizer(text.replace("<|eos|>", "") for text in texts)


def teach(path: Path, make, steps: int, context: int = 1024) -> Path:
    """A model folder taught to write its parts of what `make` tells; `steps` 0: random weights."""
    torch.set_num_threads(1)
    words, draw = tokenizer(), random.Random(1)
    sizes = Architecture(width=32, layers=2, heads=4, convolution=3, context=context)
    model = make_model(sizes, words, seed=0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(steps):
        rows = [_encode(make(draw), words) for _ in range(16)]
        width = max(len(ids) for ids, _ in rows)
        ids = torch.tensor([r + [0] * (width - len(r)) for r, _ in rows])
        labels = torch.tensor([r + [-100] * (width - len(r)) for _, r in rows])
        model(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(path)
    words.save_pretrained(path)
    return path


def _encode(segments: Segments, words) -> tuple[list[int], list[int]]:
    ids, labels = [], []
    for text, own in segments:
        new = words.encode(text, add_special_tokens=False)
        ids += new
        labels += new if own else [-100] * len(new)
    return ids, labels


def build(path: Path) -> None:
    """Corpus, R_0 of random weights, its index, an agent and trajectories, in folder `path`.

    Call it with `path` as the working folder. The trajectories have 1, 2, 3, 5, 1 and 2 searches.
    """
    shutil.copy(REPO / "params.yaml", path)
    write_passages("passages.jsonl", NOTES)
    tokens = vocabulary([note.contents for note in NOTES])
    encoder = fresh_encoder(tokens, layers=1, width=32, heads=2, max_length=32, seed=0)
    folder.save_retriever(encoder, Path("retriever"), folder.QueryFormat())
    files = {"passages": "passages.jsonl", "retriever": "retriever"}
    files |= {"output": "index", "metrics": "index.json"}
    index.main([part for name, value in files.items() for part in (f"--{name}", value)])
    teach(Path("agent"), trajectory, steps=120)
    searcher = load_searcher("index", "passages.jsonl", "retriever", Compute())
    searches = zip(QUESTIONS, (1, 2, 3, 5, 1, 2))
    write_jsonl("trajectories.jsonl", [_told(q, number, searcher) for q, number in searches])


def _told(question: Question, searches: int, searcher) -> dict:
    """A trajectory row with real searches and a wrong answer."""
    words, protocol = tokenizer(), AgentProtocol(load_params().protocol)
    plant = question.question.split()[-1]
    turns = []
    for number in range(searches):
        query = plant + number * " more"
        text = f"<think> look </think> <search> {query} </search>"
        hits = searcher.search([SearchRequest(question.question, (), query)], 3)[0]
        passages = [{"id": hit.passage.id, "score": hit.score} for hit in hits]
        information = protocol.information([hit.passage for hit in hits])
        turns.append({"text": text, "query": query, "passages": passages})
        turns[-1] |= {"thought": "look", "information": information}
    turns.append({"text": "<think> read </think> <answer> black </answer>", "query": None})
    turns[-1] |= {"thought": "read", "information": "", "passages": []}
    for turn in turns:
        turn["token_ids"] = words.encode(turn["text"], add_special_tokens=False)
    return {
        "id": question.id,
        "question": question.question,
        "golden_answers": question.golden_answers,
        "turns": turns,
        "answer": "black",
        "em": 0,
        "f1": 0.0,
        "searches": searches,
        "stop": "answer",
    }


def set_params(**blocks) -> None:
    """The committed parameters with some values of some blocks replaced."""
    params = yaml.safe_load((REPO / "params.yaml").read_text())
    for key in ("prompt", "sub_answer_prompt"):
        params["relevance"][key] = str(REPO / params["relevance"][key])
    params["relevance"] |= {"window": WINDOW, "max_reply_tokens": 40, "max_dropped": 1.0}
    for block, values in blocks.items():
        params[block].update(values)
    Path("params.yaml").write_text(yaml.safe_dump(params))


def arguments(stage: str, **changes) -> list[str]:
    """A stage's arguments with the files of this folder; `output` and `metrics` by its name."""
    every = {
        "iteration": "1",
        "trajectories": "trajectories.jsonl",
        "retriever": "retriever",
        "index": "index",
        "passages": "passages.jsonl",
        "judge": "judge",
        "agent": "agent",
        "questions": "questions.jsonl",
        "candidates": "candidates.jsonl",
        "relevance": "relevance.jsonl",
        "correctness": "correctness.jsonl",
        "visits": "visits.jsonl",
    }
    names = {
        "trajectories": "iteration agent retriever index passages questions",
        "visits": "iteration trajectories passages judge",
        "candidates": "iteration trajectories retriever index passages",
        "relevance": "iteration candidates trajectories passages judge",
        "correctness": "iteration candidates relevance trajectories visits agent retriever "
        "index passages",
        "pairs": "iteration candidates relevance correctness visits passages",
    }[stage].split()
    values = {name: every[name] for name in names}
    values |= {"output": f"{stage}.jsonl", "metrics": f"{stage}.json"} | changes
    return [part for name, value in values.items() for part in (f"--{name}", value)]


def write_relevance(seed: int) -> None:
    """LR as a judge with ties would give it, some of it below the threshold."""
    draw = random.Random(seed)
    rows = read_jsonl("candidates.jsonl")
    scores = [{c["id"]: draw.choice((0, 40, 60, 80, 90)) for c in r["candidates"]} for r in rows]
    write_jsonl(
        "relevance.jsonl",
        ({"id": r["id"], "sub_answer": None, "scores": s} for r, s in zip(rows, scores)),
    )
