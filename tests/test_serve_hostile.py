"""Requests that no client of ours sends: from web pages, of any bytes, by hundreds at once."""

import asyncio
import json
import socket
import threading
from contextlib import ExitStack, suppress

import httpx
import jsonschema
import psutil
import pytest
import serving_world
from hypothesis import given, settings
from hypothesis import strategies as st
from load_clients import HELD, head
from serving_world import REPO, searcher_of, served

from stages.plumbing.errors import InputError
from stages.serving import limits
from stages.serving.bodies import Bodies
from stages.serving.guard import names_of
from stages.serving.process import running_server
from stages.serving.refusals import Refused
from stages.serving.requests import BatchSearch, Retrieve, Search, parsed
from stages.tools import serve


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return serving_world.write(tmp_path_factory.mktemp("hostile"))


@pytest.fixture(scope="module")
def address(place):
    with served(
        searcher_of(place), names=names_of("127.0.0.1", ["First.cluster", "10.1.2.3"])
    ) as a:
        yield a


def sent(address: str, data: bytes) -> tuple[int, bytes]:
    """Status and body of the answer to `data`."""
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(data)
        answer = b""
        while b"\r\n\r\n" not in answer:
            part = connection.recv(2**16)
            assert part, answer
            answer += part
        first, _, body = answer.partition(b"\r\n\r\n")
        length = int(first.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        while len(body) < length:
            body += connection.recv(2**16)
    return int(first.split()[1]), body


def asked(host: str, more: str = "", method: str = "POST", path: str = "/retrieve") -> bytes:
    body = json.dumps({"queries": ["who"]}).encode()
    lines = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{more}Content-Length: {len(body)}\r\n\r\n"
    return lines.encode("latin-1") + body


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:8000", 200),
        ("localhost.", 200),
        ("127.0.0.1", 200),
        ("127.0.0.1:80", 200),
        ("127.9.9.9", 200),
        ("[::1]:8000", 200),
        ("[::ffff:127.0.0.1]", 200),
        ("first.cluster:8002", 200),
        ("10.1.2.3", 200),
        ("evil.example", 403),
        ("evil.example:80", 403),
        ("localhost.evil.example", 403),
        ("evil-localhost", 403),
        ("127.0.0.1.evil.example", 403),
        ("127.0.0.1@evil.example", 403),
        ("evil.example@localhost", 403),
        ("localhost evil.example", 403),
        ("localhost, evil.example", 403),
        ("localhost:80:80", 403),
        ("localhost/evil", 403),
        ("other.first.cluster", 403),
        ("10.1.2.4", 403),
        ("0.0.0.0", 403),
        ("2130706433", 403),
        ("[::2]", 403),
        ("[::1", 403),
        ("[]", 403),
        (".", 403),
        ("\xe9vil", 403),
        ("", 403),
    ],
)
@pytest.mark.parametrize("path", ["/retrieve", "/health"])
def test_only_the_server_s_own_names_are_answered(address, host, status, path):
    """A page whose name is made to point here (DNS rebinding) still sends that name."""
    method = "POST" if path == "/retrieve" else "GET"
    found, body = sent(address, asked(host, method=method, path=path))
    assert found == status
    if status == 403:
        detail = json.loads(body)["detail"]
        assert "\n" not in detail and len(detail) < 250
        assert "--allow-host" in detail or "Host" in detail


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ("Origin: http://localhost:8000", 200),
        ("Origin: https://127.0.0.1", 200),
        ("Origin: http://[::1]:3000", 200),
        ("Origin: https://first.cluster", 200),
        ("Origin: http://evil.example", 403),
        ("Origin: https://localhost.evil.example", 403),
        ("Origin: http://evil.example:80/localhost", 403),
        ("Origin: null", 403),
        ("Origin: file://", 403),
        ("Origin: chrome-extension://localhost", 403),
        ("Origin: http://[::1", 403),
        ("Origin: ", 403),
        ("Origin: http://localhost\r\nOrigin: http://evil.example", 403),
        ("Origin: http://evil.example\r\nContent-Type: text/plain", 403),
        ("Content-Type: application/json", 200),
        ("Content-Type: Application/JSON; charset=utf-8", 200),
        ("content-type: application/vnd.search+json", 200),
        ("Content-Type: text/plain", 415),
        ("Content-Type: text/plain; application/json", 415),
        ("Content-Type: application/x-www-form-urlencoded", 415),
        ("Content-Type: multipart/form-data; boundary=json", 415),
        ("Content-Type: application/jsonp", 415),
        ("Content-Type: ", 415),
        ("Content-Type: application/json\r\nContent-Type: text/plain", 415),
    ],
)
@pytest.mark.parametrize("path", ["/retrieve", "/batch_search", "/search"])
def test_pages_of_other_sites_are_refused(address, headers, status, path):
    found, body = sent(address, asked("localhost", f"{headers}\r\n", path=path))
    if status == 200 and path != "/retrieve":
        status = 422  # the form of its body is another
    assert found == status
    assert status == 200 or "\n" not in json.loads(body)["detail"]


