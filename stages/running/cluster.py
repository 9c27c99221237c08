"""Join a Ray cluster, or start Ray on this machine; one line says why that failed."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from stages.params import Compute
from stages.plumbing.errors import InputError
from stages.plumbing.reasons import reason

ENVIRONMENT = {  # of a Ray that we start
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_process_group_cleanup_enabled": "1",  # the engine of a worker that dies ends with it
}
MODE = "RAY_AUTH_MODE"
REFUSED = b"InvalidAuthToken"  # in what Ray prints where a cluster does not let it in
PATIENCE = 10.0  # seconds for a connection to the head
HELLO = (
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
)  # of a gRPC client: RFC 9113, 3.4
FRAME, KIND, SETTINGS = 9, 3, 4  # bytes of a frame's head; where its kind stands; a server's first

SOCKET = "ray/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"  # the longest
SOCKET_BYTES = 107  # of a path, by the operating system


def connect_ray(compute: Compute) -> None:
    """Join the cluster at `compute.ray`, or start Ray on this machine. InputError if none is there,
    or it does not let us in.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    options = {"logging_level": "ERROR", "log_to_driver": False}
    if compute.ray == "local":
        _start(compute, options)
    else:
        _join(compute.ray.strip(), options)


def _start(compute: Compute, options: dict) -> None:
    """Ray gives up on its own daemon after 30 seconds, which a busy machine needs now and then."""
    import ray

    check_sockets()
    cpus = max(os.cpu_count() or 1, compute.workers * compute.threads)
    for last in (False, False, True):
        try:
            ray.init("local", num_cpus=cpus, include_dashboard=False, **options)
            return
        except (PermissionError, FileNotFoundError, NotADirectoryError) as error:
            raise InputError(f"compute.ray: {reason(error)}: see RAY_TMPDIR, TMPDIR") from None
        except Exception:  # of no class of its own
            ray.shutdown()
            if last:
                raise


def _join(address: str, options: dict) -> None:
    check_answers(address)
    os.environ.update(token_mode())
    import ray
    from ray._raylet import Config

    Config.initialize("")  # or a Ray that was imported before would not know the mode
    with _standard_error() as said:
        try:
            ray.init(address, **options)
        except (ConnectionError, ValueError, ray.exceptions.AuthenticationError) as error:
            said.seek(0)
            if REFUSED in said.read() or isinstance(error, ray.exceptions.AuthenticationError):
                raise InputError(_not_let_in(address)) from None
            raise InputError(f"compute.ray: no cluster at '{address}' ({reason(error)})") from None


def check_answers(address: str) -> None:
    """InputError where nothing listens at `address`, or something else than a head, for which Ray
    would wait for minutes, or for ever.
    """
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS", "")
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        return  # what Ray has to look up, or to refuse
    if not answers(address):
        raise InputError(f"compute.ray: no cluster at '{address}' (nothing answers there)")
    if os.environ.get("RAY_USE_TLS") != "1" and not speaks_grpc(address):
        raise InputError(f"compute.ray: no cluster at '{address}' (what answers there is not Ray)")


def speaks_grpc(address: str) -> bool:
    """Whether what listens at HOST:PORT greets as a gRPC server does, which a head is."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), PATIENCE) as connection:
            connection.sendall(HELLO)
            said = connection.recv(FRAME, socket.MSG_WAITALL)
    except OSError:
        return False
    return len(said) == FRAME and said[KIND] == SETTINGS


def answers(address: str) -> bool:
    """Whether something listens at HOST:PORT."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), PATIENCE).close()
    except (OSError, OverflowError):
        return False
    return True


def token_mode() -> dict[str, str]:
    """The variable with which Ray shows this machine's token, where there is one: `ray start` does
    so by itself, a program that joins by an address does not.
    """
    there = os.environ.get("RAY_AUTH_TOKEN") or _token_file().is_file()
    return {MODE: "token"} if there and not os.environ.get(MODE) else {}


def _token_file() -> Path:
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    return Path(named) if named else Path.home() / ".ray/auth_token"


def _not_let_in(address: str) -> str:
    if os.environ.get("RAY_AUTH_TOKEN"):
        have = "the token in RAY_AUTH_TOKEN is not its"
    elif _token_file().is_file():
        have = f"the token in {_token_file()} is not its"
    else:
        have = f"it wants a token, and there is none in {_token_file()}"
    if os.environ.get(MODE, "").lower() not in ("", "token"):
        have = f"it wants a token, and {MODE} is '{os.environ[MODE]}'"
    return (
        f"compute.ray: the cluster at '{address}' does not let this program in ({have}): all nodes "
        "need the token of the first, and RAY_AUTH_MODE=token (docs/scale.md)"
    )


@contextmanager
def _standard_error() -> Iterator[BinaryIO]:
    """A file that takes what is written to standard error meanwhile, by libraries in C++ too. It is
    said afterwards, unless the block fails.
    """
    kept = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield file
        finally:
            os.dup2(kept, 2)
            os.close(kept)
        file.seek(0)
        os.write(2, file.read())


def check_sockets() -> None:
    """InputError if the paths of Ray's sockets would be longer than the system allows.

    They lie below the temporary folder that RAY_TMPDIR or TMPDIR names, else below /tmp.
    """
    from ray._common.utils import get_default_system_temp_dir

    folder = get_default_system_temp_dir()
    if len(os.fsencode(os.path.join(folder, SOCKET))) > SOCKET_BYTES:
        raise InputError(
            f"compute.ray: in the temporary folder {folder} the paths of Ray's sockets would be "
            f"longer than {SOCKET_BYTES} bytes: set RAY_TMPDIR to a shorter one, such as /tmp"
        )
