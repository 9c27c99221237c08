"""The retriever server as clients of other programs ask it.

Search-R1's training loop sends the queries of all its rollouts in one request, however many they
are, none at all included, and reads `result` of whatever comes. verl's search tool sends the few of
one tool call, calls its body JSON, tries again after 500, 502, 503 and 504, and gives up at any
other status that is not 200. FlashRAG's remote retriever asks `/search` for one query and
`/batch_search` for several, with fields of other names.
"""

import gzip
import http.client
import json
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import serving_world
from load_clients import Client
from serving_world import REPO, searcher_of, served

from stages.common.records import read_jsonl
from stages.common.search import SearchRequest
from stages.plumbing.errors import InputError
from stages.serving import batching, limits
from stages.serving.process import running_server
from stages.tools import serve


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return serving_world.write(tmp_path_factory.mktemp("clients"))


@pytest.fixture(scope="module")
def address(place):
    with served(searcher_of(place)) as address:
        yield address


@pytest.fixture(scope="module")
def lines(place):
    return {row["id"]: row for row in read_jsonl(place / "passages.jsonl")}


def queries(count: int) -> list[str]:
    """`count` queries, of which 48 are distinct."""
    parts = [
        (f"N{n % 12}man", ("born", "study")[n % 2], ("where", "who")[n // 12 % 2])
        for n in range(count)
    ]
    return [f"{word} was {name} {what}" for name, what, word in parts]


def expected(place, texts: list[str], top_k: int) -> list:
    """What a searcher in this process finds: ids and scores."""
    found = searcher_of(place).search([SearchRequest(None, (), text) for text in texts], top_k)
    return [[(hit.passage.id, hit.score) for hit in row] for row in found]


def training_wave(address: str, texts: list[str]) -> list[str]:
    """What Search-R1's loop reads of its answer: title and text of each document."""
    body = {"queries": texts, "topk": 3, "return_scores": True}
    result = httpx.post(f"{address}/retrieve", json=body, timeout=None).json()["result"]
    return [
        "".join("|".join(hit["document"]["contents"].split("\n", 1)) for hit in row)
        for row in result
    ]


@pytest.mark.parametrize("count", [0, 1, 5, 512 * 5, limits.QUERIES])
def test_a_training_loop_sends_waves_of_any_size(place, address, lines, count):
    found = training_wave(address, queries(count))
    rows = expected(place, queries(count), 3)
    texts = ["".join("|".join(lines[i]["contents"].split("\n", 1)) for i, _ in row) for row in rows]
    assert found == texts


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (512 * 5, "谁在哪里出生" * 50),
        (limits.QUERIES, "who was born " * 20),
        (limits.QUERIES, "who was born " * 153),  # 460 words
        (limits.QUERIES, "谁在哪里出生的人" * 42),
    ],
    ids=["chinese", "short", "long", "long chinese"],
)
def test_a_wave_of_long_queries_is_answered(place, count, text):
    """As Python's json escapes them: six bytes a character of Chinese."""
    with served(searcher_of(place, "bm25")) as address:
        body = json.dumps({"queries": [text] * count, "topk": 1, "return_scores": True})
        answer = httpx.post(f"{address}/retrieve", content=body, timeout=None)
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["result"]) == count


def test_waves_of_two_loops_and_small_clients_are_answered_together(place, address):
    """None meets the server's own 503, and who asks little is not kept behind who asks much."""
    searcher, order = searcher_of(place), []
    find = searcher.find
    searcher.find = lambda texts, k: order.append(len(texts)) or find(texts, k)
    with served(searcher) as address, ThreadPoolExecutor(3) as pool:
        waves = [pool.submit(training_wave, address, queries(limits.QUERIES)) for _ in range(2)]
        while len(order) < 3:
            time.sleep(0.001)
        small = training_wave(address, queries(1))
        before = sum(wave.done() for wave in waves)
        first, second = (wave.result() for wave in waves)
    assert before < 2 and small == first[:1] and first == second and len(first) == limits.QUERIES


def test_a_wave_whose_client_has_left_is_not_searched_on(place):
    searcher, parts = searcher_of(place), []
    find = searcher.find
    with served(searcher) as address:
        host, port = address.removeprefix("http://").split(":")
        connection = http.client.HTTPConnection(host, int(port))

        def leaves(texts, k):
            parts.append(len(texts))
            connection.close()
            return find(texts, k)

        searcher.find = leaves
        body = json.dumps({"queries": queries(batching.BATCH * 60), "topk": 1})
        connection.request("POST", "/retrieve", body, {"Content-Type": "application/json"})
        assert httpx.post(f"{address}/retrieve", json={"queries": []}).status_code == 200
        for _ in range(20):
            assert httpx.post(f"{address}/retrieve", json={"queries": ["q"]}).status_code == 200
    assert len(parts) < 60


