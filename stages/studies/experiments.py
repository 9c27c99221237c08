"""DVC experiments by name: run those that are missing, read what they left in git and the cache.

An experiment belongs to the commit that it was started from. `--temp` runs it in a copy of the
checkout: the working tree stays as it is. DVC takes uncommitted changes along into that copy, so
none may be there when an experiment starts.
"""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stages.common.candidates import QueryCandidates, read_candidates
from stages.common.evaluations import Evaluation
from stages.common.records import read_json, read_jsonl
from stages.common.trajectories import Trajectory, iter_predictions
from stages.metrics.reading import checked, schema_of
from stages.params import WORLD, oracle_name
from stages.plumbing.errors import InputError
from stages.plumbing.yaml_text import parse_yaml
from stages.studies.plan import Experiment
from stages.studies.states import Made, state_of

# What no stage reads.
NO_CODE = (":!*.md", ":!docs", ":!metrics/studies", ":!metrics/rerun", ":!conf/study")


def printed_by_git(*arguments: str) -> str | None:
    """What git prints, or None if it fails."""
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def head() -> str:
    """The commit checked out. InputError outside a repository with a commit."""
    commit = printed_by_git("rev-parse", "HEAD")
    if commit is None:
        raise InputError("a study needs a git repository with a commit")
    return commit


def revision(experiment: Experiment) -> str | None:
    """The git commit of the experiment, if it was run from the commit that is checked out."""
    commit = head()
    reference = f"refs/exps/{commit[:2]}/{commit[2:]}/{experiment.name}"
    return printed_by_git("rev-parse", "--verify", "--quiet", reference)


def run_experiment(experiment: Experiment) -> None:
    """Run the experiment unless it is there. InputError if it fails, or if tracked files other than
    documents and studies differ from the commit."""
    if revision(experiment) is not None:
        return
    changed = printed_by_git("diff", "--name-only", "HEAD", "--", ".", *NO_CODE)
    if changed:
        raise InputError(
            f"{', '.join(changed.splitlines())}: not as in the commit that {experiment.name} would "
            "be filed under; commit or restore first"
        )
    _make_folders(experiment)
    command = ["dvc", "exp", "run", "--temp", "--name", experiment.name]
    for override in (f"seed={experiment.seed}", *experiment.overrides):
        command += ["--set-param", override]
    command += experiment.targets
    if subprocess.run(command, check=False).returncode:
        raise InputError(f"the experiment {experiment.name} failed: see above")


def _make_folders(experiment: Experiment) -> None:
    """Make the commit's own folders that DVC's cache lacks, as in a fresh clone, and single files
    of which stages read: where a stage is taken from the cache of runs, DVC looks up what those
    files were in the commit, and fails without the folder's list. InputError if a stage fails."""
    repository = _repository()
    read = {parent for dep in repository.index.deps for parent in Path(dep.fs_path).parents}
    stages = {
        out.stage.addressing
        for out in repository.index.outs
        if Path(out.fs_path) in read
        and out.hash_info
        and not Path(repository.cache.local.oid_to_path(out.hash_info.value)).exists()
    }
    if stages and subprocess.run(["dvc", "repro", *sorted(stages)], check=False).returncode:
        raise InputError(f"{', '.join(sorted(stages))}: failed before {experiment.name}: see above")


@dataclass(frozen=True)
class Finished:
    """An experiment that was run: files by path, those of git and those of DVC's cache."""

    experiment: Experiment
    commit: str

    @functools.cached_property
    def params(self) -> dict:
        """Its params.yaml. InputError if it is another seed's."""
        params = self._yaml("params.yaml")
        if params["seed"] != self.experiment.seed:
            raise InputError(f"{self.experiment.name}: ran with the seed {params['seed']}")
        return params

    @functools.cached_property
    def made(self) -> Made:
        """The commit that it was started from, and its state."""
        lock, own_base = self._text("dvc.lock"), self.experiment.own_base
        return Made(head()[:12], state_of(self.commit, self.params, lock, own_base))

    @functools.cached_property
    def question_file(self) -> str | None:
        """Where its questions come from, if not from a world of its own: draws of two seeds from
        one file have questions in common."""
        source = self.params["questions"]["source"]
        return None if source == WORLD else str(source)

    @functools.cached_property
    def pairs(self) -> dict[tuple[str, str], str]:
        """Names of the evaluated pairs by (agent, retriever)."""
        compared = {
            (pair["agent"], pair["retriever"]): name
            for name, pair in self.params["compare"].items()
        }
        compared |= {
            (pair["agent"], oracle_name(pair["retriever"])): name
            for name, pair in self.params.get("oracle", {}).items()
        }
        return compared | {(k, k): k for k in self.params["iterations"]}

    def pair(self, agent: str, retriever: str) -> str:
        """The name of an evaluated pair. InputError if it has none."""
        if (agent, retriever) not in self.pairs:
            raise InputError(
                f"{self.experiment.name}: has no pair of agent {agent} and retriever {retriever}"
            )
        return self.pairs[agent, retriever]

    def metrics(self, path: str) -> dict:
        """A file of figures, by its schema."""
        return checked(self._text(path), f"{path} of {self.experiment.name}", schema_of(path))

    def evaluation(self, pair: str) -> Evaluation:
        """What the pair of that name measured."""
        return Evaluation.of(self.metrics(f"metrics/evaluate/{pair}.json"))

    def predictions(self, pair: str) -> Iterator[Trajectory]:
        """What the pair of that name answered."""
        return iter_predictions(self._cached(f"data/predictions/{pair}.jsonl"))

    def candidates(self, iteration: str) -> list[QueryCandidates]:
        """The candidates of an iteration's queries."""
        return read_candidates(self._cached(f"data/candidates/{iteration}.jsonl"))

    def rows(self, path: str) -> list[dict]:
        """The rows of a JSON Lines file that a stage put out, from DVC's cache."""
        return read_jsonl(self._cached(path))

    def _yaml(self, path: str) -> dict:
        return parse_yaml(self._text(path), path, fast=True)

    def _text(self, path: str) -> str:
        text = printed_by_git("show", f"{self.commit}:{path}")
        if text is None:
            raise InputError(f"{path}: not in the commit {self.commit[:8]}")
        return text

    @functools.cached_property
    def _outputs(self) -> dict[str, str]:
        stages = self._yaml("dvc.lock")["stages"].values()
        return {out["path"]: out["md5"] for stage in stages for out in stage.get("outs", [])}

    def _cached(self, path: str) -> Path:
        """Where the cache has a file that is an output, or lies in one that is a folder."""
        for output in (path, *map(str, Path(path).parents)):
            digest = self._outputs.get(output)
            if digest is not None and output != path:
                manifest = read_json(self._place(output, digest))
                inside = {entry["relpath"]: entry["md5"] for entry in manifest}
                digest = inside.get(str(Path(path).relative_to(output)))
            if digest is not None:
                return self._place(path, digest)
        raise InputError(f"{path}: no output of {self.experiment.name}")

    def _place(self, path: str, digest: str) -> Path:
        place = Path(_repository().cache.local.oid_to_path(digest))
        if not place.exists():
            raise InputError(f"{path} of {self.experiment.name}: not in DVC's cache; fetch it")
        return place


@functools.cache
def _repository():
    from dvc.repo import Repo

    return Repo()