def test_a_request_of_an_older_protocol_names_its_host_too(address):
    assert sent(address, b"GET /health HTTP/1.0\r\n\r\n")[0] == 403
    assert sent(address, b"GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n")[0] == 200


def own_address() -> str | None:
    """An address of this machine that other machines could reach."""
    every = psutil.net_if_addrs().values()
    found = [a.address for one in every for a in one if a.family is socket.AF_INET]
    return next((address for address in found if not address.startswith("127.")), None)


def test_a_server_for_other_machines_answers_to_its_own_names(place):
    """docs/scale.md: the recipe of several nodes."""
    names = names_of("0.0.0.0", ["FIRST"])
    listener = serve.bound("0.0.0.0", 0)
    port = listener.getsockname()[1]
    with served(searcher_of(place, "bm25"), listener, names=names):
        for host in ("first", socket.gethostname(), "localhost", "0.0.0.0"):
            assert sent(f"http://127.0.0.1:{port}", asked(f"{host}:{port}"))[0] == 200
        if host := own_address():  # by the address that it has connected to
            assert httpx.get(f"http://{host}:{port}/health").status_code == 200
        assert sent(f"http://127.0.0.1:{port}", asked("evil.example"))[0] == 403


@pytest.mark.parametrize(
    "name", ["http://first", "first:8002", "", "*", "a b", "first/x", "[::1]:80", "*.cluster"]
)
def test_a_name_that_no_host_has_is_refused(place, name, monkeypatch):
    monkeypatch.chdir(place)
    words = ["--index", "bm25", "--passages", "passages.jsonl", "--port", "0", "--allow-host", name]
    with pytest.raises(InputError, match="--allow-host: a name or an address, without scheme"):
        serve.main(words)


def resident(process: psutil.Process) -> float:
    """Megabytes."""
    return process.memory_info().rss / 2**20


@pytest.mark.parametrize(("count", "size"), [(120, HELD), (12, limits.BODY)])
def test_bodies_that_never_end_share_a_budget(place, monkeypatch, count, size):
    """So many connections send `size` bytes less the end; all others are still served."""
    monkeypatch.chdir(place)
    monkeypatch.setenv("PYTHONPATH", str(REPO))
    with running_server("dense", "passages.jsonl", "retriever") as address, ExitStack() as stack:
        [process] = [p for p in psutil.Process().children() if "stages.tools.serve" in p.cmdline()]
        queries = [f"who was N{n}man" for n in range(300)]
        assert httpx.post(f"{address}/retrieve", json={"queries": queries}).status_code == 200
        before = resident(process)
        host, port = address.removeprefix("http://").split(":")
        data, highest = head(size) + b'{"queries": ["' + b"q" * (size - 15), before
        for _ in range(count):
            connection = stack.enter_context(socket.create_connection((host, int(port))))
            connection.sendall(data)
            highest = max(highest, resident(process))
        wave = json.dumps({"queries": ["who"] * 100, "later": "x" * (size - 10_000)})
        for content in (wave, '{"queries": ["who"]}'):
            answer = httpx.post(f"{address}/retrieve", content=content, timeout=None)
            assert answer.status_code == 200, answer.text
        assert max(highest, resident(process)) - before < 200


def test_requests_that_come_before_an_answer_are_bounded(place, monkeypatch):
    """A client that sends on and on while it is not answered is dropped."""
    searcher, dropped = searcher_of(place, "bm25"), threading.Event()
    find = searcher.find
    searcher.find = lambda texts, k: dropped.wait() and find(texts, k)
    with served(searcher) as address:
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(asked("localhost"))
            try:
                with pytest.raises(ConnectionError):
                    for _ in range(64):
                        connection.sendall(b"x" * 2**20)
            finally:
                dropped.set()
        assert sent(address, asked("localhost"))[0] == 200


