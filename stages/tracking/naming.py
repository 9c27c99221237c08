"""What a run is called in MLflow: its scale, the parameters that differ from it, and the commit."""

from __future__ import annotations

import os
import runpy
import tempfile
from collections.abc import Iterator
from pathlib import Path

from stages.params import Params, read_block
from stages.plumbing.errors import InputError
from stages.provenance.origin import git
from stages.tracking import identity

SHOWN = 3  # parameters
LONGEST = 24  # letters of a value
CONF = Path("conf")


def run_name(params: Params) -> str:
    """`laptop seed=7 correctness.mode=off 84b10a1`, and the name of a DVC experiment after it.

    The scale is that of conf/scale/ from which the fewest parameters differ; of those, the first
    three are named. Without conf/ there is no scale, and the seed stands for it.
    """
    seed = f"seed={params.seed}"
    scale = min(_differences(params), key=lambda found: len(found[1]), default=(seed, []))
    experiment = os.environ.get("DVC_EXP_NAME", "")
    return " ".join(filter(None, (scale[0], *_shown(scale[1]), _commit(), experiment)))


def _differences(params: Params) -> Iterator[tuple[str, list[str]]]:
    """(scale, what differs from it) of every scale; one that cannot be composed is left out."""
    own = identity.flat(params)
    for file in sorted(CONF.glob("scale/*.yaml")):
        try:
            known = identity.flat(_composed(file.stem))
        except InputError:
            continue
        changed = [f"{k}={_short(v)}" for k, v in own.items() if known.get(k) != v]
        yield file.stem, changed + [f"~{key}" for key in known if key not in own]


def _composed(scale: str) -> Params:
    """The parameters of a scale as it stands in conf/."""
    from dvc.utils.hydra import compose_and_dump
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    for plugin in sorted(CONF.glob("hydra_plugins/*.py")):
        runpy.run_path(str(plugin))  # Hydra looks for them once a process
    conf = str(CONF.resolve())
    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/params.yaml"
        try:
            compose_and_dump(file, conf, None, "config", conf, [f"scale={scale}"])
        except (HydraException, OmegaConfBaseException, ValueError) as error:
            raise InputError(f"conf/scale/{scale}.yaml: {error}") from None
        return read_block(file, Params)


def _shown(changed: list[str]) -> list[str]:
    more = len(changed) - SHOWN
    return changed[:SHOWN] + ([f"and {more} more"] if more > 0 else [])


def _short(value: str) -> str:
    return value if len(value) <= LONGEST else f"{value[: LONGEST - 1]}…"


def _commit() -> str:
    """The commit, `-dirty` where the code has changed since; empty without git."""
    commit = git("rev-parse", "--short=7", "HEAD")
    return f"{commit}-dirty" if commit and git("status", "--porcelain", "--", "stages") else commit
