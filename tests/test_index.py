"""The index stage and the searcher, held to faiss, bm25s and sentence-transformers."""

import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import retrieval_world as world
import yaml
from kept_bytes import kept_here

from stages import index
from stages.common.records import Passage, read_json
from stages.common.search import SearchRequest
from stages.encoders import encoding
from stages.encoders.encoding import DenseRetriever
from stages.encoders.query_format import QueryFormat
from stages.indexing import processes, store
from stages.indexing.processes import EncodingJob
from stages.params import GIVEN, Compute, Index, IndexKind
from stages.params.index import Ivfpq
from stages.plumbing.errors import InputError
from stages.retrieval import approximate, dense, devices, faiss_cards
from stages.retrieval.corpus import PassageFile, line_starts
from stages.retrieval.ranking import best
from stages.retrieval.searcher import load_searcher

REPO = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A corpus (the last passage repeats the first), a retriever, and both kinds of index."""
    path = tmp_path_factory.mktemp("index")
    passages = world.corpus()
    passages.append(Passage("again", passages[0].title, passages[0].text))
    world.write_corpus(path / "passages.jsonl", passages)
    world.tiny_retriever(path / "retriever", QueryFormat("question_query", "query: ", "passage: "))
    build(path, "dense", "--retriever", "retriever")
    build(path, "bm25", "--bm25")
    return path


def build(path: Path, name: str, *how: str, **changes) -> None:
    params = yaml.safe_load((REPO / "params.yaml").read_text())
    params["index"] |= changes
    (path / "params.yaml").write_text(yaml.safe_dump(params))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        index.main(
            ["--passages", "passages.jsonl", *how, "--output", name, "--metrics", f"{name}.json"]
        )


def searcher(place: Path, **changes):
    parts = {
        "index_folder": place / "dense",
        "passages_path": place / "passages.jsonl",
        "retriever_folder": place / "retriever",
        "compute": Compute(),
    }
    return load_searcher(**(parts | changes))


def request(query: str, question: str = "Where was the director born?", history=()):
    return SearchRequest(question, tuple(history), query)


QUERIES = [request(f"where was N{n}man {'born ' * (n % 5)}") for n in range(40)]


def test_dense_search_is_what_faiss_and_sentence_transformers_give(place):
    import faiss
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(place / "retriever"), device="cpu")
    passages = list(PassageFile(place / "passages.jsonl", line_starts(place / "passages.jsonl")))
    flat = faiss.IndexFlatIP(32)
    flat.add(model.encode_document([p.contents for p in passages]))
    queries = [f"where was {p.title} born" for p in passages[::8]]
    texts = [f"Where was the director born? [SEP] {query}" for query in queries]
    scores, positions = flat.search(model.encode_query(texts), 10)

    found = searcher(place).search([request(query) for query in queries], 10)
    for hits, row, nearest in zip(found, scores, positions):
        assert [hit.score for hit in hits] == pytest.approx(row.tolist(), abs=2e-6)
        # positions agree but where faiss sees a tie or a difference in the last bits
        assert len({hit.passage.id for hit in hits} & {passages[i].id for i in nearest}) >= 9


def test_equal_passages_tie_exactly_and_the_earlier_comes_first(place):
    for query in ("where was N0man born", "filmmaker", "N3man studied"):
        hits = searcher(place).search([request(query)], 1000)[0]
        ids = [hit.passage.id for hit in hits]
        assert len(ids) == 97 and len(set(ids)) == 97
        assert ids.index("again") == ids.index("p0") + 1
        assert hits[ids.index("again")].score == hits[ids.index("p0")].score


def test_a_result_does_not_depend_on_what_is_searched_beside_it(place):
    queries = [request(f"where was N{n}man {'born ' * (n % 5)}") for n in range(40)]
    together = searcher(place).search(queries, 20)
    search = searcher(place)
    assert [search.search([query], 20)[0] for query in queries] == together
    assert search.search(queries[::-1], 20)[::-1] == together


def test_long_texts_and_a_limit_that_is_no_multiple_of_eight(tmp_path):
    from sentence_transformers import SentenceTransformer

    world.tiny_retriever(tmp_path / "r", max_length=75)
    retriever, model = DenseRetriever.load(tmp_path / "r"), SentenceTransformer(str(tmp_path / "r"))
    texts = ["who", *("N3man born " * n for n in (0, 8, 30, 36, 90))]
    assert np.allclose(retriever.encode_passages(texts), model.encode(texts), atol=1e-6)


def test_equal_texts_are_searched_once(place, monkeypatch):
    search = searcher(place)
    asked = []
    find = search.find
    monkeypatch.setattr(search, "find", lambda texts, k: asked.append(texts) or find(texts, k))
    first, second, other = search.search([request("a"), request("a"), request("b")], 3)
    assert first == second != other
    assert [len(texts) for texts in asked] == [2]
    assert search.search([], 3) == []


def test_bm25_scores_are_those_of_bm25s(place):
    import bm25s

    passages = list(PassageFile(place / "passages.jsonl", line_starts(place / "passages.jsonl")))
    index = bm25s.BM25(method="lucene")
    index.index(bm25s.tokenize([p.contents for p in passages]))
    search = searcher(place, index_folder=place / "bm25", retriever_folder=None)
    for query in ("where was N3man born", "the novelist N7man"):
        _, scores = index.retrieve(bm25s.tokenize(query), k=5)
        hits = search.search([request(query, question="ignored")], 5)[0]
        assert [hit.score for hit in hits] == pytest.approx(scores[0].tolist(), abs=1e-5)
    assert search.search([request("the of unheard")], 4) == [[]]
    naming = [p.id for p in passages if "N3man" in p.contents]
    assert 0 < len(naming) < len(passages) == 97
    assert {hit.passage.id for hit in search.search([request("N3man")], 10_000)[0]} == set(naming)


def test_best_breaks_ties_by_position():
    scores = np.array([1.0, 3.0, 2.0, 3.0, 2.0, 2.0])
    assert best(scores, 4).tolist() == [1, 3, 2, 4]
    assert best(scores, 99).tolist() == [1, 3, 2, 4, 5, 0]
    assert best(scores, 0).tolist() == []


@pytest.fixture
def some_vectors():
    """500 unit vectors, each once more, and three queries near some of them and one far away."""
    vectors = np.random.default_rng(0).normal(size=(500, 16))
    vectors[:, 0] += 4  # all alike, as encoders' vectors are: many scores are close
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors = np.concatenate([vectors, vectors])
    return vectors, np.concatenate([vectors[:3], -vectors[:1]]).astype(np.float32)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_search_in_small_blocks_and_half_precision(some_vectors, monkeypatch, dtype):
    vectors, queries = some_vectors
    stored = vectors.astype(dtype)
    monkeypatch.setattr(dense, "BLOCK", 33)
    blocks = dense.DenseIndex(stored).search(queries, 9)
    for query, (positions, scores) in zip(queries, blocks):
        exact = (stored.astype(np.float64) * query.astype(np.float64)).sum(axis=1)
        assert positions.tolist() == np.argsort(-exact, kind="stable")[:9].tolist()
        assert scores == pytest.approx(exact[positions])


@pytest.mark.parametrize("hold", [True, False], ids=["held", "streamed"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_devices_find_what_the_cpu_finds(some_vectors, monkeypatch, dtype, hold):
    """The code that runs on GPUs, with three parts on the CPU; one block is smaller than k."""
    vectors, queries = some_vectors
    stored = vectors.astype(dtype)
    monkeypatch.setattr(devices, "BLOCK", 33)
    monkeypatch.setattr(devices, "QUERIES", 3)
    index = devices.DeviceIndex(stored, ["cpu"] * 3, hold=hold)
    for k in (1, 9, 40, 2000):
        expected = dense.DenseIndex(stored).search(queries, k)
        for one, other in zip(index.search(queries, k), expected, strict=True):
            assert one[0].tolist() == other[0].tolist()
            assert one[1].tolist() == other[1].tolist()


def test_streamed_vectors_are_read_once_for_all_queries(some_vectors, monkeypatch):
    vectors, queries = some_vectors
    monkeypatch.setattr(devices, "BLOCK", 33)
    monkeypatch.setattr(devices, "QUERIES", 3)
    index = devices.DeviceIndex(vectors, ["cpu"], hold=False)
    read, load = [], devices.Shard._load
    monkeypatch.setattr(
        devices.Shard, "_load", lambda self, *part: read.append(part) or load(self, *part)
    )
    index.search(queries, 9)
    assert len(queries) > 3 and read == index.shards[0].ranges


def test_an_index_fits_beside_the_engine_or_not():
    """21 million vectors of 768 in 16 bits (32 GB) beside vLLM on a card of 80 GB."""
    card = 80 * 10**9
    assert devices.vectors_fit(21_015_324, 768, card, card, 0.45)
    assert not devices.vectors_fit(21_015_324, 768, card, card, 0.85)
    assert devices.vectors_fit(21_015_324 // 8, 768, card, card, 0.85)  # on eight


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """320 passages: enough to train an approximate index on."""
    path = tmp_path_factory.mktemp("large")
    world.write_corpus(path / "passages.jsonl", world.corpus(40))
    world.tiny_retriever(path / "retriever")
    build(path, "dense", "--retriever", "retriever")
    return path


KINDS = {
    "ivfpq": {"lists": 8, "probes": 3, "bytes": 8},
    "hnsw": {"links": 8, "build_breadth": 20, "breadth": 30},
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_approximate_index_ranks_its_candidates_exactly(large, kind):
    options = {"kind": kind, kind: KINDS[kind], "candidates": 30, "recall_queries": 40}
    build(large, kind, "--retriever", "retriever", **options)
    about = read_json(large / kind / "index.json")
    assert (about["kind"], about["candidates"], about[kind]) == (kind, 30, KINDS[kind])
    faiss = (large / kind / approximate.FILE).read_bytes()
    assert about["faiss"] == hashlib.sha256(faiss).hexdigest()
    metrics = read_json(large / f"{kind}.json")
    assert metrics["in"] == metrics["out"] == 320 and metrics["recall_queries"] == 40
    assert 0.6 < metrics["recall_20"] < 1
    everything = searcher(large).search(QUERIES, 320)
    search = searcher(large, index_folder=large / kind)
    for hits, exact in zip(search.search(QUERIES, 20), everything):
        known = {hit.passage.id: position for position, hit in enumerate(exact)}
        positions = [known[hit.passage.id] for hit in hits]
        assert positions == sorted(positions) and len(set(positions)) == 20
        assert [exact[position].score for position in positions] == [hit.score for hit in hits]
    assert search.search(QUERIES, 320) == everything  # more than faiss finds


def test_a_faiss_index_that_is_cut_short_is_told_by_its_size(large):
    build(large, "cut", "--retriever", "retriever", kind="ivfpq", ivfpq=KINDS["ivfpq"])
    file = large / "cut" / approximate.FILE
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    told = rf"{len(whole) - 1} bytes of {len(whole)}: build the index again"
    with pytest.raises(InputError, match=told):
        searcher(large, index_folder=large / "cut")


def test_passages_that_are_not_there_are_no_candidates():
    """What a damaged index of an earlier version may bring, which noted no size."""
    exact = dense.DenseIndex(np.eye(4, dtype=np.float32))
    damaged = SimpleNamespace(search=lambda queries, k: (None, np.array([[1, 3692321763]])))
    with pytest.raises(InputError, match="damaged"):
        approximate.ApproximateIndex(damaged, exact, 2).search(np.eye(4, dtype=np.float32)[:1], 2)


@kept_here
@pytest.mark.parametrize("kind", KINDS)
def test_an_approximate_index_finds_the_same_for_a_query_alone(large, kind):
    build(large, kind, "--retriever", "retriever", kind=kind, **{kind: KINDS[kind]}, candidates=30)
    search = searcher(large, index_folder=large / kind)
    alone = [search.search([query], 20)[0] for query in QUERIES]
    assert alone == search.search(QUERIES, 20)


OF_THE_FACTORY = """
import faiss, numpy, sys
index = faiss.index_factory(16, "IVF8,PQ4np", faiss.METRIC_INNER_PRODUCT)
index.cp.seed = index.pq.cp.seed = 7
index.train(vectors := numpy.load("vectors.npy"))
index.add(vectors)
index.nprobe = 3
faiss.omp_set_num_threads(1)
faiss.write_index(index, "factory.faiss")
"""


def test_inverted_lists_are_those_of_the_factory_which_torch_may_break(tmp_path):
    """faiss-cuda's index_factory fails in a process that has loaded torch; this one has not."""
    vectors = np.random.default_rng(0).standard_normal((2000, 16)).astype(np.float32)
    np.save(tmp_path / "vectors.npy", vectors)
    subprocess.run([sys.executable, "-c", OF_THE_FACTORY], cwd=tmp_path, check=True)
    lists = Ivfpq(lists=8, probes=3, bytes=4)
    params = Index(kind=IndexKind.ivfpq, seed=7, sample=2000, ivfpq=lists)
    approximate.build(vectors, params, 1, tmp_path)
    built = (tmp_path / approximate.FILE).read_bytes()
    assert built == (tmp_path / "factory.faiss").read_bytes()


