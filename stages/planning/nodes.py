"""How many accelerators a stage can use at once: what bounds it as nodes are added."""

from __future__ import annotations

from dataclasses import dataclass

from stages.params import Params
from stages.planning.sizes import Sizes

# Items between two save points, which one worker computes at a time: SHARD of each stage.
QUESTIONS, QUERIES, ASKED, JUDGED, ROLLOUTS, VISITS = 256, 1024, 512, 32, 256, 256
ORACLE = 64


@dataclass(frozen=True)
class Bound:
    """`devices` at most, because of `why`."""

    devices: int
    why: str


def device_bound(stage: str, params: Params, sizes: Sizes, rollouts: float) -> Bound:
    """Of a stage as the plan names it, which has so many `rollouts`."""
    name, _, key = stage.partition("@")
    compute = params.compute
    own = Bound(compute.devices, "runs on one node")
    if name == "agent":
        return Bound(params.agent.mini_batch, "a mini-batch of PPO has a rollout a device")
    if name in ("retriever", "retriever-published"):
        return Bound(params.retriever.processes, "the batch is that of `retriever.processes`")
    labelled = params.trajectories.questions
    labelled = sizes.training if labelled is None else min(labelled, sizes.training)
    ranked = sizes.drawn(params.oracle[key].questions) if name == "oracle" else 0
    items, size, devices = {
        "trajectories": (labelled, QUESTIONS, params.generation.tensor_parallel),
        "visits": (labelled * sizes.searches, VISITS, params.relevance.judge_tensor_parallel),
        "candidates": (labelled * sizes.searches, QUERIES, 1),
        "relevance": (labelled, JUDGED, params.relevance.judge_tensor_parallel),
        "correctness": (rollouts, ROLLOUTS, params.generation.tensor_parallel),
        "evaluate": (sizes.test, ASKED, params.generation.tensor_parallel),
        "oracle": (ranked, ORACLE, params.generation.tensor_parallel),
        "compare": (sizes.test, ASKED, params.generation.tensor_parallel),
    }.get(name, (0, 1, 1))
    if not items:
        return own
    return Bound(max(1, -(-round(items) // size)) * devices, "a worker has a part at a time")


def devices_used(most: Bound, devices: int) -> int:
    """How many of `devices` work."""
    return max(1, min(most.devices, devices))
