"""Where bytes are held to kept ones: those of one kind of processor and of one list of packages."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

import pytest

from stages.common import portable

LIST = Path(__file__).parents[1] / "requirements/laptop.txt"
SUM = ("numpy", "torch", "transformers", "sentence-transformers", "tokenizers")


def other_packages() -> list[str]:
    """What sums here, and is not of the version that the laptop's list pins."""
    pinned = dict(re.findall(r"(?m)^([a-z-]+)==(\S+)$", LIST.read_text(encoding="utf-8")))
    found = {name: metadata.version(name).partition("+")[0] for name in SUM}
    return [f"{name} {version}" for name, version in found.items() if version != pinned[name]]


def _why_not() -> str:
    if not portable.possible():
        return "no x86-64 processor with AVX2"
    others = ", ".join(other_packages())
    return others and f"{others}: kept bytes are those of {LIST.name}"


kept_here = pytest.mark.skipif(bool(_why_not()), reason=_why_not() or "never")
