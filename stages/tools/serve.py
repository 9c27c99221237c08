"""The retriever server: any index over Search-R1's protocol, for this project's agents and others.

    python -m stages.tools.serve --index data/index/1 --passages data/corpus/passages.jsonl \\
        --retriever models/retriever/1

It loads in seconds, since vectors and passages stay on disk, and listens on this machine only,
unless told otherwise: it has no password. See stages/serving/app.py for requests and answers,
stages/serving/limits.py for what a client may ask, and `compute` in params.yaml for devices and
threads.
"""

from __future__ import annotations

import argparse
import socket
import sys
import threading

from stages.params import load_params
from stages.plumbing.errors import InputError, run
from stages.serving.limits import TOP_K


def main(argv: list[str] | None = None) -> None:
    """Serve until stopped."""
    args = _arguments(argv)
    params = load_params()
    if not 1 <= args.topk <= TOP_K:
        raise InputError(f"--topk: from 1 to {TOP_K}, found {args.topk}")
    listener = bound(args.host, args.port)

    from stages.retrieval.searcher import load_searcher
    from stages.serving.app import server_of
    from stages.serving.process import ANNOUNCED

    searcher = load_searcher(args.index, args.passages, args.retriever, params.compute)
    server = server_of(searcher, args.topk)
    if args.until_closed:
        threading.Thread(target=_stop_when_closed, args=(server,), daemon=True).start()
    host = f"[{args.host}]" if ":" in args.host else args.host
    listener.listen(2048)
    address = f"{ANNOUNCED}{host}:{listener.getsockname()[1]}"
    print(f"serving {len(searcher.passages)} passages{address}", flush=True)
    server.run(sockets=[listener])


def bound(host: str, port: int) -> socket.socket:
    """A socket that has the port, before anything slow is done. InputError if it is taken."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        raise InputError(f"port {port} of {host} cannot be used ({error})") from None
    return listener


def _stop_when_closed(server) -> None:
    sys.stdin.read()
    server.should_exit = True


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--index", required=True, help="folder of a dense or BM25 index")
    parser.add_argument("--passages", required=True, help="the corpus that it was built from")
    parser.add_argument("--retriever", help="folder of the retriever that built it; BM25: none")
    parser.add_argument("--host", default="127.0.0.1", help="another lets other machines in")
    parser.add_argument("--port", type=int, default=8000, help="0: any free one")
    parser.add_argument("--topk", type=int, default=3, help="for clients that do not say")
    parser.add_argument("--until-closed", action="store_true", help="stop when stdin is closed")
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main)
