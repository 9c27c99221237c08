"""A copy of the checkout as it stands, and commands run in it as a user's would."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {
    **os.environ,
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "DVC_NO_ANALYTICS": "1",
    "OMP_NUM_THREADS": "1",
    **{
        f"GIT_{who}_{what}": "test@example.org"
        for who in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    },
}
ENVIRONMENT.pop("PYTHONPATH", None)  # the copy's own stages, not those of the checkout


HANGS = 3 * 3600  # seconds: no command takes so long, however busy the machine


def command(
    folder: Path, *words: str, code: int = 0, limit: float = HANGS, **environment: str
) -> str:
    """Run a command in `folder` to its end; what it printed. It must exit with `code`, within
    `limit` seconds; what it has started ends with it.
    """
    out = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    env = ENVIRONMENT | environment
    process = subprocess.Popen(words, cwd=folder, env=env, start_new_session=True, **out)
    try:
        stdout, stderr = process.communicate(timeout=limit)
    except BaseException:  # an interrupt, too, would leave the command's children behind
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    assert process.returncode == code, f"{' '.join(words)}\n{stdout[-3000:]}{stderr[-6000:]}"
    return stdout + stderr


def stages_run(output: str) -> list[str]:
    """The stages that `dvc repro` says it ran, in order."""
    lines = (line for line in output.splitlines() if line.startswith("Running stage"))
    return [line.split("'")[1] for line in lines]


def copy_of_checkout(folder: Path, *overrides: str) -> Path:
    """What git tracks here, as it stands, as a repository of its own with one commit.

    `overrides` are Hydra's, for its params.yaml.
    """
    tracked = command(ROOT, "git", "ls-files", "-z").split("\0")
    for name in filter(None, tracked):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    compose_in(folder, *overrides)
    command(folder, "git", "init", "-q")
    command(folder, "git", "add", "-A")
    command(folder, "git", "commit", "-qm", "copy")
    return folder


def compose_in(folder: Path, *overrides: str) -> None:
    """Compose the params.yaml of a copy."""
    command(folder, sys.executable, "-m", "stages.tools.compose", *overrides)
