"""The retriever server and its client, over real connections on the loopback address."""

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import load_server
import psutil
import pytest
import serving_world
from load_clients import HOLDING, Client, head
from serving_world import REPO, searcher_of, served
from waiting import wait_until

from stages.common.records import read_jsonl
from stages.common.search import SearchRequest
from stages.params import Compute
from stages.plumbing.errors import InputError
from stages.retrieval.searcher import load_searcher
from stages.serving import batching, client, limits
from stages.serving.client import HttpSearcher
from stages.serving.process import running_server
from stages.serving.served import check_served
from stages.tools import serve

ASKED = [
    SearchRequest(
        "Where was the director born?", ("who directed it",), "where was N3man born", "t"
    ),
    SearchRequest(None, (), "Where was the director born? [SEP] where was N3man born"),
    SearchRequest("Who?", (), 'zoë \u2028 "N4man"\'s studies'),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return serving_world.write(tmp_path_factory.mktemp("serve"))


@pytest.fixture(scope="module")
def address(place):
    with served(searcher_of(place)) as address:
        yield address


def ask(address: str, **body) -> httpx.Response:
    return httpx.post(f"{address}/retrieve", json=body, timeout=None)


def test_answers_have_the_shape_of_search_r1(place, address):
    lines = {row["id"]: row for row in read_jsonl(place / "passages.jsonl")}
    queries = [request.query for request in ASKED]
    scored = ask(address, queries=queries, topk=5, return_scores=True).json()
    bare = ask(address, queries=queries, topk=None, return_scores=False).json()
    assert list(scored) == list(bare) == ["result"]
    expected = searcher_of(place).search([SearchRequest(None, (), q) for q in queries], 5)
    for row, documents, hits in zip(scored["result"], bare["result"], expected, strict=True):
        assert row == [{"document": lines[h.passage.id], "score": h.score} for h in hits]
        assert documents == [hit["document"] for hit in row[:3]]
    assert ask(address, queries=queries[:1]).json()["result"] == bare["result"][:1]


@pytest.mark.parametrize("name", ["dense", "bm25"])
def test_the_client_finds_what_a_searcher_finds(place, name, monkeypatch):
    searcher = searcher_of(place, name)
    expected = searcher.search(ASKED, 4)
    monkeypatch.setattr(client, "QUERIES", 2)
    with served(searcher) as address:
        remote = HttpSearcher(f"{address}/retrieve")
        assert remote.search(ASKED, 4) == expected
        assert remote.search([], 4) == []
        for _ in range(2):  # each time in an event loop of its own
            assert asyncio.run(remote.async_search(ASKED, 4)) == expected
    if name == "dense":
        assert expected[0] == expected[1]  # the folder says how question and query are joined


def test_clients_at_the_same_time_share_searches(place):
    searcher = searcher_of(place)
    requests = [SearchRequest(f"q{n}", (), f"where was N{n % 12}man born") for n in range(80)]
    expected = [searcher.search([request], 1 + n % 2)[0] for n, request in enumerate(requests)]
    find, searches = searcher.find, []

    def counted(texts, k):
        searches.append(len(texts))
        time.sleep(0.05)
        return find(texts, k)

    searcher.find = counted
    with served(searcher) as address, ThreadPoolExecutor(40) as pool:
        remote = HttpSearcher(address)
        rows = enumerate(requests)
        found = list(pool.map(lambda row: remote.search([row[1]], 1 + row[0] % 2)[0], rows))
    assert found == expected
    assert sum(searches) == 80 and len(searches) < 30


@pytest.mark.parametrize("name", ["dense", "bm25"])
def test_health_tells_what_is_served(place, name):
    """And goes on so when the index's folder is built anew under the server."""
    about = json.loads((place / name / "index.json").read_text())
    digests = {key: about[key] for key in ("corpus", "retriever") if key in about}
    assert len(digests) == (2 if name == "dense" else 1)
    copy = shutil.copytree(place / name, place / "built-anew", dirs_exist_ok=True)
    retriever = place / "retriever" if name == "dense" else None
    searcher = load_searcher(copy, place / "passages.jsonl", retriever, Compute(threads=1))
    with served(searcher) as address:
        (copy / "index.json").write_text("{}")
        answer = httpx.get(f"{address}/health")
    assert answer.json() == {"status": "ok", "passages": 96} | digests


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ("{", 400, "Invalid JSON"),
        ('{"queries": ["\\ud800"]}', 400, "Invalid JSON"),
        ("[]", 422, "object"),
        ("{}", 422, "queries: Field required"),
        ({"queries": "who"}, 422, "queries: .*valid array"),
        ({"queries": ["who", 3]}, 422, "queries.1: .*valid string"),
        ({"queries": ["q"] * (limits.QUERIES + 1)}, 422, "queries: .*at most 16384"),
        ({"queries": ["q"], "topk": -1}, 422, "topk: .*greater than or equal to 0"),
        ({"queries": ["q"], "topk": limits.TOP_K + 1}, 422, "topk: .*less than or equal to 1000"),
        ({"queries": ["q"], "topk": "three"}, 422, "topk: .*valid integer"),
        ({"queries": ["q"], "topk": 3.5}, 422, "topk: .*valid integer"),
        ('{"queries": ["q"], "topk": 1e999}', 422, "topk: .*finite"),
        ({"queries": ["q"], "return_scores": 2}, 422, "return_scores: .*valid boolean"),
        ({"queries": None}, 422, "queries: .*valid array"),
        ({"queries": ["q"], "questions": [3] * 10**6}, 422, "questions.0: .*valid string"),
        ({"queries": ["q"], "questions": ["q"], "histories": [["q"] * 1001]}, 422, "at most 1000"),
        ({"queries": ["q"], "questions": []}, 422, "questions must have as many entries"),
        ({"queries": ["q"], "histories": [[]]}, 422, "histories need questions"),
        ('{"queries": ["' + "q" * limits.BODY + '"]}', 413, "larger than 33554432 bytes"),
        ('{"queries": ["q"], "later": [' + "1," * 2**21, 413, "over 2097152 commas and opening"),
        ({"queries": ["q"], "later": [[]] * (2**20 + 1)}, 413, "commas and opening brackets"),
        ({"queries": ["q"], "later": {str(n): {} for n in range(2**20)}}, 413, "commas"),
    ],
)
def test_a_bad_request_gets_a_reason(address, body, status, reason):
    text = body if isinstance(body, str) else json.dumps(body)
    answer = httpx.post(f"{address}/retrieve", content=text, timeout=None)
    assert answer.status_code == status
    detail = answer.json()["detail"]
    assert "\n" not in detail and len(detail) < 200
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(detail)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"queries": [""]}, 200),
        ({"queries": ["\x00\x1b[2J"]}, 200),
        ({"queries": ["q" * limits.TEXT]}, 200),
        ({"queries": ["q" * limits.TEXT], "questions": ["q"]}, 422),
        ({"queries": ["q"], "questions": ["q"], "histories": [["q" * 1000] * 100]}, 422),
        ({"queries": ["q"] * 65, "topk": 1000}, 200),
        ({"queries": ["q"] * 66, "topk": 1000}, 422),
    ],
)
@pytest.mark.parametrize("name", ["dense", "bm25"])
def test_empty_and_long_texts(place, name, body, status):
    with served(searcher_of(place, name)) as address:
        assert ask(address, **body).status_code == status


