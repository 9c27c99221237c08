"""A small corpus with a retriever and its indexes, and a server over them in this process."""

import shutil
import threading
from contextlib import chdir, contextmanager
from pathlib import Path

import retrieval_world as world

from stages import index
from stages.common.records import read_jsonl, write_jsonl
from stages.encoders.query_format import QueryFormat
from stages.params import Compute
from stages.retrieval.searcher import load_searcher
from stages.serving import app
from stages.tools import serve

REPO = Path(__file__).parents[1]


def write(path: Path, reads: str = "question_query") -> Path:
    """A corpus whose lines say more than a passage needs, a retriever, and both kinds of index."""
    world.write_corpus(path / "passages.jsonl", world.corpus())
    rows = read_jsonl(path / "passages.jsonl")
    write_jsonl(path / "passages.jsonl", [row | {"year": 2018} for row in rows])
    world.tiny_retriever(path / "retriever", QueryFormat(reads))
    shutil.copy(REPO / "params.yaml", path)
    with chdir(path):
        for name, how in (("dense", ["--retriever", "retriever"]), ("bm25", ["--bm25"])):
            arguments = ["--passages", "passages.jsonl", "--output", name, "--metrics", "m.json"]
            index.main([*arguments, *how])
    return path


def searcher_of(place, name="dense"):
    retriever = place / "retriever" if name == "dense" else None
    return load_searcher(place / name, place / "passages.jsonl", retriever, Compute(threads=1))


@contextmanager
def served(searcher, listener=None, top_k=3, names=frozenset()):
    """The address of a server in a thread of this process."""
    listener = listener or serve.bound("127.0.0.1", 0)
    server = app.server_of(searcher, top_k, names)
    listener.listen(2048)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
