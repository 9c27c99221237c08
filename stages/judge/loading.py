"""The judge of a run, loaded: what the stages that ask it start from."""

from __future__ import annotations

from stages.engines.loading import load_judge
from stages.judge.asking import Judge
from stages.params import Params


def judge_of(folder: str, params: Params) -> Judge:
    """The judging language model in `folder`, asked as the block `relevance` says."""
    block = params.relevance
    return Judge(
        load_judge(folder, params.generation, params.compute, block.judge_tensor_parallel),
        seed=params.seed,
        retries=block.retries,
        temperature=block.temperature,
        max_reply_tokens=block.max_reply_tokens,
    )