def test_the_server_s_own_topk_counts_towards_the_limits(place):
    with served(searcher_of(place), top_k=1000) as address:
        assert ask(address, queries=["q"] * 65).status_code == 200
        assert ask(address, queries=["q"] * 66).status_code == 422
        assert ask(address, queries=["q"] * 66, topk=1).status_code == 200


@pytest.mark.parametrize("topk", ["0", "1001"])
def test_a_topk_that_no_client_may_ask_is_refused(place, topk, monkeypatch):
    monkeypatch.chdir(place)
    words = ["--index", "bm25", "--passages", "passages.jsonl", "--topk", topk, "--port", "70000"]
    with pytest.raises(InputError, match=f"--topk: from 1 to 1000, found {topk}"):
        serve.main(words)


def test_a_client_asks_no_more_than_an_answer_may_hold(address, monkeypatch):
    remote = HttpSearcher(address)
    expected = remote.search(ASKED, 4)
    monkeypatch.setattr(client, "PASSAGES", 8)
    assert remote.search(ASKED, 4) == expected
    assert asyncio.run(remote.async_search(ASKED, 4)) == expected


@pytest.mark.parametrize(
    ("kind", "expected"), HOLDING.items(), ids=[kind.__name__ for kind in HOLDING]
)
def test_a_slow_client_is_not_waited_for(place, kind, expected, monkeypatch):
    monkeypatch.setattr(limits, "REQUEST", 1.0)
    monkeypatch.setattr(limits, "ANSWER", 1.0)
    with served(searcher_of(place)) as address:
        assert asyncio.run(kind(Client(address, 0))) in expected
        assert ask(address, queries=["q"]).status_code == 200