async def arriving(parts, pause: asyncio.Event | None = None):
    for part in parts:
        yield part
    if pause:
        await pause.wait()


def test_the_body_that_waits_longest_gives_way(monkeypatch):
    monkeypatch.setattr(limits, "BODIES", 10 * 2**17)
    monkeypatch.setattr("stages.serving.bodies.SMALL", 10)
    bodies, never = Bodies(), asyncio.Event()
    outcomes = {}

    async def read(name, parts, pause=None):
        try:
            async with bodies.read(arriving(parts, pause)) as body:
                outcomes[name] = len(body)
        except Refused as refused:
            outcomes[name] = refused.status

    async def all_of_them():
        waiting = [
            asyncio.create_task(read(name, [b"x" * size], never))
            for name, size in (("small", 10), ("first", 2**19), ("second", 2**19))
        ]
        await asyncio.sleep(0)
        await read("whole", [b"x" * 2**17] * 4)
        await asyncio.sleep(0.01)
        assert outcomes == {"whole": 2**19, "first": 503}
        async with bodies.read(arriving([b"x" * 2**19])):
            await read("next", [b"x" * 2**19])
            await asyncio.sleep(0.01)
            assert outcomes["second"] == 503 and outcomes["next"] == 2**19
            async with bodies.read(arriving([b"x" * 2**19])):
                await read("too much", [b"x" * 2**19])  # the others are whole and wait for answers
                await asyncio.sleep(0.01)
        assert outcomes["too much"] == outcomes["small"] == 503
        await read("afterwards", [b"x" * 2**17] * 10)
        assert outcomes["afterwards"] == 10 * 2**17
        await asyncio.gather(*waiting)
        assert bodies._held == 0

    monkeypatch.setattr(limits, "BODY", 10 * 2**17)
    asyncio.run(all_of_them())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=15,
)
TEXTS = st.lists(st.text(max_size=20) | st.none() | JSON, max_size=5)
COUNTS = st.none() | st.integers(-2, 1002) | st.text(max_size=5) | st.floats() | st.booleans()
NEARLY = st.fixed_dictionaries(
    {},
    optional={
        "queries": TEXTS | JSON,
        "query": st.text() | TEXTS | JSON,
        "topk": COUNTS | JSON,
        "top_n": COUNTS | JSON,
        "return_scores": st.booleans() | JSON,
        "return_score": st.booleans() | JSON,
        "questions": TEXTS | JSON,
        "histories": st.lists(TEXTS, max_size=5) | JSON,
        "__class__": JSON,
        "model_config": JSON,
    },
)
BODIES = (
    st.binary(max_size=500)
    | st.builds(lambda value: json.dumps(value).encode(), NEARLY | JSON)
    | st.builds(lambda value, cut: json.dumps(value).encode()[:cut], NEARLY, st.integers(0, 99))
    | st.builds(
        lambda depth, sign: sign * depth, st.integers(0, 10**4), st.sampled_from((b"[", b"{"))
    )
    | st.sampled_from((b"[" * 10**5, b'{"queries":' * 10**4, b'{"queries": ["\\ud800"]}'))
)
ROUTES = ("/retrieve", "/batch_search", "/search")
PATHS = st.sampled_from((*ROUTES, "/", "/health", "/openapi.json")) | st.text(
    st.characters(min_codepoint=33, max_codepoint=126), max_size=20
).map("/{}".format)
VALUE = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=40).map(str.strip)
FIELDS = ("Origin", "Content-Type", "Accept", "Connection", "Upgrade", "Expect", "Range", "Cookie")
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(FIELDS),
        VALUE | st.sampled_from(("http://[::1", "application/json", "100-continue", "websocket")),
    ),
    max_size=4,
)
METHODS = st.sampled_from(("POST", "GET", "PUT", "OPTIONS", "TRACE", "DELETE", "PATCH", "X"))


@pytest.fixture(scope="module")
def client(address):
    with httpx.Client(base_url=address, timeout=None) as client:
        yield client


@settings(max_examples=300, deadline=None)
@given(path=st.sampled_from(ROUTES), body=BODIES)
def test_whatever_body_is_sent_the_answer_is_no_server_error(client, path, body):
    answer = client.post(path, content=body)
    assert answer.status_code in (200, 400, 413, 422), answer.text
    if answer.status_code != 200:
        detail = answer.json()["detail"]
        assert isinstance(detail, str) and "\n" not in detail and len(detail) < 250


