"""The settings of our agent loop as a file: verl's processes can be given only a path."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from stages import params
from stages.common.records import read_json, write_json


@dataclass(frozen=True)
class Settings:
    """All that a rollout needs beside its question."""

    tokenizer: str  # a folder
    ends: list[int]  # the tokens that end a text
    window: int  # tokens that the model can read
    protocol: params.Protocol
    limits: params.Rollout
    top_k: int  # passages a search
    mask_retrieved: bool
    retriever: list[str]  # addresses of retriever servers of one index
    counts: str  # folder of what is counted (counts.py)
    seed: int | None = None  # of the samples; None: the engine draws them as they come

    def write(self, path: Path) -> None:
        """Write the file that `read` reads."""
        write_json(path, asdict(self))

    @classmethod
    def read(cls, path: str | Path) -> Settings:
        """The settings in `path`."""
        fields = read_json(path)
        protocol, limits = params.Protocol(**fields["protocol"]), params.Rollout(**fields["limits"])
        return cls(**{**fields, "protocol": protocol, "limits": limits})