def test_an_answer_that_is_not_taken_is_dropped(place, monkeypatch):
    """Ten large answers, asked for at once, of which the client reads nothing for a while."""
    monkeypatch.setattr(limits, "ANSWER", 1.0)
    body = json.dumps({"queries": ["who"] * 256, "topk": 96}).encode()
    with served(searcher_of(place)) as address, socket.socket() as connection:
        whole = 10 * len(ask(address, queries=["who"] * 256, topk=96).content)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        host, port = address.removeprefix("http://").split(":")
        connection.connect((host, int(port)))
        connection.sendall((head(len(body)) + body) * 10)
        client = connection.getsockname()

        def held() -> bool:
            return any(c.raddr == client for c in psutil.Process().net_connections("tcp"))

        wait_until(held, at_most=30)  # taken by the server
        wait_until(lambda: not held())  # and let go
        taken = 0
        with suppress(ConnectionResetError):
            while part := connection.recv(2**20):
                taken += len(part)
        assert taken < whole


def test_a_request_that_arrives_slowly_but_in_time_is_served(address):
    body = b'{"queries": ["who"]}'
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        for byte in head(len(body)) + body:
            connection.send(bytes([byte]))
            time.sleep(0.005)
        assert connection.recv(100).startswith(b"HTTP/1.1 200")


def test_the_server_bears_a_load(tmp_path, monkeypatch):
    """Good clients, hostile ones and slow ones for some seconds; the long version is load_server.

    A short run says little of memory, whose pools it is still filling: no more than its size.
    """
    monkeypatch.setenv("PYTHONPATH", str(REPO))
    load_server.write_index(tmp_path)
    metrics = load_server.measured(tmp_path, 12, kinds=9)
    unexpected = [each for each in metrics["unexpected"] if not each.endswith(": 503")]
    good = set(metrics["outcomes"]["good"])
    assert not unexpected and metrics["server_errors"] == 0, metrics["unexpected"]
    assert {"200"} <= good <= {"200", "503"}, "a slow machine may ask some to come again"
    assert metrics["still_answers"] and metrics["memory_mb"]["highest"] < 2000


def test_a_client_is_told_what_was_refused(address):
    with pytest.raises(InputError, match=r"refused a search \(topk: .*1000\)$"):
        HttpSearcher(address).search(ASKED, 1001)


