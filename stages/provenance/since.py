"""The commit that an output belongs to, and how the run here differs from it."""

from __future__ import annotations

from collections.abc import Iterable

from stages.plumbing.errors import InputError
from stages.provenance.lineage import LockedStage, parse_lock
from stages.provenance.origin import git

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
