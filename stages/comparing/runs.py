"""Runs by their files: params.yaml, dvc.lock and metrics/evaluate, here or in a commit of git.

A figure counts only where dvc.lock says that it was made with the parameters beside it: a run of
some stages alone leaves the others' files as they were.
"""

from __future__ import annotations

import io
import re
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from stages.common.records import read_yaml
from stages.metrics.lock import Lock
from stages.params import load_params
from stages.plumbing.errors import InputError
from stages.reporting.results import PairResult, pair_names, read_pair

FILES = ("params.yaml", "dvc.lock", "metrics/evaluate")
HERE = "this checkout"
EXPERIMENT = re.compile(r"refs/exps/([0-9a-f]{2}/[0-9a-f]{38,})/(.+)")
UNTRACKED = "compute"  # the block that changes no result


@dataclass(frozen=True)
class Run:
    """`pairs` by (agent, retriever): those evaluated with `params`; `missing`: why others have no
    figures, a sentence a pair."""

    name: str
    params: dict
    pairs: dict[tuple[str, str], PairResult]
    missing: list[str]

    @property
    def questions(self) -> dict[str, int]:
        """Question set -> number of questions."""
        first = next(iter(self.pairs.values()), None)
        return {name: part.questions for name, part in first.sets.items()} if first else {}


def read_run(name: str, root: Path = Path()) -> Run:
    """The run whose files lie in `root`. InputError where they cannot be read."""
    params, lock = load_params(root / FILES[0]), Lock.read(root / FILES[1], root / FILES[0], root)
    pairs, missing = {}, []
    for pair, (agent, retriever) in pair_names(params).items():
        path = f"{FILES[2]}/{pair}.json"
        if not (root / path).exists():
            missing.append(f"{path} is not there")
        elif lock and (reason := lock.reason(path)):
            missing.append(f"{path} is not of these parameters: {reason}")
        else:
            pairs[agent, retriever] = read_pair(root / path, pair, agent, retriever)
    values = read_yaml(root / FILES[0])
    values.pop(UNTRACKED, None)
    return Run(name, values, pairs, missing)


def read_commit(name: str, commit: str) -> Run:
    """The run that a commit of git holds. InputError where it holds none that can be read here."""
    there = _git("ls-tree", "--name-only", commit, *FILES).splitlines()
    for path in (FILES[0], FILES[2]):
        if path not in there:
            raise InputError(f"{name}: holds no run ({path} is not in it)")
    done = subprocess.run(["git", "archive", commit, *there], capture_output=True, check=True)
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as files:
            files.extractall(folder, filter="data")
        try:
            return read_run(name, Path(folder))
        except InputError as error:
            raise InputError(f"{name}: {str(error).replace(f'{folder}/', '')}") from None


def commit_of(revision: str) -> str | None:
    """The commit that `revision` names; None without git, or where it names none."""
    return _git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}") or None


def experiments(baseline: str | None) -> dict[str, str]:
    """Name -> commit of the experiments that started from the commit `baseline` (None: from any),
    the oldest first."""
    listed = _git(
        "for-each-ref", "--sort=creatordate", "--format=%(objectname) %(refname)", "refs/exps"
    )
    found = {}
    for line in listed.splitlines():
        commit, _, reference = line.partition(" ")
        match = EXPERIMENT.fullmatch(reference)
        if match and baseline in (None, match[1].replace("/", "")):
            found[match[2]] = commit
    return found


def changes(before: dict, after: dict, path: str = "") -> list[str]:
    """What `after` has otherwise than `before`, as `dvc exp run -S` takes it: `seed=1`,
    `+iterations.3={previous: '2'}`, `~compare.base`."""
    found = []
    for key in [*before, *(key for key in after if key not in before)]:
        name = f"{path}{key}"
        if key not in after:
            found.append(f"~{name}")
        elif key not in before:
            found.append(f"+{name}={_flow(after[key])}")
        elif isinstance(before[key], dict) and isinstance(after[key], dict):
            found += changes(before[key], after[key], f"{name}.")
        elif before[key] != after[key]:
            found.append(f"{name}={_flow(after[key])}")
    return found


def _flow(value: object) -> str:
    import yaml

    text = yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def _git(*words: str) -> str:
    try:
        done = subprocess.run(["git", *words], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
