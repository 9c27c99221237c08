"""DVC experiments by name: run those that are missing, read what they left in git.

An experiment belongs to the commit that it was started from, so a table never mixes code of two
commits. `--temp` runs it in a copy of the checkout: the working tree stays as it is.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass

import yaml

from stages.errors import InputError


@dataclass(frozen=True)
class Experiment:
    """One variant with one seed; `overrides` as `dvc exp run -S` takes them."""

    study: str
    variant: str
    seed: int
    overrides: tuple[str, ...]

    @property
    def name(self) -> str:
        """The experiment's name in DVC."""
        return f"{self.study}-{self.variant.replace('_', '-')}-seed{self.seed}"


def git(*arguments: str) -> str | None:
    """What git prints, or None if it fails."""
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def head() -> str:
    """The commit checked out. InputError outside a repository with a commit."""
    commit = git("rev-parse", "HEAD")
    if commit is None:
        raise InputError("a study needs a git repository with a commit")
    return commit


def revision(experiment: Experiment) -> str | None:
    """The git commit of the experiment, if it was run from the commit that is checked out."""
    commit = head()
    reference = f"refs/exps/{commit[:2]}/{commit[2:]}/{experiment.name}"
    return git("rev-parse", "--verify", "--quiet", reference)


def run(experiment: Experiment) -> str:
    """Run the experiment unless it is there; returns its commit. InputError if it fails."""
    known = revision(experiment)
    if known is not None:
        return known
    command = ["dvc", "exp", "run", "--temp", "--name", experiment.name]
    for override in (f"seed={experiment.seed}", *experiment.overrides):
        command += ["--set-param", override]
    if subprocess.run(command, check=False).returncode:
        raise InputError(f"the experiment {experiment.name} failed: see above")
    return revision(experiment) or head()  # DVC keeps no experiment that changed nothing


def rows(experiment: Experiment, commit: str) -> list[dict]:
    """One row for each pair and question set that the experiment evaluated."""
    params = yaml.safe_load(_file(commit, "params.yaml"))
    if params["seed"] != experiment.seed:
        raise InputError(f"{experiment.name}: ran with the seed {params['seed']}")
    found = []
    for name in [*params["compare"], *params["iterations"]]:
        pair = json.loads(_file(commit, f"metrics/evaluate/{name}.json"))
        for question_set, figures in pair["sets"].items():
            row = {"seed": experiment.seed, "variant": experiment.variant}
            row |= {"agent": pair["agent"], "retriever": pair["retriever"]}
            row |= {"question_set": question_set}
            row |= {key: figures[key] for key in ("questions", "em", "f1", "searches")}
            found.append(row)
    return found


def _file(commit: str, path: str) -> str:
    text = git("show", f"{commit}:{path}")
    if text is None:
        raise InputError(f"{path}: not in the experiment's commit {commit[:8]}")
    return text