def test_queries_times_topk_stay_bounded(address):
    most = limits.PASSAGES // limits.QUERIES
    body = {"queries": ["q"] * limits.QUERIES, "topk": most}
    assert httpx.post(f"{address}/retrieve", json=body, timeout=None).status_code == 200
    for wrong in (body | {"topk": most + 1}, body | {"queries": ["q"] * (limits.QUERIES + 1)}):
        answer = httpx.post(f"{address}/retrieve", json=wrong, timeout=None)
        assert answer.status_code == 422 and "at most" in answer.json()["detail"]


def search_tool(address: str, texts: list[str], top_k: int) -> str:
    """What verl's tool gives a model: titles and texts, or why there is none."""
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    body = {"queries": texts, "topk": top_k, "return_scores": True}
    for _ in range(10):
        answer = httpx.post(f"{address}/retrieve", json=body, headers=headers, timeout=None)
        if answer.status_code not in (500, 502, 503, 504):
            break
    answer.raise_for_status()
    rows = answer.json().get("result", [])
    shown = [
        "\n\n".join(
            f"Doc {n} (Title: {title})\n{text}"
            for n, (title, text) in enumerate(
                (hit["document"]["contents"].split("\n", 1) for hit in row), start=1
            )
        )
        for row in rows
    ]
    return "\n---\n".join(shown) or "No search results found."


def test_a_search_tool_is_answered(place, address, lines):
    texts = queries(3)
    rows = expected(place, texts, 2)
    shown = [
        "\n\n".join(
            "Doc {} (Title: {})\n{}".format(n, *lines[id]["contents"].split("\n", 1))
            for n, (id, _) in enumerate(row, start=1)
        )
        for row in rows
    ]
    assert search_tool(address, texts, 2) == "\n---\n".join(shown)
    assert search_tool(address, [], 2) == "No search results found."


def remote_retriever(address: str, query: str | list[str], num: int, return_score: bool):
    """FlashRAG's: one query or several."""
    route = "search" if isinstance(query, str) else "batch_search"
    body = {"query": query, "top_n": num, "return_score": return_score}
    answer = httpx.post(f"{address}/{route}", json=body, timeout=None)
    answer.raise_for_status()
    return answer.json()


@pytest.mark.parametrize("name", ["dense", "bm25"])
def test_a_remote_retriever_is_answered(place, lines, name):
    texts = queries(300)
    searcher = searcher_of(place, name)
    found = searcher.search([SearchRequest(None, (), text) for text in texts], 5)
    documents = [[lines[hit.passage.id] for hit in row] for row in found]
    scores = [[hit.score for hit in row] for row in found]
    with served(searcher) as address:
        assert remote_retriever(address, texts, 5, False) == documents
        assert remote_retriever(address, texts, 5, True) == [documents, scores]
        assert remote_retriever(address, texts[0], 5, False) == documents[0]
        assert remote_retriever(address, texts[0], 5, True) == [documents[0], scores[0]]
        assert remote_retriever(address, [], 5, False) == []
        assert remote_retriever(address, [], 5, True) == [[], []]
        assert len(remote_retriever(address, texts[0], 0, False)) == 3  # the server's own number
        answer = httpx.post(f"{address}/batch_search", json={"query": texts[0]})
        assert answer.status_code == 422 and "query: " in answer.json()["detail"]


@pytest.mark.parametrize(
    ("fields", "count", "scored"),
    [
        ({}, 3, False),
        ({"topk": 0}, 3, False),
        ({"topk": None}, 3, False),
        ({"topk": "0"}, 3, False),
        ({"topk": False}, 3, False),
        ({"topk": "5"}, 5, False),
        ({"topk": " 5 "}, 5, False),
        ({"topk": 5.0}, 5, False),
        ({"topk": "5.0"}, 5, False),
        ({"topk": True}, 1, False),
        ({"return_scores": 1}, 3, True),
        ({"return_scores": 1.0}, 3, True),
        ({"return_scores": "true"}, 3, True),
        ({"return_scores": "True"}, 3, True),
        ({"return_scores": "yes"}, 3, True),
        ({"return_scores": "1"}, 3, True),
        ({"return_scores": 0}, 3, False),
        ({"return_scores": "off"}, 3, False),
        ({"query_type": "web", "top_n": 7, "requests": [], "__class__": {}}, 3, False),
    ],
)
def test_numbers_and_booleans_are_taken_as_the_public_server_takes_them(
    address, fields, count, scored
):
    answer = httpx.post(f"{address}/retrieve", json={"queries": ["who"]} | fields)
    assert answer.status_code == 200, answer.text
    [row] = answer.json()["result"]
    assert len(row) == count and all(("score" in hit) == scored for hit in row)