class Processor:
    """In the place of faiss_cards.Card: copies that stay with the processor, whose API is that of
    a GPU's index but for the limits of its kernels."""

    def __init__(self):
        self.asked = []

    def put(self, index):
        import faiss

        copy = faiss.clone_index(index)
        copy.cp.seed = 1234  # the GPU's own, until it is told
        search = copy.search
        copy.search = lambda queries, k: self.asked.append((len(queries), k)) or search(queries, k)
        return copy

    def take(self, index):
        return index


def test_a_card_trains_and_searches_the_index_that_the_processor_would(large, monkeypatch):
    """All that is around faiss's GPU classes: seeds, the order of passages, padded searches."""
    options = {"kind": "ivfpq", "ivfpq": KINDS["ivfpq"], "candidates": 30, "recall_queries": 40}
    build(large, "usual", "--retriever", "retriever", **options)
    card = Processor()
    monkeypatch.setattr(faiss_cards.Card, "of", lambda device: card)
    monkeypatch.setattr(faiss_cards, "ROWS", 16)
    build(large, "on_card", "--retriever", "retriever", **options)
    for name in (approximate.FILE, "index.json"):
        assert (large / "on_card" / name).read_bytes() == (large / "usual" / name).read_bytes()
    queries = [request(f"where was N{n}man born") for n in range(40)]
    search = searcher(large, index_folder=large / "on_card")
    card.asked.clear()
    together = search.search(queries, 20)
    assert card.asked == [(16, 30)] * 3
    assert [search.search([query], 20)[0] for query in queries] == together
    monkeypatch.undo()
    assert searcher(large, index_folder=large / "usual").search(queries, 20) == together


