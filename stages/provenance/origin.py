"""Commit and package versions of this checkout."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from stages.plumbing.errors import InputError
from stages.provenance.lineage import LockedStage, parse_lock

REQUIREMENTS = Path("requirements")
LOCK = "dvc.lock"


def commit(steps: Iterable[LockedStage]) -> dict:
    """The last commit that changed dvc.lock, and how the stages `steps` differ from it here.

    `rerun`: they have other outputs than in the commit, as a run on another processor has;
    `changed`: what they read that no stage made (code, data, parameters) and that is not the
    commit's, "stage: what". Without git, or where the lock was never committed, `commit` is None.
    """
    steps = list(steps)
    found = git("log", "-1", "--format=%H", "--", LOCK) or None
    told = {"commit": found, "rerun": False, "changed": []}
    if found is None or not git("status", "--porcelain", "--", LOCK):
        return told
    try:
        before = {s.stage: s for s in parse_lock(git("show", f"{found}:{LOCK}"), LOCK)}
    except InputError:
        return told | {"changed": [LOCK]}
    made = {path for step in steps for path in step.outputs}
    for step in steps:
        known = before.get(step.stage)
        if known is None:
            told["changed"].append(f"{step.stage}: not in the commit")
            continue
        told["rerun"] |= known.outputs != step.outputs
        told["changed"] += [f"{step.stage}: {what}" for what in _differ(step, known, made)]
    return told


def _differ(step: LockedStage, known: LockedStage, made: set[str]) -> Iterable[str]:
    """Inputs from outside and parameters that are not the same in both."""
    for here, there in ((step.inputs, known.inputs), (step.params, known.params)):
        for name in dict.fromkeys((*here, *there)):
            if name not in made and here.get(name) != there.get(name):
                yield name


def since(about: dict) -> str:
    """How a model differs from its commit, in words; empty where it does not."""
    if about["changed"]:
        more = len(about["changed"]) - 1
        others = f" and {more} other{'' if more == 1 else 's'}" if more else ""
        return f"with changes that it does not have ({about['changed'][0]}{others})"
    if about["rerun"]:
        return (
            "run again here: the same code, data and parameters, and other bytes, as another "
            "processor gives"
        )
    return ""


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
    """What a git command prints; empty where it fails, or takes longer than 10 seconds."""
    try:
        done = subprocess.run(
            ["git", *words], capture_output=True, text=True, check=False, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