def test_too_many_waiting_queries_are_sent_away(place, monkeypatch):
    """Those of others: how many a client asks itself makes no difference."""
    monkeypatch.setattr(batching, "WAITING", 2)
    searcher, searches, finish = searcher_of(place), threading.Event(), threading.Event()
    find = searcher.find

    def waits(texts, k):
        searches.set()
        assert finish.wait()
        return find(texts, k)

    searcher.find = waits
    with served(searcher) as address, ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask, address, queries=["q", "r", "s"])
        assert searches.wait()
        answer = ask(address, queries=["q"])
        assert ask(address, queries=[]).json() == {"result": []}
        finish.set()
        assert answer.status_code == 503 and "try again" in answer.json()["detail"]
        assert first.result().status_code == 200
        assert ask(address, queries=["q"] * 3).status_code == 200


def test_a_search_that_fails_does_not_stop_the_server(place):
    searcher = searcher_of(place)
    find = searcher.find

    def fails(texts, k):
        if "bad" in texts:
            raise RuntimeError("out of memory")
        return find(texts, k)

    searcher.find = fails
    with served(searcher) as address:
        assert ask(address, queries=["bad"]).status_code == 500
        assert ask(address, queries=["good"]).status_code == 200


def test_a_server_that_is_away_is_waited_for_then_named(place, monkeypatch):
    listener = serve.bound("127.0.0.1", 0)
    remote = HttpSearcher(f"http://127.0.0.1:{listener.getsockname()[1]}")
    monkeypatch.setattr(client, "WAITS", (0, 0.01))
    with pytest.raises(InputError, match=r"no retriever server answers .*stages\.tools\.serve"):
        remote.search(ASKED, 1)
    with pytest.raises(InputError, match="no retriever server answers"):
        asyncio.run(remote.async_search(ASKED, 1))
    monkeypatch.setattr(client, "WAITS", (0,) + (0.2,) * 10_000)
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(remote.search, ASKED, 1)
        time.sleep(0.3)
        with served(searcher_of(place), listener):
            assert len(found.result()) == 3


def test_another_kind_of_server_is_named(place, address):
    with pytest.raises(InputError, match=r"refused a search \(nothing is at /elsewhere/"):
        HttpSearcher(f"{address}/elsewhere").search(ASKED, 1)


@contextmanager
def answering(body: dict | bytes, coding: str = "identity"):
    """The address of another program's server, which answers `body` to all that is asked."""
    written = body if isinstance(body, bytes) else json.dumps(body).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(200)
            self.send_header("Content-Encoding", coding)
            self.end_headers()
            self.wfile.write(written)

        do_GET = do_POST

        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


@pytest.mark.parametrize(
    "document", [{"id": "p", "text": "a"}, {"contents": "a\nb"}, "a\nb", ["a"], None]
)
def test_documents_of_another_form_are_named(document):
    with (
        answering({"result": [[{"document": document, "score": 1.0}]]}) as address,
        pytest.raises(InputError, match="its answer is not that of a retriever server"),
    ):
        HttpSearcher(address).search(ASKED[:1], 1)


@pytest.mark.parametrize(
    ("body", "coding", "message"),
    [
        (b"no gzip", "gzip", "no retriever server answers"),
        (b"[" * 100_000, "identity", "its answer is not that of a retriever server"),
    ],
)
def test_an_answer_that_cannot_be_read_is_named(place, body, coding, message, monkeypatch):
    monkeypatch.setattr(client, "WAITS", (0,))
    with answering(body, coding) as address:
        with pytest.raises(InputError, match=message):
            HttpSearcher(address).search(ASKED[:1], 1)
        with pytest.raises(InputError, match=r"no retriever server answers|does not say what"):
            check_served(address, place / "dense")