def test_fields_that_are_ignored_are_named_once_in_the_log(place, monkeypatch, capfd):
    monkeypatch.chdir(place)
    monkeypatch.setenv("PYTHONPATH", str(REPO))
    with running_server("bm25", "passages.jsonl", None) as address:
        for body in (
            {"queries": ["q"], "later": 1},
            {"queries": ["q"], "later": 2, "\x1b[2Jforged\nline": 3},
            {"queries": ["q"], "n" * 10_000: 4},
            {"queries": ["q"]} | {f"many{n}": n for n in range(1000)},
            {"queries": ["q"]} | {f"others{n}": n for n in range(1000)},
        ):
            assert httpx.post(f"{address}/retrieve", json=body).status_code == 200
    said = capfd.readouterr().err
    assert said.count("the field 'later', which is ignored") == 1
    assert "'\\x1b[2Jforged\\nline'" in said and "\x1b" not in said
    assert len(said.splitlines()) < 150 and max(map(len, said.splitlines())) < 200


def test_a_client_that_sends_no_content_type_is_answered(address):
    """As Python's own http.client, and the clients of tests/load_clients.py."""
    host, port = address.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port))
    connection.request("POST", "/retrieve", json.dumps({"queries": ["who"]}))
    assert connection.getresponse().status == 200
    assert Client(address, 0).port == int(port)


@pytest.mark.parametrize("coding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_a_body_may_be_in_what_python_reads_as_json(address, coding):
    """As the public servers take it; PowerShell and .NET put a mark before it."""
    body = json.dumps({"queries": ["wer war N3mân"]}, ensure_ascii=False)
    plain, other = (
        httpx.post(f"{address}/retrieve", content=body.encode(name)) for name in ("utf-8", coding)
    )
    assert other.status_code == 200 and other.json() == plain.json()
    cut = httpx.post(f"{address}/retrieve", content=body.encode("utf-16")[:-1])
    assert cut.status_code == 400 and "not valid utf-16" in cut.json()["detail"]


@pytest.mark.parametrize("coding", ["gzip", "deflate", "BR"])
def test_a_compressed_body_is_named(address, coding):
    body, headers = gzip.compress(b'{"queries": ["q"]}'), {"Content-Encoding": coding}
    answer = httpx.post(f"{address}/retrieve", content=body, headers=headers)
    assert answer.status_code == 415 and "compressed" in answer.json()["detail"]
    headers = {"Content-Encoding": "utf-8"}  # a common mistake, and harmless
    answer = httpx.post(f"{address}/retrieve", content=b'{"queries": ["q"]}', headers=headers)
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [
        ("POST", "/queries", 404, "nothing is at /queries"),
        ("POST", "//retrieve", 404, "nothing is at //retrieve"),
        ("GET", "/retrieve", 405, "/retrieve is not for GET"),
        ("HEAD", "/retrieve", 405, None),
        ("OPTIONS", "/batch_search", 405, "/batch_search is not for OPTIONS"),
        ("POST", "/health", 405, "/health is not for POST"),
    ],
)
def test_an_unknown_route_says_where_the_known_ones_are(address, method, path, status, reason):
    answer = httpx.request(method, address + path)
    assert answer.status_code == status
    if reason is not None:  # HEAD has no body
        assert answer.json() == {"detail": f"{reason}: GET / says what is served"}
    assert ("allow" in answer.headers) == (status == 405)


@pytest.mark.parametrize("path", ["/", "/health"])
def test_a_probe_may_ask_for_the_head_alone(address, path):
    """As `curl --head`, `wget --spider` and some load balancers do."""
    head, whole = httpx.head(address + path), httpx.get(address + path)
    assert head.status_code == whole.status_code == 200 and head.content == b""
    assert head.headers["content-length"] == whole.headers["content-length"]


def test_an_offer_of_http_2_is_answered_and_not_warned_of(address, caplog):
    headers = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AA"}
    answer = httpx.post(f"{address}/retrieve", json={"queries": ["q"]}, headers=headers)
    assert answer.status_code == 200 and "pip install" not in caplog.text


@pytest.mark.parametrize("host", ["", " ", "é" * 70, "a\0b"])
def test_a_host_that_is_none_is_refused(host):
    with pytest.raises(InputError):
        serve.bound(host, 0)
