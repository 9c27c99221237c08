"""A hub that cannot be reached, or that is another server, costs one line and no model."""

import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml
from checkout import ROOT

PINNED = "0123456789abcdef0123456789abcdef01234567"
STAGES = {
    "base": "--agent models/agent/0 --judge models/judge --metrics m.json",
    "encoder": "--passages p.jsonl --output models/retriever/0 --metrics m.json",
    "baseline": "--name b --output models/retriever/b --metrics m.json",
    "guest": "--name g --output models/agent/g --metrics m.json",
    "tools.fetch": "",
}
FOLDERS = ("agent/0", "judge", "retriever/0", "retriever/b", "agent/g")


@contextmanager
def server(status: int):
    """A server that is no hub: it answers all with one page, or (0) hangs up."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            if status:
                self.send_response(status)
                self.send_header("Content-Length", "18")
                self.end_headers()
                self.wfile.write(b"<html>Login</html>")

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    page = HTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=page.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{page.server_port}"
    page.shutdown()


@pytest.fixture
def checkout(tmp_path):
    """Models of the run before, and parameters that ask for others of the hub."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    asked = {"model": "some/model", "revision": PINNED}
    params["base"]["judge"] |= asked
    params["base"]["agent"] |= asked
    params["encoder"] |= asked
    params["baseline"] = {"b": asked}
    params["guest"] = {"g": asked | {"protocol": str(ROOT / "conf/protocol/tiny.yaml")}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    for name in FOLDERS:
        (tmp_path / "models" / name).mkdir(parents=True)
        (tmp_path / "models" / name / "model.safetensors").write_text("before")
    return tmp_path


def stage(folder: Path, name: str, hub: str, code: int = 2) -> list[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "HF_ENDPOINT": hub,
        "HF_HOME": str(folder / "hf"),
        "HF_HUB_OFFLINE": "0",
    }
    words = [sys.executable, "-m", f"stages.{name}", *STAGES[name].split()]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stderr.splitlines()


def there(folder: Path) -> dict[str, str]:
    files = (folder / "models").rglob("*")
    return {str(f.relative_to(folder)): f.read_text() for f in files if f.is_file()}


@pytest.mark.parametrize("name", STAGES)
def test_a_hub_that_is_away_is_one_line_and_the_models_before_stay(checkout, name):
    before = there(checkout)
    (line,) = stage(checkout, name, "http://127.0.0.1:9")
    assert line.startswith("error: some/model: not on this machine, and the hub failed (")
    assert "Connection refused" in line
    assert there(checkout) == before


@pytest.mark.parametrize("status", [0, 200, 401, 404])
def test_a_server_that_is_no_hub_is_one_line(checkout, status):
    with server(status) as url:
        (line,) = stage(checkout, "tools.fetch", url)
    assert line.startswith("error: some/model: not on this machine, and the hub failed (")


@pytest.mark.parametrize("hub", ["http://nowhere.invalid", "http://[bad", "no address"])
def test_an_address_that_leads_nowhere_is_one_line(checkout, hub):
    (line,) = stage(checkout, "tools.fetch", hub)
    assert line.startswith("error: some/model: not on this machine, and the hub failed (")


def test_what_was_fetched_needs_no_hub(checkout):
    """The layout of the hub's cache: a snapshot by its commit."""
    snapshot = checkout / "hf/hub/models--some--model/snapshots" / PINNED
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    assert stage(checkout, "tools.fetch", "http://127.0.0.1:9", code=0) == []


def test_data_sets_are_fetched_too(checkout):
    params = yaml.safe_load((checkout / "params.yaml").read_text())
    for block in (params["base"]["agent"], params["base"]["judge"], params["encoder"]):
        block["model"] = None
    params |= {"baseline": {}, "guest": {}}
    params["corpus"]["source"], params["questions"]["source"] = "corpus.yaml", "questions.yaml"
    (checkout / "params.yaml").write_text(yaml.safe_dump(params))
    entry = {"hub": "owner/texts", "revision": PINNED, "file": "p.jsonl"}
    (checkout / "corpus.yaml").write_text(yaml.safe_dump({"passages": [entry]}))
    sets = {"train": {"a": entry}, "test": {"a": entry}}
    (checkout / "questions.yaml").write_text(yaml.safe_dump(sets))
    (line,) = stage(checkout, "tools.fetch", "http://127.0.0.1:9")
    assert line.startswith(f"error: owner/texts@{PINNED}/p.jsonl: not on this machine")