def test_a_faiss_without_gpus_is_one_clear_line():
    assert faiss_cards.Card.of("cpu") is None
    with pytest.raises(InputError, match=r"requirements/gpu\.txt|finds 0 GPUs"):
        faiss_cards.Card.of("cuda:0")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((8192, 64, 60, 200), r"'index.ivfpq.bytes' \(60\): on a GPU faiss takes one of 1, 2"),
        ((8192, 4096, 64, 200), r"'index.ivfpq.probes' \(4096\): .* 2048 at most"),
        ((8192, 64, 64, 2049), r"'index.candidates' \(2049\): .* 2048 at most"),
    ],
)
def test_what_faiss_cannot_have_on_a_gpu_is_refused(given, message):
    faiss_cards.check_on_gpu(8192, 64, 64, 200)
    with pytest.raises(InputError, match=message):
        faiss_cards.check_on_gpu(*given)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lists": 400}, r"'index.ivfpq.lists' \(400\) needs 400 passages to train on"),
        ({"lists": 8, "bytes": 5}, "'index.ivfpq.bytes' must divide"),
    ],
)
def test_an_approximate_index_that_cannot_be_is_refused(large, options, message):
    ivfpq = KINDS["ivfpq"] | options
    with pytest.raises(InputError, match=message):
        build(large, "none", "--retriever", "retriever", kind="ivfpq", ivfpq=ivfpq)
    assert not (large / "none").exists()