@settings(max_examples=200, deadline=None)
@given(method=METHODS, path=PATHS, headers=HEADERS, host=VALUE | st.just("localhost"), body=BODIES)
def test_whatever_request_is_sent_the_answer_is_no_server_error(
    address, method, path, headers, host, body
):
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers]
    data = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body
    status, _ = sent(address, data)
    assert 100 <= status < 500


WHOLE = asked("localhost", "Content-Type: application/json\r\nConnection: close\r\n")
CHANGED = st.builds(
    lambda first, size, other: WHOLE[:first] + other + WHOLE[first + size :],
    st.integers(0, len(WHOLE)),
    st.integers(0, 20),
    st.binary(max_size=20),
)


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=300) | CHANGED)
def test_whatever_bytes_are_sent_the_answer_is_no_server_error(address, data):
    """A client that stops in the middle of a request gets nothing while it might go on."""
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=0.2) as connection:
        connection.sendall(data)
        with suppress(TimeoutError, ConnectionError):
            answer = connection.recv(2**16)
            assert not answer or 100 <= int(answer.split()[1]) < 500, answer


KINDS = {"/retrieve": Retrieve, "/batch_search": BatchSearch, "/search": Search}


@pytest.fixture(scope="module")
def schema(address):
    return httpx.get(f"{address}/openapi.json").json()


def of_route(schema: dict, path: str) -> dict:
    return schema["paths"][path]["post"]


@settings(max_examples=300, deadline=None)
@given(path=st.sampled_from(ROUTES), value=NEARLY)
def test_what_the_schema_allows_is_taken(schema, path, value):
    """But for the rules between fields, which it states in words."""
    form = of_route(schema, path)["requestBody"]["content"]["application/json"]["schema"]
    try:
        jsonschema.validate(value, form)
    except jsonschema.ValidationError:
        return
    try:
        parsed(KINDS[path], json.dumps(value).encode(), 3)
    except Refused as refused:
        told = ("as many entries", "need questions", "surrogate", "unicode", "lone leading")
        assert any(words in refused.reason for words in told)


def test_the_schema_says_what_is_refused(address, schema):
    for path in ROUTES:
        route = of_route(schema, path)
        form = route["requestBody"]["content"]["application/json"]["schema"]
        queries = form["properties"]["query" if path != "/retrieve" else "queries"]
        if path == "/search":
            assert queries["maxLength"] == limits.TEXT
        else:
            assert queries["maxItems"] == limits.QUERIES
            assert queries["items"]["maxLength"] == limits.TEXT
        count, _ = form["properties"]["topk" if path == "/retrieve" else "top_n"]["anyOf"]
        assert (count["minimum"], count["maximum"]) == (0, limits.TOP_K)
        assert set(route["responses"]) == {
            *("200", "400", "403", "408", "413", "415", "422", "503"),
        }
        for status, response in route["responses"].items():
            if status != "200":
                reference = response["content"]["application/json"]["schema"]["$ref"]
                detail = schema["components"]["schemas"][reference.rpartition("/")[2]]
                assert detail["properties"]["detail"]["type"] == "string"


def test_answers_are_those_of_the_schema(address, schema):
    bodies = {
        "/retrieve": [{"queries": ["who"]}, {"queries": ["who"], "return_scores": True}],
        "/batch_search": [{"query": ["who"]}, {"query": ["who"], "return_score": True}],
        "/search": [{"query": "who"}, {"query": "who", "return_score": True}],
    }
    for path, requests in bodies.items():
        answer = of_route(schema, path)["responses"]["200"]["content"]["application/json"]["schema"]
        whole = answer | {"components": schema["components"]}
        for body in requests:
            found = httpx.post(f"{address}{path}", json=body).json()
            jsonschema.validate(found, whole, cls=jsonschema.Draft202012Validator)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"detail": "x"}, whole, cls=jsonschema.Draft202012Validator)


@pytest.mark.parametrize("name", ["dense", "bm25"])
def test_the_server_says_in_plain_text_what_it_reads(place, name):
    with served(searcher_of(place, name)) as address:
        answer = httpx.get(address)
        assert answer.headers["content-type"].startswith("text/plain") and answer.status_code == 200
        assert all(words in answer.text for words in ("/retrieve", "/openapi.json", "96 passages"))
        joined = "`question [SEP] query`" in answer.text and "`questions`" in answer.text
        assert joined == (name == "dense")
        for page in ("docs", "redoc"):  # which load their scripts from elsewhere
            assert httpx.get(f"{address}/{page}").status_code == 404
