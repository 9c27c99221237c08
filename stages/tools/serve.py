"""The retriever server: any index over Search-R1's protocol, for this project's agents and others.

    python -m stages.tools.serve --index data/index/1 --passages data/corpus/passages.jsonl \\
        --retriever models/retriever/1

It loads in seconds, since vectors and passages stay on disk, and listens on this machine only,
unless told otherwise: it has no password. See stages/serving/app.py for requests and answers,
stages/serving/limits.py for what a client may ask, stages/serving/guard.py for who may, and
`compute` in params.yaml for devices and threads.
"""

from __future__ import annotations

import argparse
import signal
import socket
import sys
import threading

from stages.params import Params, load_params
from stages.plumbing.errors import InputError, run
from stages.serving.limits import TOP_K
from stages.serving.process import ANNOUNCED

HELP = """\
What a retriever reads: R_0 and BM25 read the query alone. R_k (k >= 1) was trained on
`question [SEP] query`, and answers a query alone worse. So a client either sends queries that are
already joined so, or, to /retrieve, the original question of each query in the field `questions`,
a list as long as `queries`; the server then joins them. It says at its start what its retriever
reads, and at / in plain text; /openapi.json has all fields and limits.

Other machines: --host 0.0.0.0 lets them in, and --allow-host NAME says by which name they ask
(http://NAME:PORT), unless it is this machine's own name or address. Other names, and pages that a
browser has open, are refused: a page must not read the corpus through its reader's machine.
"""


def main(argv: list[str] | None = None) -> None:
    """Serve until stopped."""
    args = _arguments(argv)
    params = load_params()
    if not 1 <= args.topk <= TOP_K:
        raise InputError(f"--topk: from 1 to {TOP_K}, found {args.topk}")

    from stages.serving.guard import names_of

    names = names_of(args.host, args.allow_host)
    listener = bound(args.host, args.port)
    host = f"[{args.host}]" if ":" in args.host else args.host
    where = f"{ANNOUNCED}{host}:{listener.getsockname()[1]}"
    # The server ends in order on a signal, then passes it on: here, as one that comes before.
    for number in (signal.SIGTERM, signal.SIGINT):  # SIGINT is ignored where a script starts this
        signal.signal(number, _stopped)
    try:
        _serve(listener, where, names, args, params)
    except SystemExit:
        if not args.until_closed:  # else whoever closed it knows, and may be gone
            print(f"stopped: nothing is served{where}", flush=True)
        raise


def _serve(
    listener: socket.socket,
    where: str,
    names: frozenset[str],
    args: argparse.Namespace,
    params: Params,
) -> None:
    from stages.retrieval.searcher import load_searcher
    from stages.serving.app import server_of
    from stages.serving.description import reads

    searcher = load_searcher(args.index, args.passages, args.retriever, params.compute)
    # a stage, which closes its server, has a retriever's folder whatever its index is
    if searcher.about["type"] == "bm25" and args.retriever and not args.until_closed:
        raise InputError(f"--retriever: {args.index} is a BM25 index, which no retriever built")
    server = server_of(searcher, args.topk, names)
    if args.until_closed:
        threading.Thread(target=_stop_when_closed, args=(server,), daemon=True).start()
    listener.listen(2048)
    print(f"serving {len(searcher.passages)} passages{where}", flush=True)
    print(reads(searcher), flush=True)
    if len(names) > 1:
        print(f"It answers to {', '.join(sorted(names))}, its addresses and localhost.", flush=True)
    server.run(sockets=[listener])


def bound(host: str, port: int) -> socket.socket:
    """A socket that has the port, before anything slow is done. InputError if it is taken."""
    if not host.strip():  # which would let every machine in
        raise InputError("--host: an address or a name of this machine, found none")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP, for asyncio switches Nagle's algorithm off for such alone: an answer, which is
    # sent in two parts, would wait 40 ms for the client's acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError, TypeError) as error:  # TypeError: no name of a host
        raise InputError(f"port {port} of {host} cannot be used ({error})") from None
    return listener


def _stopped(number: int, frame: object) -> None:
    sys.exit(128 + number)


def _stop_when_closed(server) -> None:
    sys.stdin.read()
    server.should_exit = True


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--index", required=True, help="folder of a dense or BM25 index")
    parser.add_argument("--passages", required=True, help="the corpus that it was built from")
    parser.add_argument("--retriever", help="folder of the retriever that built it; BM25: none")
    parser.add_argument("--host", default="127.0.0.1", help="another lets other machines in")
    names = "a name or address by which others ask; may be repeated"
    parser.add_argument("--allow-host", action="append", default=[], metavar="NAME", help=names)
    parser.add_argument("--port", type=int, default=8000, help="0: any free one")
    parser.add_argument("--topk", type=int, default=3, help="for clients that do not say")
    parser.add_argument("--until-closed", action="store_true", help="stop when stdin is closed")
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main)
