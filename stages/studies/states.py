"""Which state of the repository made a seed's figures, so that another machine's may join.

A state is two fingerprints, CODE-PARAMETERS. CODE: what dvc.yaml has stages do, all the code that
it lists for them, and `requirements/`, in the commit of the experiment. PARAMETERS: those that the
stages read, but for the seed, and the hashes of files from outside (prompts, a corpus of one's
own). Neither holds where and with what an experiment ran: processor, versions as installed,
`compute`.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from stages.plumbing.errors import InputError
from stages.plumbing.yaml_text import parse_yaml
from stages.provenance.lineage import parse_lock
from stages.provenance.origin import git
from stages.running.dependencies import CODE

UNREAD = ("report", "health", "health-0")  # stages that make no figure of a study
REQUIREMENTS = "requirements"
DIGITS = 12


@dataclass(frozen=True)
class Made:
    """What made a row: the commit that an experiment was started from, and its state."""

    commit: str
    state: str


def state_of(commit: str, params: dict, lock: str, own_base: bool) -> str:
    """The state of an experiment: its commit, and the params.yaml and dvc.lock that it left.
    `own_base`: its base agent follows the seed."""
    stages = _stages(commit)
    blocks = {name.split(".")[0] for body in stages.values() for name in body.get("params", ())}
    read = {key: value for key, value in params.items() if key in blocks and key != "seed"}
    if own_base:
        read["base"] = {key: value for key, value in read["base"].items() if key != "seed"}
    return f"{code_of(commit)}-{digest([read, _from_outside(lock, stages)])}"


def together(made: Iterable[Made]) -> Made:
    """What made a row of several experiments of one commit."""
    first, *others = dict.fromkeys(made)
    if not others:
        return first
    code = first.state.split("-")[0]
    return Made(first.commit, f"{code}-{digest([first.state, *(one.state for one in others)])}")


@functools.cache
def code_of(commit: str) -> str:
    """The first part of the state of every experiment of a commit."""
    stages = _stages(commit)
    told = {name: {k: v for k, v in body.items() if k != "desc"} for name, body in stages.items()}
    paths = sorted({dep for body in stages.values() for dep in body.get("deps", ()) if _code(dep)})
    return digest([told, git("ls-tree", "-r", commit, "--", *paths, REQUIREMENTS)])


def digest(value: object) -> str:
    """A short fingerprint of plain values."""
    written = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(written.encode()).hexdigest()[:DIGITS]


@functools.cache
def _stages(commit: str) -> dict[str, dict]:
    """The stages of a commit's dvc.yaml that make figures; of a `foreach`, what each does."""
    text = git("show", f"{commit}:dvc.yaml")
    if not text:
        raise InputError(f"dvc.yaml: not in the commit {commit[:8]}")
    stages = parse_yaml(text, f"dvc.yaml of {commit[:8]}", fast=True)["stages"]
    return {name: body.get("do", body) for name, body in stages.items() if name not in UNREAD}


def _code(path: str) -> bool:
    return path.startswith(CODE) and "${" not in path


def _from_outside(lock: str, stages: dict[str, dict]) -> dict[str, str]:
    """Path -> hash of what the stages read that neither a stage made nor `code_of` holds."""
    steps = parse_lock(lock, "dvc.lock")
    code = [dep for body in stages.values() for dep in body.get("deps", ()) if _code(dep)]
    made = [path for step in steps for path in step.outputs]
    return {
        path: hashed
        for step in steps
        if step.stage.split("@")[0] in stages
        for path, hashed in step.inputs.items()
        if not any(_within(path, one) for one in (*code, *made))
        and not any(_within(one, path) for one in made)  # a folder of outputs
    }


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")
