"""Two nodes on this machine: two raylets with their own ports and folders."""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from waiting import wait_until

import stages  # noqa: F401  before numpy: it sets the environment of portable sums

REPO = Path(__file__).parents[1]
RECIPE = REPO / "docs/scale.md"
BIN = Path(sys.executable).parent


def recipe() -> str:
    """The commands of docs/scale.md for two nodes on one machine, to their last."""
    text = RECIPE.read_text(encoding="utf-8")
    [block] = re.findall(r"```sh\n(export RAY_AUTH_MODE=token [^`]*\nkill [^`]*)```", text)
    return block


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment(home: Path, **more: str) -> dict[str, str]:
    """Of a user whose home, and so whose token, is `home`, with no settings of Ray."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    known |= {"HOME": str(home), "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    known |= {"PYTHONPATH": f"{REPO}{os.pathsep}{REPO / 'tests'}", "OMP_NUM_THREADS": "1"}
    return known | more


class Cluster:
    """Nodes by name, each started as the recipe's line says; `address` is the head's."""

    def __init__(self, folder: Path):
        self.folder, self.port, self.nodes = folder, free_port(), {}
        self.address = f"127.0.0.1:{self.port}"
        lines = recipe().splitlines()
        settings = re.findall(r"\b(RAY_\w+)=(\S+)", lines[0])
        self.environment = environment(folder, **dict(settings))
        self._bash(next(line for line in lines if line.startswith("ray get-auth-token")))
        starts = [line for line in lines if line.startswith("ray start")]
        self.lines = {"one": starts[0], "two": starts[1]}

    def placed(self, text: str) -> str:
        """A text of the recipe with a free port and with folders of our own."""
        placed = text.replace("6379", str(self.port))
        return placed.replace("/tmp/ray-", f"{self.folder}/")

    def start(self, name: str, like: str = "two", prefix: tuple[str, ...] = (), **more: str):
        """Start a node, as the line for `like` says."""
        line = self.placed(self.lines[like]).rstrip(" &").replace(f"/{like}", f"/{name}")
        with open(self.folder / f"{name}.log", "w") as log:
            self.nodes[name] = subprocess.Popen(
                [*prefix, "bash", "-c", f"exec {line}"],
                env=self.environment | more,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        while self.process(name, "raylet/raylet") is None or not self._up(name):
            assert self.nodes[name].poll() is None, (self.folder / f"{name}.log").read_text()
            time.sleep(0.2)

    def process(self, name: str, program: str) -> psutil.Process | None:
        """A program of a node: `raylet/raylet`, or `gcs_server` of the head."""
        for process in psutil.process_iter(["cmdline"]):
            words = " ".join(process.info["cmdline"] or ())
            if program in words.split(" ", 1)[0] and f"{self.folder}/{name}/" in words:
                return process
        return None

    def kill(self, name: str) -> None:
        """SIGKILL for the node's raylet, and for what the head runs beside."""
        for program in ("gcs_server", "raylet/raylet"):
            if (process := self.process(name, program)) is not None:
                process.kill()

    def stop(self) -> None:
        """End all nodes, the head last, and whatever they have left."""
        for process in reversed(self.nodes.values()):
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        for process in self.nodes.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(30)
        for process in self.left():
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def left(self) -> list[psutil.Process]:
        """Processes of this cluster."""
        return [
            process
            for process in psutil.process_iter(["cmdline"])
            if any(str(self.folder) in word for word in process.info["cmdline"] or ())
            and process.pid != os.getpid()
        ]

    def _up(self, name: str) -> bool:
        return "Ray runtime started" in (self.folder / f"{name}.log").read_text()

    def _bash(self, line: str) -> None:
        subprocess.run(["bash", "-c", line], env=self.environment, check=True, cwd=self.folder)


@contextmanager
def cluster():
    """A cluster without nodes; what was started ends with the block."""
    with tempfile.TemporaryDirectory(prefix="c", dir="/tmp", ignore_cleanup_errors=True) as folder:
        made = Cluster(Path(folder))
        try:
            yield made
        finally:
            made.stop()


def job(made: Cluster, folder: Path, *words: str, **more: str) -> subprocess.Popen:
    """A run of cluster_job.py in `folder`, as a user of the cluster `made`: without RAY_AUTH_MODE,
    which the stage sets itself.
    """
    return subprocess.Popen(
        [sys.executable, "-m", "cluster_job", *words],
        cwd=folder,
        env=environment(made.folder, **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(what) -> None:
    """Until `what()` is true, an hour at most."""
    assert wait_until(what, at_most=3600), "waited too long"
