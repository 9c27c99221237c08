"""Check 5: vLLM and verl at the size and the lengths of the scale `gpu`, with random weights."""

from __future__ import annotations

import time
from pathlib import Path

from stages.gpu_checks.models import SHAPE, SMALL, VOCABULARY, random_prompts, write_qwen
from stages.gpu_checks.ppo import SETTINGS, trained

REAL = [
    "rollout.max_turn_tokens=400",
    "rollout.max_information_tokens=600",
    "rollout.max_context_tokens=4096",
    "agent.steps=1",
    "agent.questions=16",
    "agent.rollouts=1",
    "agent.mini_batch=16",
    "agent.micro_batch=1",
    "compute.gpu_memory=0.6",
]
PROMPTS = 64


def check_scale(folder: Path, cuda: bool) -> dict:
    """Tokens a second of vLLM, and a step of PPO with its checkpoint."""
    if cuda:
        base = write_qwen(folder / "base", SHAPE, vocabulary=VOCABULARY, dtype="bfloat16")
    else:
        base = write_qwen(folder / "base", SMALL)
    metrics = _written(base) if cuda else {}
    overridden = {word.partition("=")[0] for word in REAL}
    usual = [word for word in SETTINGS if word.partition("=")[0] not in overridden]
    return metrics | trained(folder, usual + REAL, cuda, kill=False)


def _written(base: Path) -> dict:
    """In a process of its own, which leaves the card when it ends."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(speed, str(base)).result()


def speed(base: str) -> dict:
    """Tokens a second that vLLM writes for PROMPTS prompts at once."""
    from stages.engines.vllm_generator import VllmGenerator

    began = time.perf_counter()
    generator = VllmGenerator(base, device="cuda", dtype="bfloat16", context=4096, sampled=False)
    started = time.perf_counter()
    prompts = random_prompts(Path(base), PROMPTS, 3000)
    replies = generator.generate(prompts, stop=[], max_new_tokens=400)
    seconds = time.perf_counter() - started
    return {
        "vllm_start_seconds": round(started - began, 1),
        "tokens_a_second": round(sum(map(len, replies)) / seconds),
    }
