"""The block of the index, and of its approximate kinds."""

from __future__ import annotations

from dataclasses import dataclass, field

from stages.params.choices import IndexKind

CODES = 256  # of a byte: product quantisation is trained on as many vectors at least


@dataclass
class Ivfpq:
    """Inverted lists of product-quantised vectors."""

    lists: int = 8192
    probes: int = 64
    bytes: int = 64


@dataclass
class Hnsw:
    """A graph over 8-bit vectors."""

    links: int = 32
    build_breadth: int = 80
    breadth: int = 256


@dataclass
class Index:
    """`seed`, `sample` and all below them serve approximate kinds only."""

    dtype: str = "float32"
    kind: IndexKind = IndexKind.exact
    seed: int = 0
    sample: int = 400_000
    candidates: int = 200
    recall_queries: int = 500
    ivfpq: Ivfpq = field(default_factory=Ivfpq)
    hnsw: Hnsw = field(default_factory=Hnsw)
