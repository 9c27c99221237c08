"""A retriever server that runs is asked what it serves before an agent is trained against it."""

from __future__ import annotations

import asyncio
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
import retrieval_world as world
from kept_bytes import kept_here

from stages import index
from stages.common.search import SearchRequest
from stages.encoders.query_format import QueryFormat
from stages.params import Compute, Params
from stages.plumbing.errors import InputError
from stages.serving import client
from stages.serving.client import HttpSearcher
from stages.serving.process import running_server
from stages.serving.served import check_served
from stages.serving.shared import searcher_at, shared_servers
from stages.verl_ppo.retriever import retriever_of

REPO = Path(__file__).parents[1]
OTHER = "first.node"  # another name of this machine, for the tests alone


@pytest.fixture(autouse=True)
def _other_name(monkeypatch):
    resolve = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *rest, **more: resolve("127.0.0.1" if host == OTHER else host, *rest, **more),
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Indexes 0 and 1 of one corpus by two retrievers, `other` of another corpus, and BM25's."""
    path = tmp_path_factory.mktemp("retriever")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        patch.setenv("PYTHONPATH", str(REPO))
        shutil.copy(REPO / "params.yaml", path)
        world.write_corpus(path / "passages.jsonl", world.corpus())
        world.write_corpus(path / "fewer.jsonl", world.corpus()[1:])
        world.tiny_retriever(path / "r0", QueryFormat("query"))
        world.tiny_retriever(path / "r1", QueryFormat("question_query"))
        for name, passages, how in (
            ("0", "passages.jsonl", ["--retriever", "r0"]),
            ("1", "passages.jsonl", ["--retriever", "r1"]),
            ("other", "fewer.jsonl", ["--retriever", "r0"]),
            ("bm25", "passages.jsonl", ["--bm25"]),
        ):
            words = ["--passages", passages, "--output", name, "--metrics", "m.json"]
            index.main([*words, *how])
        with running_server("0", "passages.jsonl", "r0") as address:
            yield path, address


def task(place: Path, name: str, address: str):
    params = Params(compute=Compute(retriever_url=address))
    return SimpleNamespace(params=params, index=place / name)


@pytest.mark.parametrize("suffix", ["", "/", "/retrieve"])
def test_the_right_index_is_taken(place, suffix):
    path, address = place
    with retriever_of(task(path, "0", address + suffix)) as taken:
        assert taken == [address + suffix]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("1", "an index of retriever [0-9a-f]{12}, and .*/1 is of retriever [0-9a-f]{12}: restart"),
        ("other", "an index of corpus [0-9a-f]{12}, and .*/other is of corpus [0-9a-f]{12}"),
        ("bm25", "an index of retriever [0-9a-f]{12}, and .*/bm25 is of retriever none"),
    ],
)
def test_another_index_is_refused(place, name, said):
    path, address = place
    with pytest.raises(InputError, match=f"^{address}: serves {said}"):
        retriever_of(task(path, name, address))


def test_a_server_that_is_asked_by_another_name_says_so(place):
    """As one without --allow-host says to the other nodes of a cluster."""
    path, address = place
    named = address.replace("127.0.0.1", OTHER)
    with pytest.raises(
        InputError, match=f"refuses to answer .*{OTHER}: start it with --allow-host"
    ):
        retriever_of(task(path, "0", named))


def test_the_stage_asks_the_server_of_the_documented_recipe(place, monkeypatch):
    """docs/scale.md: the server is started with --host and --allow-host, by its other name."""
    path, _ = place
    monkeypatch.chdir(path)
    monkeypatch.setenv("PYTHONPATH", str(REPO))
    recipe = (REPO / "docs/scale.md").read_text()
    [command] = re.findall(r"^python -m stages\.tools\.serve .*(?:\n  .*)*", recipe, re.MULTILINE)
    words = command.replace("\\\n", " ").partition("#")[0].split()[3:]
    given = dict(zip(words[::2], words[1::2], strict=True))
    assert f"compute.retriever_url=http://{given['--allow-host']}:{given['--port']}" in recipe
    given |= {"--index": "0", "--passages": "passages.jsonl", "--retriever": "r0", "--port": "0"}
    given |= {"--allow-host": OTHER}
    options = [word for option in given.items() for word in option]
    server = subprocess.Popen(
        [sys.executable, "-m", "stages.tools.serve", *options], stdout=subprocess.PIPE, text=True
    )
    try:
        port = server.stdout.readline().strip().rpartition(":")[2]
        address = f"http://{OTHER}:{port}"
        with retriever_of(task(path, "0", address)) as taken:
            requests = [SearchRequest("Who?", (), "where was N3man born")]
            assert HttpSearcher(*taken).search(requests, 3)[0]
        with pytest.raises(InputError, match="serves an index of retriever"):
            retriever_of(task(path, "1", address))
    finally:
        server.terminate()
        said = server.communicate()[0]
    assert "stopped" in said and server.returncode == 128 + signal.SIGTERM


def test_another_server_is_named(place):
    path, address = place
    with pytest.raises(InputError, match="does not say what index it serves: start it with"):
        retriever_of(task(path, "0", f"{address}/elsewhere"))
    with pytest.raises(InputError, match=r"^http://127\.0\.0\.1:9: no retriever server answers"):
        retriever_of(task(path, "0", "http://me:secret@127.0.0.1:9"))


