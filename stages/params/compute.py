"""The block of how things are computed, on which no result depends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stages.params.choices import Engine

GIVEN = "AGENTIC_R_DEVICES"  # the variable that tells a worker how many devices are its own


@dataclass
class Compute:
    """How it is computed: see conf/compute/default.yaml."""

    device: str = "cpu"
    threads: int = 2
    portable: bool = True
    devices: int = 1
    nodes: int = 1
    gpu_memory: float = 0.85
    engine: Engine | None = None
    generation_batch: int = 128
    encoding_batch: int = 8
    checkpoint_steps: int = 10
    ray: str | None = None
    workers: int = 1
    judge_url: str | None = None
    retriever_url: Any = None  # an address, or a list of them

    @property
    def retriever_urls(self) -> list[str]:
        """The addresses of `retriever_url`; none where the stage starts a server itself."""
        given = self.retriever_url
        if given is None:
            return []
        return [given] if isinstance(given, str) else list(given)

    @property
    def all_devices(self) -> int:
        """Accelerators on all nodes together."""
        return self.devices * self.nodes
