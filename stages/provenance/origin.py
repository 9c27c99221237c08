"""Package versions of this checkout, and what git says of it."""

from __future__ import annotations

import re
import subprocess
from importlib import metadata
from pathlib import Path

REQUIREMENTS = Path("requirements")


def packages(requirements: Path = REQUIREMENTS) -> dict[str, str]:
    """Versions, as installed, of the packages that the repo asks for by name."""
    names = set()
    for file in sorted(requirements.glob("*.in")):
        for line in file.read_text(encoding="utf-8").splitlines():
            match = re.match(r"[A-Za-z0-9_.-]+", line)
            if match:
                names.add(match.group().lower())
    return {name: version for name in sorted(names) if (version := _version(name))}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def git(*words: str) -> str:
    """What a git command prints; empty where it fails, or takes longer than a minute."""
    try:
        done = subprocess.run(
            ["git", *words], capture_output=True, text=True, check=False, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
