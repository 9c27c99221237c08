"""What retriever servers that run say of themselves, held to the index that a stage reads."""

from __future__ import annotations

from pathlib import Path

import httpx

from stages.common.records import read_json
from stages.plumbing.addresses import shown
from stages.plumbing.errors import InputError

DIGESTS = ("retriever", "corpus")  # a BM25 index has no retriever
PATIENCE = 60.0  # seconds


def check_served(address: str, index: str | Path) -> None:
    """InputError unless the server at `address` answers from an index as `index` is."""
    served, about = _served(address), read_json(Path(index) / "index.json")
    for name in DIGESTS:
        if served.get(name) != about.get(name):
            raise InputError(
                f"{shown(address)}: serves an index of {name} {_short(served.get(name))}, and "
                f"{index} is of {name} {_short(about.get(name))}: restart "
                f"`python -m stages.tools.serve` with --index {index}"
            )


def _served(address: str) -> dict:
    """What the server at `address` says of itself."""
    url = address.rstrip("/").removesuffix("/retrieve")
    try:
        answer = httpx.get(f"{url}/health", timeout=PATIENCE, trust_env=False)
        served = answer.json()
    except httpx.HTTPError as error:
        reason = shown(str(error)) or type(error).__name__
        raise InputError(
            f"{shown(url)}: no retriever server answers ({reason}): start one with "
            "`python -m stages.tools.serve`"
        ) from None
    except (ValueError, RecursionError):
        served = None
    if answer.status_code == 403 and isinstance(served, dict) and "detail" in served:
        raise InputError(f"{shown(url)}: refuses to answer ({served['detail']})")
    if not isinstance(served, dict) or "corpus" not in served:
        raise InputError(
            f"{shown(url)}: does not say what index it serves: start it with this checkout's "
            "`python -m stages.tools.serve`"
        )
    return served


def _short(digest: str | None) -> str:
    return digest[:12] if digest else "none"