def test_too_many_lists_are_refused_before_passages_are_encoded(large, monkeypatch):
    monkeypatch.setattr(store, "build", lambda *given: pytest.fail("encodes"))
    with pytest.raises(InputError, match="needs 400 passages"):
        ivfpq = KINDS["ivfpq"] | {"lists": 400}
        build(large, "none", "--retriever", "retriever", kind="ivfpq", ivfpq=ivfpq)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"retriever_folder": None}, "needs the retriever"),
        ({"retriever_folder": "other"}, "another retriever"),
        ({"passages_path": "shorter"}, "size differs"),
        ({"passages_path": "edited"}, "another corpus"),
        ({"index_folder": "nothing"}, "index.json: cannot be read"),
    ],
)
def test_what_does_not_belong_together_is_refused(place, tmp_path, changes, message):
    text = (place / "passages.jsonl").read_text()
    (tmp_path / "shorter").write_text(text[: text.rindex('{"id"')])
    (tmp_path / "edited").write_text(text.replace("N3man", "N4man"))
    world.tiny_retriever(tmp_path / "other", seed=1)
    changes = {key: value and tmp_path / value for key, value in changes.items()}
    with pytest.raises(InputError, match=message):
        searcher(place, **changes)


def test_metrics_and_description(place):
    assert read_json(place / "dense.json") == {"in": 97, "out": 97, "dropped": {}}
    about = read_json(place / "dense" / "index.json")
    assert (about["type"], about["passages"], about["dimension"]) == ("dense", 97, 32)
    assert not list((place / "tmp").rglob("*.npy"))


