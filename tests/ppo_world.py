"""A tiny agent that searches and then answers a color, for the tests of PPO."""

from __future__ import annotations

import random
from pathlib import Path

import torch

from stages.common.records import Passage, Question
from stages.language.architecture import Architecture, make_model
from stages.language.tokenizer import make_tokenizer
from stages.loop_ppo.batch import collate
from stages.loop_ppo.policy import token_log_probs

PLANTS = ("fern", "rose", "moss", "palm", "vine", "reed")
COLORS = ("red", "green", "blue", "white")
QUESTIONS = [Question(f"q{n}", f"color of {p}", ["blue"]) for n, p in enumerate(PLANTS)]
PASSAGES = [Passage(p, p, f"{p} is a plant") for p in PLANTS]


def turns(plant: str, color: str) -> list[tuple[str, bool]]:
    """(text, written by the agent) of one demonstration."""
    return [
        (f"Question: color of {plant}\n", False),
        (f"<think> look </think> <search> {plant}</search>", True),
        (f"\n<information>\n{plant} is a plant\n</information>\n", False),
        (f"<think> guess </think> <answer> {color}</answer>", True),
    ]


def write_base(folder: Path) -> Path:
    """A model folder taught to search and then to answer any color: right a quarter of the time."""
    torch.set_num_threads(1)
    texts = ["".join(text for text, _ in turns(p, c)) for p in PLANTS for c in COLORS]
    tokenizer = make_tokenizer(texts)
    model = make_model(Architecture(width=32, layers=2, heads=4, convolution=3), tokenizer, seed=0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    draw = random.Random(0)
    for _ in range(80):
        rows, masks = [], []
        for _ in range(16):
            ids, mask = [], []
            for text, written in turns(draw.choice(PLANTS), draw.choice(COLORS)):
                encoded = tokenizer.encode(text)
                ids += encoded
                mask += [int(written)] * len(encoded)
            rows.append(ids)
            masks.append(mask)
        batch = collate(rows, masks, [0.0] * len(rows))
        log_probs, _ = token_log_probs(model, batch.token_ids, batch.mask, 1.0)
        (-log_probs.sum() / batch.mask.sum()).backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
