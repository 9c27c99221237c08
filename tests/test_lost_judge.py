"""A judge whose endpoint goes away in the middle of the relevance stage, and comes back."""

import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import label_world as world
import pytest
from judge_server import Served, serving
from label_world import arguments, set_params

from stages import candidates, relevance
from stages.common.records import read_json
from stages.engines import endpoint_generator
from stages.plumbing.errors import InputError


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(endpoint_generator, "PAUSE", 0.01)
    monkeypatch.setattr(endpoint_generator, "TRIES", 3)
    monkeypatch.setattr(relevance, "SHARD", 1)
    world.build(tmp_path)
    world.teach(tmp_path / "judge", world.judging, steps=100)
    candidates.main(arguments("candidates"))
    return tmp_path


@contextmanager
def serving_until(served: Served, requests: int):
    """The server's address; it answers so many requests, then stops, and its port is closed."""
    served.until = requests
    with ExitStack() as stack:
        url = stack.enter_context(serving(served))
        over = threading.Event()

        def watch() -> None:
            while len(served.requests) < requests and not over.is_set():
                time.sleep(0.001)
            stack.close()

        watcher = threading.Thread(target=watch)
        watcher.start()
        yield url
        over.set()
        watcher.join()


def judged(url: str, name: str) -> bytes:
    set_params(compute={"judge_url": url, "threads": 1})
    relevance.main(arguments("relevance", output=f"{name}.jsonl", metrics=f"{name}.json"))
    return Path(f"{name}.jsonl").read_bytes()


def test_a_judge_that_is_lost_and_comes_back_is_as_if_it_had_stayed(place):
    undisturbed, lost, back = (Served("judge", "judge") for _ in range(3))
    with serving(undisturbed) as url:
        expected = judged(url, "undisturbed")
    assert not list(Path("tmp/scratch").iterdir()), "a stage that ends leaves no scratch"
    half = len(undisturbed.requests) // 2
    with (
        serving_until(lost, half) as url,
        pytest.raises(InputError, match=rf"^{url}/v1: no answer after 3 tries \([^\n]*\)$"),
    ):
        judged(url, "again")
    assert not Path("again.jsonl").exists()
    [scratch] = Path("tmp/scratch").iterdir()
    saved = [path.name for path in scratch.iterdir()]
    assert saved, "what was judged is kept"
    with serving(back) as url:  # at another address, which changes no result
        assert judged(url, "again") == expected
    assert read_json("again.json") == read_json("undisturbed.json")
    assert not list(Path("tmp/scratch").iterdir())
    kept = {tuple(body["prompt"]) for body in lost.requests}
    kept -= {tuple(body["prompt"]) for body in back.requests}
    assert kept and len(back.requests) < len(undisturbed.requests)