def test_a_reference_stands_for_the_model_it_points_to(place, tmp_path):
    from stages.common.models import write_reference
    from stages.encoders.folder import write_format

    write_reference(tmp_path / "reference", str(place / "retriever"), None)
    write_format(tmp_path / "reference", QueryFormat("query", "q: ", "p: "))
    direct = DenseRetriever.load(place / "retriever")
    pointed = DenseRetriever.load(tmp_path / "reference")
    assert pointed.query_format.query_prompt == "q: "
    same = pointed.encode_queries(["N3man"]) == direct.model.encode("q: N3man")
    assert same.all() or np.allclose(
        pointed.encode_queries(["N3man"]), direct.model.encode("q: N3man")
    )


def encode(place: Path, folder: Path, processes: int, chunk: int = 10) -> bytes:
    """Encode the corpus of `place` into `folder`, or go on with it; the file's bytes."""
    folder.mkdir(exist_ok=True)
    shutil.copy(place / "dense" / "starts.npy", folder)
    passages = PassageFile(place / "passages.jsonl", np.load(folder / "starts.npy"))
    compute = Compute(devices=processes, threads=1)
    note = folder / "encoded.json"
    store.build(passages, place / "retriever", "float32", compute, folder, note, chunk=chunk)
    return (folder / "vectors.npy").read_bytes()


