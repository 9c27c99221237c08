"""Say whether this run is, byte for byte, the one that git has: the last line of `make repro`.

Compares dvc.lock with that of the last commit. Other parameters or other code make another run, of
which nothing is expected. Otherwise every output must be the same on an x86-64 processor with AVX2
(docs/reliability.md); one that is not is named, with what may have made it so.
"""

from __future__ import annotations

import argparse
import platform
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from stages.common import portable
from stages.metrics.lock import plain
from stages.params import load_params
from stages.plumbing.errors import InputError, run
from stages.plumbing.yaml_text import parse_yaml
from stages.provenance.lineage import LockedStage, parse_lock, read_lock
from stages.provenance.origin import git

LIBRARIES = ("torch", "numpy", "faiss-cpu", "transformers", "sentence-transformers", "tokenizers")
MOST = 12  # outputs that are named


@dataclass
class LockDifference:
    """What a lock has otherwise than another: why it is another run, or the outputs by stage."""

    other_run: list[str] = field(default_factory=list)
    outputs: list[tuple[str, str]] = field(default_factory=list)  # (stage, path), in order
    first: list[str] = field(default_factory=list)  # stages of equal inputs and other outputs


def main(argv: list[str] | None = None) -> None:
    """Print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lock", type=Path, default=Path("dvc.lock"))
    args = parser.parse_args(argv)
    before = committed(args.lock)
    if before is None:
        print(f"{args.lock}: git has none, so there is no committed run to compare with")
        return
    found = compare_locks(read_lock(args.lock), before)
    print("\n".join(comparison_lines(found)))


def committed(path: Path) -> list[LockedStage] | None:
    """The lock file of the last commit; None where git has none."""
    text = git("show", f"HEAD:./{path}")
    return parse_lock(text, f"{path} of the last commit") if text else None


def compare_locks(now: list[LockedStage], before: list[LockedStage]) -> LockDifference:
    """Compare the stages of two locks; those that only `before` has were not asked for."""
    known, found = {step.stage: step for step in before}, LockDifference()
    made = {path for step in now for path in step.outputs}
    for step in now:
        old = known.get(step.stage)
        if old is None:
            found.other_run.append(f"the committed run has no stage {step.stage}")
            continue
        found.other_run += [
            f"'{key}' is another parameter of {step.stage}"
            for key in sorted({*step.params, *old.params})
            if plain(step.params.get(key)) != plain(old.params.get(key))
        ]
        changed = {path for path in step.inputs if step.inputs[path] != old.inputs.get(path)}
        of_others = {path for path in changed if _made(path, made)}
        found.other_run += [
            f"{step.stage} had another {path}" for path in sorted(changed - of_others)
        ]
        others = [path for path in step.outputs if step.outputs[path] != old.outputs.get(path)]
        found.outputs += [(step.stage, path) for path in others]
        if others and not changed:
            found.first.append(step.stage)
    return found


def _made(path: str, outputs: set[str]) -> bool:
    """Whether `path` is one of the outputs, or lies in one."""
    return any(str(place) in outputs for place in (Path(path), *Path(path).parents))


def comparison_lines(found: LockDifference) -> list[str]:
    """The lines for people; the last one says it all."""
    if found.other_run:
        more = len(found.other_run) - 1
        rest = f" (and {more} more)" if more else ""
        return [f"this is another run than the committed one: {found.other_run[0]}{rest}"]
    if not found.outputs:
        return ["every output is byte for byte the committed run"]
    lines = ["not byte for byte the committed run:"]
    lines += [f"  {stage}: {path}" for stage, path in found.outputs[:MOST]]
    if len(found.outputs) > MOST:
        lines.append(f"  and {len(found.outputs) - MOST} more outputs")
    lines.append(f"first in: {', '.join(found.first) or 'stages that read what differs'}")
    lines.append(f"computed by: {processor()}")
    lines.append(f"with: {', '.join(library_versions())}")
    return [*lines, f"{len(found.outputs)} outputs differ: {why()}"]


def processor() -> str:
    """The processor's name, and the kind of sums it was asked for."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(errors="replace").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        name = next(iter(names), name)
    return f"{name} ({platform.system()}, {platform.machine()})"


def library_versions() -> list[str]:
    """What else sums depend on: Python, the C library, and packages, as `name version`."""
    found = [f"Python {platform.python_version()}", " ".join(platform.libc_ver()).strip()]
    for name in LIBRARIES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            found.append(f"no {name}")
    return [part for part in found if part]


def why() -> str:
    """The likeliest cause, and what to do."""
    compute = load_params().compute
    if compute.device != "cpu":
        return f"'compute.device' is {compute.device}; the committed run was made on a CPU"
    if not portable.possible():
        return "only an x86-64 processor with AVX2 gives the bytes of the committed run"
    if not compute.portable:
        return (
            "'compute.portable' is false: set it to true and run the first stage with dvc repro -f"
        )
    if (threads := committed_threads()) not in (None, compute.threads):
        return f"'compute.threads' is {compute.threads}, and {threads} in the committed run"
    return (
        "run `make install`, then the first stage again with `dvc repro -f`; if it differs still, "
        "`PYTHONPATH=.:tests python -m portable_stages` says in which operation: please report it"
    )


def committed_threads() -> int | None:
    """`compute.threads` of the committed params.yaml."""
    try:
        return parse_yaml(git("show", "HEAD:./params.yaml"), "params.yaml")["compute"]["threads"]
    except (InputError, TypeError, LookupError, AttributeError):
        return None


if __name__ == "__main__":
    run(main)
