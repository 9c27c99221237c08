"""Every file of a model or an index, broken in every way: refused on one line, or read as it was.

What is read must give what the whole folder gives: a figure from half a file would be a lie.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest
import retrieval_world as world
import torch
import yaml
from rollout_models import make_model, make_tokenizer, save
from safetensors.numpy import load_file, save_file

from stages import index
from stages.common.models import model_path, write_reference
from stages.common.search import SearchRequest
from stages.encoders.encoding import DenseRetriever
from stages.encoders.query_format import QueryFormat
from stages.engines.generator import TransformersGenerator
from stages.engines.loading import load_agent
from stages.params import Compute, Generation
from stages.plumbing.errors import InputError
from stages.retrieval.searcher import load_searcher
from stages.rollout.protocol import read_protocol
from stages.running import checkpoint

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
    world.tiny_retriever(path / "retriever", QueryFormat("question_query", "query: ", "passage: "))
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


def test_a_retriever(place):
    def use(folder: Path):
        return DenseRetriever.load(folder).encode_queries(["where was N3man born", "who"])

    assert breaks(place / "retriever", use, np.array_equal) > 20


def test_a_language_model(tmp_path):
    tokenizer = make_tokenizer()
    folder = save(make_model("qwen2", tokenizer), tokenizer, tmp_path / "model")

    def use(folder: Path):
        generator = TransformersGenerator(folder)
        prompt = generator.tokenizer.encode("Question who directed film Alpha?")
        return generator.generate([prompt], stop=["</search>"], max_new_tokens=8)

    assert breaks(folder, use, lambda a, b: a == b) > 20


def without_a_tensor(file: Path) -> str:
    """Drops one tensor of a file that is whole otherwise; its name."""
    tensors = load_file(file)
    name = sorted(tensors)[-1]
    del tensors[name]
    save_file(tensors, file, {"format": "pt"})
    return name


def test_weights_that_lack_a_tensor_are_not_filled_up_at_random(place, tmp_path):
    folder = Path(shutil.copytree(place / "retriever", tmp_path / "retriever"))
    name = without_a_tensor(folder / "model.safetensors")
    with pytest.raises(InputError, match=rf"{folder}: its weights lack 1 .*{name}'"):
        DenseRetriever.load(folder)
    tokenizer = make_tokenizer()
    folder = save(make_model("qwen2", tokenizer), tokenizer, tmp_path / "model")
    name = without_a_tensor(folder / "model.safetensors")
    with pytest.raises(InputError, match=rf"{folder}: its weights lack 1 .*{name}'"):
        TransformersGenerator(folder)


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "tokenizer.json"])
def test_the_broken_file_is_named(file, tmp_path):
    tokenizer = make_tokenizer()
    folder = save(make_model("qwen2", tokenizer), tokenizer, tmp_path / "model")
    whole = (folder / file).read_bytes()
    (folder / file).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=rf"^{folder}/{file}"):
        TransformersGenerator(folder)


def test_a_checkpoint_that_is_cut_short_is_named(tmp_path):
    checkpoint.save({"weights": torch.zeros(1000)}, tmp_path / "state.pt")
    assert checkpoint.load(tmp_path / "other.pt") is None
    whole = (tmp_path / "state.pt").read_bytes()
    for other in (whole[:-100], whole[:100], b"", b"no checkpoint"):
        (tmp_path / "state.pt").write_bytes(other)
        with pytest.raises(InputError, match=r"state\.pt: cannot be read as a checkpoint .*delete"):
            checkpoint.load(tmp_path / "state.pt")


def test_references_say_what_they_lack(tmp_path):
    for said in ("[]", "{}", '{"model": 3}', '{"model": "a", "revision": 1}', "{", '{"model": ""}'):
        (tmp_path / "reference.json").write_text(said)
        with pytest.raises(InputError, match=r"reference\.json"):
            model_path(tmp_path)
    (tmp_path / "reference.json").unlink()
    for said in ("[]", "{}", '{"tokenizer": 3}'):
        (tmp_path / "scripted.json").write_text(said)
        with pytest.raises(InputError, match=r"scripted\.json: expected an object"):
            load_agent(tmp_path, Generation(), Compute(threads=1))


def test_a_pickle_beside_other_weights_is_refused(tmp_path):
    """A file of another name is not what a library reads in the pickle's place."""
    tokenizer = make_tokenizer()
    folder = save(make_model("qwen2", tokenizer), tokenizer, tmp_path / "model")
    torch.save({}, folder / "pytorch_model.bin")
    TransformersGenerator(folder)
    (folder / "model.safetensors").rename(folder / "decoy.safetensors")
    with pytest.raises(InputError, match=r"pytorch_model\.bin is a pickle"):
        TransformersGenerator(folder)
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(InputError, match=r"no \.safetensors weights \(model\.safetensors"):
        write_reference(tmp_path / "reference", str(folder), None)


def test_a_protocol(tmp_path):
    file = tmp_path / "protocol.yaml"
    whole = (ROOT / "conf/protocol/tool_calls.yaml").read_bytes()
    for other in [*OTHER, b"3", b"- a", b"prompt: [a]", b"tool: 3", b"marks: {a: 1}"]:
        file.write_bytes(other)
        if other != b"{}":  # an object, in which everything is the default
            with pytest.raises(InputError, match=rf"^{file}[^\n]*$"):
                read_protocol(file)
    for part in range(1, 20):
        file.write_bytes(whole[: len(whole) * part // 20])
        try:
            read_protocol(file)
        except InputError as error:
            assert str(error).startswith(str(file)) and "\n" not in str(error)