def test_the_command_serves_until_it_is_closed(place, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setenv("PYTHONPATH", str(REPO))
    with running_server("dense", "passages.jsonl", "retriever") as address:
        assert HttpSearcher(address).search(ASKED, 4) == searcher_of(place).search(ASKED, 4)
        port = int(address.rpartition(":")[2])
        with pytest.raises(InputError, match=f"port {port} of 127.0.0.1 cannot be used"):
            serve.bound("127.0.0.1", port)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_no_answer_waits_for_an_acknowledgement(host):
    """Without TCP_NODELAY a client that asks one query at a time gets 20 answers a second."""
    delays = []

    class Accepted(asyncio.Protocol):
        def connection_made(self, transport):
            accepted = transport.get_extra_info("socket")
            delays.append(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            transport.close()

    async def asked() -> None:
        with serve.bound(host, 0) as listener:
            await asyncio.get_running_loop().create_server(Accepted, sock=listener)
            reader, writer = await asyncio.open_connection(host, listener.getsockname()[1])
            assert await reader.read() == b""
            writer.close()

    asyncio.run(asked())
    assert delays == [1]


@pytest.mark.parametrize("name", [signal.SIGINT, signal.SIGTERM, None])
def test_the_command_says_what_it_reads_and_when_it_stops(place, name, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setenv("PYTHONPATH", str(REPO))
    words = ["--index", "bm25", "--passages", "passages.jsonl", "--port", "0"]
    words += [] if name else ["--until-closed"]
    pipe = subprocess.PIPE
    command = [sys.executable, "-m", "stages.tools.serve", *words]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as server:
        first = server.stdout.readline()
        address = first.strip().rpartition(" on ")[2]
        assert server.stdout.readline() == "The retriever reads queries as they are sent.\n"
        assert ask(address, queries=["who"]).status_code == 200
        server.send_signal(name) if name else server.stdin.close()
        last = f"stopped: nothing is served on {address}\n" if name else ""
        assert server.stdout.read() == last
        assert server.stderr.read() == ""
    assert server.returncode == (128 + name if name else 0)


@pytest.mark.parametrize("name", [signal.SIGINT, signal.SIGTERM])
def test_the_command_says_so_when_it_is_stopped_while_it_loads(place, name, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setenv("PYTHONPATH", str(REPO))
    endless = place / f"endless-{name}"  # a pipe that stays open: it is read without an end
    endless.mkdir()
    os.mkfifo(endless / "index.json")
    words = ["--index", endless.name, "--passages", "passages.jsonl", "--port", "0"]
    command = [sys.executable, "-m", "stages.tools.serve", *words]
    pipe = subprocess.PIPE
    with (
        subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as server,
        open(endless / "index.json", "w"),  # waits until the server has opened it
    ):
        server.send_signal(name)
        said, errors = server.communicate()
    assert re.fullmatch(r"stopped: nothing is served on http://127\.0\.0\.1:\d+\n", said)
    assert not errors and server.returncode == 128 + name


def test_help_says_what_a_retriever_reads(capsys):
    with pytest.raises(SystemExit):
        serve.main(["--help"])
    said = capsys.readouterr().out
    assert "`question [SEP] query`" in said and "`questions`" in said and "--allow-host" in said


def test_questions_and_joined_queries_find_the_same(address):
    """The two ways in which a client can ask a retriever that reads more than the query."""
    joined = ask(address, queries=["Who? [SEP] where was N3man born"], return_scores=True).json()
    apart = ask(
        address, queries=["where was N3man born"], questions=["Who?"], return_scores=True
    ).json()
    assert joined == apart != ask(address, queries=["where was N3man born"]).json()
    assert "`question [SEP] query`" in httpx.get(address).text


def test_a_retriever_beside_a_bm25_index_is_not_served_without_a_word(place, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)  # of this process
    words = ["--index", "bm25", "--passages", "passages.jsonl", "--port", "0"]
    with pytest.raises(InputError, match="--retriever: bm25 is a BM25 index, which no retriever"):
        serve.main([*words, "--retriever", "retriever"])


def test_a_server_that_cannot_start_is_named(place, monkeypatch, capfd):
    monkeypatch.chdir(place)
    monkeypatch.setenv("PYTHONPATH", str(REPO))
    with (
        pytest.raises(InputError, match="server of nothing did not start"),
        running_server("nothing", "passages.jsonl", None),
    ):
        pass
    assert capfd.readouterr().err.startswith("error: nothing/index.json: cannot be read")