def test_a_killed_build_goes_on_and_gives_the_same_bytes(large, tmp_path, monkeypatch):
    folder, note = tmp_path / "work", tmp_path / "work" / "encoded.json"
    program = (
        "import sys; sys.path[:0] = ['tests']; from pathlib import Path; import test_index; "
        f"test_index.encode(Path({str(large)!r}), Path({str(folder)!r}), 2, chunk=1)"
    )
    process = subprocess.Popen([sys.executable, "-c", program], cwd=REPO, env=dict(os.environ))
    while not (note.exists() and len(json.loads(note.read_text())["done"]) >= 30):
        assert process.poll() is None
        time.sleep(0.01)
    children = psutil.Process(process.pid).children()
    process.send_signal(signal.SIGKILL)
    process.wait()
    psutil.wait_procs(children)
    assert not any(child.is_running() for child in children)
    done = len(json.loads(note.read_text())["done"])
    assert 30 <= done < 320

    asked = []
    encode_passages = DenseRetriever.encode_passages
    monkeypatch.setattr(
        DenseRetriever,
        "encode_passages",
        lambda self, texts, *rest: asked.extend(texts) or encode_passages(self, texts, *rest),
    )
    expected = (large / "dense" / "vectors.npy").read_bytes()
    assert encode(large, folder, 1) == expected
    assert len(asked) == 320 - done


def test_a_build_that_lost_its_file_begins_again(large, tmp_path):
    """As one does that was killed when its folder was moved away."""
    expected = encode(large, tmp_path / "work", 1)
    (tmp_path / "work" / "vectors.npy").unlink()
    assert encode(large, tmp_path / "work", 1) == expected


@pytest.mark.parametrize(
    ("visible", "given", "present", "found"),
    [
        (None, None, 8, 4),
        (None, None, 1, "'compute.devices' is 4: this machine has 1"),
        ("3", "1", 1, 1),  # a worker that was given one
        ("3,5", None, 2, r"'compute.devices' is 4: CUDA_VISIBLE_DEVICES \(3,5\) shows 2"),
        ("", "1", 0, r"'compute.devices' is 1: CUDA_VISIBLE_DEVICES \(\) shows 0"),
    ],
)
def test_devices_are_those_in_sight(monkeypatch, visible, given, present, found):
    for name, value in (("CUDA_VISIBLE_DEVICES", visible), (GIVEN, given)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    monkeypatch.setattr("torch.cuda.device_count", lambda: present)
    compute = Compute(device="cuda", devices=4)
    if isinstance(found, int):
        assert encoding.devices(compute) == [f"cuda:{number}" for number in range(found)]
        return
    with pytest.raises(InputError, match=found):
        encoding.devices(compute)


def test_a_killed_process_ends_the_build(large, tmp_path, monkeypatch):
    process = multiprocessing.get_context("spawn").Process
    start = process.start
    monkeypatch.setattr(process, "start", lambda self: start(self) or self.kill())
    with pytest.raises(InputError, match="ended early"):
        encode(large, tmp_path / "work", 2)


def test_a_process_says_which_passage_is_bad(large, tmp_path):
    text = (large / "passages.jsonl").read_text()
    (tmp_path / "bad.jsonl").write_text(text.replace('{"id": "p7"', '{"ie": "p7"'))
    starts, vectors = large / "dense" / "starts.npy", tmp_path / "vectors.npy"
    job = EncodingJob(tmp_path / "bad.jsonl", starts, large / "retriever", vectors, 8, 1, False)
    ours, theirs = multiprocessing.Pipe()
    ours.send((0, 50))
    processes.work(job, "cpu", theirs)
    with pytest.raises(InputError, match=r"bad\.jsonl:8: expected an object with 'id'"):
        processes.received(ours, None)


def test_a_bm25_index_does_not_depend_on_the_hash_seed(place, tmp_path):
    program = f"""
from pathlib import Path
from stages.retrieval import bm25
from stages.retrieval.corpus import PassageFile, line_starts
path = Path({str(place)!r}, "passages.jsonl")
bm25.build(PassageFile(path, line_starts(path)), Path("built"))
"""
    built = []
    for seed in "12":
        folder = tmp_path / seed
        (folder / "built").mkdir(parents=True)
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(REPO)}
        subprocess.run([sys.executable, "-c", program], cwd=folder, env=environment, check=True)
        files = sorted((folder / "built").iterdir())
        built.append({file.name: file.read_bytes() for file in files})
    assert built[0] == built[1] and built[0]