@pytest.mark.parametrize(
    ("name", "compute", "taken"),
    [
        ("0", {"ray": "HEAD:6379"}, True),
        ("0", {"ray": "local", "workers": 1}, True),
        ("1", {"ray": "HEAD:6379"}, False),
        ("bm25", {"ray": "local", "workers": 1}, False),
    ],
)
def test_workers_ask_servers_of_their_index_alone(place, capfd, name, compute, taken):
    """Of the two that are named, one is away; without any, each worker opens the index."""
    path, address = place
    away = "http://127.0.0.1:9"
    given = Compute(retriever_url=[away, address], **compute)
    folder, passages = path / name, path / "passages.jsonl"
    retriever = None if name == "bm25" else path / f"r{name}"
    with shared_servers(given, folder, passages, retriever) as addresses:
        assert addresses == ([address] if taken else [])
    said = capfd.readouterr().err
    assert f"not asked: {away}: no retriever server answers" in said
    assert (f"not asked: {address}: serves an index of" in said) is not taken
    requests = [SearchRequest("Who?", (), "where was N3man born")]
    own = searcher_at([], folder, passages, retriever, given).search(requests, 5)
    assert searcher_at(addresses, folder, passages, retriever, given).search(requests, 5) == own


def test_workers_of_this_machine_get_a_server_of_their_own(place, monkeypatch):
    path, _ = place
    monkeypatch.chdir(path)
    with shared_servers(Compute(ray="local", workers=2), "1", "passages.jsonl", "r1") as [address]:
        check_served(address, "1")
    with shared_servers(Compute(ray="HEAD:6379", workers=2), "1", "passages.jsonl", "r1") as none:
        assert none == []


def test_several_servers_are_each_checked(place):
    path, address = place
    given = [address, f"{address}/retrieve"]
    with retriever_of(task(path, "0", given)) as taken:
        assert taken == given
    with pytest.raises(InputError, match=r"^http://127\.0\.0\.1:9: no retriever server answers"):
        retriever_of(task(path, "0", [address, "http://127.0.0.1:9"]))
    with pytest.raises(InputError, match=f"^{address}: serves an index of retriever"):
        retriever_of(task(path, "1", given))


@kept_here
def test_one_of_two_servers_dies_under_load_and_nothing_is_lost(place, monkeypatch):
    """Killed while eight clients ask: each search has the answer of the server alone."""
    path, address = place
    monkeypatch.chdir(path)
    monkeypatch.setenv("PYTHONPATH", str(REPO))
    words = ["--index", "0", "--passages", "passages.jsonl", "--retriever", "r0", "--port", "0"]
    doomed = subprocess.Popen(
        [sys.executable, "-m", "stages.tools.serve", *words], stdout=subprocess.PIPE, text=True
    )
    try:
        port = doomed.stdout.readline().strip().rpartition(":")[2]
        other = f"http://127.0.0.1:{port}"
        requests = [SearchRequest("Who?", (), f"where was N{n}man born") for n in range(200)]
        expected = HttpSearcher(address).search(requests, 3)
        clients = [HttpSearcher(address, other) for _ in range(8)]
        for number, each in enumerate(clients):
            each._asked = number % 2
        asked = []

        def ask(number: int):
            if number == len(requests) // 4:
                doomed.kill()
            asked.append(clients[number % 8]._asked)
            return clients[number % 8].search([requests[number]], 3)[0]

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(ask, range(len(requests)))) == expected
        assert 1 in asked[: len(requests) // 4], "the server that died had been asked"
        assert {each._asked for each in clients} == {0}
    finally:
        doomed.kill()
        doomed.wait()
    nobody = HttpSearcher(other, "http://127.0.0.1:9")
    monkeypatch.setattr(client, "WAITS", (0, 0))
    away = r"^http://\S+, http://\S+: no retriever server answers \(.*; .*\): start one"
    with pytest.raises(InputError, match=away):
        nobody.search(requests[:1], 3)


@pytest.mark.parametrize("status", [500, 503, 507, 429])
def test_of_two_servers_one_that_fails_is_passed_over(place, status, monkeypatch):
    """Whatever it says of itself, out of memory as an example."""

    class Failing(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *words):
            pass

    _, address = place
    requests = [SearchRequest("Who?", (), "where was N3man born")]
    monkeypatch.setattr(client, "WAITS", (0, 0))
    with ThreadingHTTPServer(("127.0.0.1", 0), Failing) as failing:
        threading.Thread(target=failing.serve_forever, daemon=True).start()
        bad = f"http://127.0.0.1:{failing.server_address[1]}"
        both = HttpSearcher(bad, address)
        both._asked = 0
        expected = HttpSearcher(address).search(requests, 3)
        assert both.search(requests, 3) == expected and both._asked == 1
        both._asked = 0
        assert asyncio.run(both.async_search(requests, 3)) == expected
        with pytest.raises(InputError, match=rf"^{bad}: .* \(status {status}\)"):
            HttpSearcher(bad).search(requests, 3)
        failing.shutdown()
