"""Every file of a model or an index, broken in every way: refused on one line, or read as it was.

What is read must give what the whole folder gives: a figure from half a file would be a lie.
"""

from pathlib import Path

import pytest
import retrieval_world as world
import yaml

from stages import index
from stages.errors import InputError
from stages.params import Compute
from stages.retrieval.folder import Asking
from stages.retrieval.searcher import SearchRequest, load_searcher

ROOT = Path(__file__).parents[1]
OTHER = [b"", b"\x00" * 64, b"\xff\xfe\n", b"null", b"[]", b"{}", b'"text"', b"[1]", b"{]"]
QUERY = [SearchRequest("Who?", (), "where was N3man born")]


def broken(file: Path) -> list[bytes | None]:
    """The file cut short, changed, and (None) gone."""
    whole = file.read_bytes()
    cuts = [whole[: len(whole) * part // 10] for part in (1, 5, 9)] + [whole[:-1]]
    return [*OTHER, *cuts, whole + b"more", None]


def breaks(folder: Path, use, same, spared: tuple[str, ...] = ()) -> int:
    """Break each file of `folder` in turn, and `use` the folder; how often it was refused."""
    refused = 0
    before = use(folder)
    for file in sorted(f for f in folder.rglob("*") if f.is_file() and f.name not in spared):
        whole = file.read_bytes()
        for other in broken(file):
            file.unlink() if other is None else file.write_bytes(other)
            try:
                found = use(folder)
            except InputError as error:
                refused += 1
                assert str(error) and "\n" not in str(error), (file, other)
            else:
                assert same(found, before), (file, other and other[:40])
            file.write_bytes(whole)
    assert same(use(folder), before)
    return refused


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A corpus, a retriever, and indexes of each kind."""
    path = tmp_path_factory.mktemp("place")
    passages = world.corpus(34)
    world.write_corpus(path / "passages.jsonl", passages)
    world.tiny_retriever(path / "retriever", Asking("question_query", "query: ", "passage: "))
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    for kind in ("exact", "ivfpq", "hnsw", "bm25"):
        changed = params["index"] | {"kind": "exact" if kind == "bm25" else kind}
        changed["ivfpq"] = {"lists": 4, "probes": 4, "bytes": 8}
        (path / "params.yaml").write_text(yaml.safe_dump(params | {"index": changed}))
        words = ["--bm25"] if kind == "bm25" else ["--retriever", "retriever"]
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(path)
            words += ["--passages", "passages.jsonl", "--output", kind, "--metrics", "m.json"]
            index.main(words)
    return path


@pytest.mark.parametrize("kind", ["exact", "ivfpq", "hnsw", "bm25"])
def test_an_index(place, kind):
    def use(folder: Path):
        files = folder, place / "passages.jsonl", None if kind == "bm25" else place / "retriever"
        return load_searcher(*files, Compute(threads=1)).search(QUERY, 20)

    assert breaks(place / kind, use, lambda a, b: a == b) > 20
