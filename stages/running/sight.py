"""What a process sees of what its results depend on: the code, the inputs, the packages.

Nodes of a cluster must see the same. A file counts with all its bytes, a large one with its size
and blocks spread evenly over it: 32 GB of vectors are not read again on every node.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

CODE = Path(__file__).parents[1]  # stages/
PACKAGES = ("torch", "transformers", "sentence-transformers", "tokenizers", "safetensors", "numpy")
PACKAGES += ("accelerate", "bm25s", "vllm", "ray")
BUILT = "faiss"  # a module of which each build is a package of its own: faiss-cpu, faiss-cuda
DIGEST = 64  # signs
WHOLE = 64 * 2**20  # bytes of a file that is read whole
BLOCKS, BLOCK = 64, 2**20  # of a larger one

Sight = dict[str, str]  # what -> its version or digest


def sight(inputs: Iterable[str | Path]) -> Sight:
    """What this process sees: Python, PACKAGES, BUILT, the code, and `inputs`, files or folders."""
    seen = {"Python": platform.python_version()}
    seen |= {name: _version(name) for name in PACKAGES}
    builds = sorted(set(metadata.packages_distributions().get(BUILT, [])))
    seen[BUILT] = ", ".join(f"{name} {_version(name)}" for name in builds) or "none"
    seen["the code"] = _digest(CODE, CODE)
    return seen | {str(path): _digest(Path(path), Path(path)) for path in inputs}


def differences(ours: Sight, theirs: Sight) -> list[str]:
    """What differs, in words."""
    found = []
    for name, value in ours.items():
        if (other := theirs.get(name, "none")) == value:
            continue
        both = f"{name} {_short(other)}, here {_short(value)}"
        found.append(f"no {name}" if other == "none" else both)
    return found


def _short(value: str) -> str:
    return value[:12] if len(value) == DIGEST else value


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "none"


def _digest(path: Path, top: Path) -> str:
    if not path.exists():
        return "none"
    hashed = hashlib.sha256()
    for file in _files(path):
        hashed.update(f"{file.relative_to(top)}\0{file.stat().st_size}\0".encode())
        with open(file, "rb") as stream:
            for part in _parts(stream, file.stat().st_size):
                hashed.update(part)
    return hashed.hexdigest()


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(f for f in path.rglob("*") if f.is_file() and "__pycache__" not in f.parts)
    return [path]


def _parts(stream, size: int) -> Iterable[bytes]:
    if size <= WHOLE:
        yield stream.read()
        return
    for number in range(BLOCKS):
        stream.seek((size - BLOCK) * number // (BLOCKS - 1))
        yield stream.read(BLOCK)
