"""Keys of the environment, passwords of addresses: in no file that is written, nor printed."""

import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import flywheel_files
import pytest
import yaml
from judge_server import Served, serving
from omegaconf import OmegaConf
from rollout_models import make_model, make_tokenizer, save

from stages.engines import endpoint_generator
from stages.engines.endpoint_generator import EndpointGenerator
from stages.plumbing.addresses import shown
from stages.plumbing.errors import InputError
from stages.retrieval.searcher import SearchRequest
from stages.serving import client

ROOT = Path(__file__).parents[1]
SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "aws0secret",
    "AWS_SESSION_TOKEN": "aws0session",
    "HF_TOKEN": "hf0token",
    "OPENAI_API_KEY": "openai0key",
    "MLFLOW_TRACKING_PASSWORD": "mlflow0word",
}
PASSWORD, REMOTE = "judge0word", "git0token"
PATTERNS = {
    "AWS": r"\bA(KI|SI)A[0-9A-Z]{16}\b",
    "hub": r"\bhf_[A-Za-z0-9]{30,}",
    "OpenAI": r"\bsk-[A-Za-z0-9_-]{20,}",
    "GitHub": r"\b(gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,})",
    "Google": r"\bAIza[0-9A-Za-z_-]{35}",
    "Slack": r"\bxox[abprs]-[0-9A-Za-z-]{10,}",
    "private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "assigned": r"(?i)(access_key|api_key|password|token)[\"']?\s*[:=]\s*[\"'][^\"'\s{$]{16,}",
}


@pytest.fixture
def flywheel(tmp_path):
    """A flywheel's files, in a git repository whose remote holds a token."""
    folder = tmp_path / "repo"
    flywheel_files.write_flywheel(folder, questions=6)
    params = OmegaConf.structured(flywheel_files.params())
    params.compute.judge_url = f"http://me:{PASSWORD}@127.0.0.1:9/v1"
    OmegaConf.save(params, folder / "params.yaml")
    remote = f"https://me:{REMOTE}@example.org/repo.git"
    for words in (["init", "-q"], ["remote", "add", "origin", remote]):
        subprocess.run(["git", *words], cwd=folder, check=True)
    return folder


def test_the_report_and_mlflow_hold_no_secret(flywheel):
    """The stage that writes most: page, tables, MLflow's runs and traces."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    words = [sys.executable, *stages["report"]["cmd"].split()[1:]]
    environment = {**os.environ, **SECRETS, "PYTHONPATH": str(ROOT), "DVC_STAGE": "report"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    done = subprocess.run(words, cwd=flywheel, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with sqlite3.connect(flywheel / "mlflow.db") as store:
        assert store.execute("SELECT count(*) FROM runs").fetchone()[0] == 3
        assert store.execute("SELECT count(*) FROM trace_info").fetchone()[0]
    written = {path: path.read_bytes() for path in flywheel.rglob("*") if path.is_file()}
    for path in (flywheel / "params.yaml", flywheel / ".git/config"):  # the user's own
        del written[path]
    assert flywheel / "tmp/usage.jsonl" in written
    for secret in (*SECRETS.values(), PASSWORD, REMOTE):
        assert secret not in done.stdout + done.stderr
        assert [path for path, data in written.items() if secret.encode() in data] == []


def test_what_is_computed_where_is_in_no_lock_file():
    """`compute` holds addresses: no stage depends on it, so DVC copies none of it."""
    stages = yaml.safe_load((ROOT / "dvc.lock").read_text())["stages"]
    tracked = {
        key.partition(".")[0]
        for entry in stages.values()
        for block in entry.get("params", {}).values()
        for key in block
    }
    assert "retriever" in tracked and "compute" not in tracked


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    tokenizer = make_tokenizer()
    return save(make_model("qwen2", tokenizer), tokenizer, tmp_path_factory.mktemp("m") / "judge")


def with_password(url: str) -> str:
    return url.replace("://", f"://me:{PASSWORD}@")


@pytest.mark.parametrize("state", ["away", "busy", "refuses", "serves another"])
def test_a_judges_password_is_in_no_error(judge, monkeypatch, state):
    monkeypatch.setattr(endpoint_generator, "PAUSE", 0.01)
    monkeypatch.setattr(endpoint_generator, "TRIES", 2)
    monkeypatch.setenv(endpoint_generator.API_KEY, SECRETS["OPENAI_API_KEY"])
    served = Served(judge, "another" if state == "serves another" else "judge")
    with serving(served) as url:
        served.failing = 99 if state == "busy" else 0
        served.api_key = "other" if state == "refuses" else None
        asked = "http://127.0.0.1:9" if state == "away" else url
        with pytest.raises(InputError) as error:
            EndpointGenerator(judge, with_password(asked))
    assert str(error.value).startswith(f"{asked}/v1")
    assert PASSWORD not in str(error.value) and SECRETS["OPENAI_API_KEY"] not in str(error.value)


def test_a_retriever_servers_password_is_in_no_error(monkeypatch):
    monkeypatch.setattr(client, "WAITS", (0,))
    remote = client.HttpSearcher(with_password("http://127.0.0.1:9"))
    with pytest.raises(InputError, match=r"^http://127\.0\.0\.1:9: no retriever") as error:
        remote.search([SearchRequest(None, (), "q")], 1)
    assert PASSWORD not in str(error.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://host:1/v1", "http://host:1/v1"),
        ("http://me:a@b@host/x@y", "http://host/x@y"),
        ("no http://me@a and https://u:p@b/", "no http://a and https://b/"),
        ("me@example.org", "me@example.org"),
    ],
)
def test_addresses_are_shown_without_who_asks(text, expected):
    assert shown(text) == expected


def keys_in(text: str) -> list[str]:
    return [name for name, pattern in PATTERNS.items() if re.search(pattern, text)]


def test_no_tracked_file_holds_a_key():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    names = list(filter(None, listed.stdout.decode().split("\0")))
    data = {name: (ROOT / name).read_bytes() for name in names if (ROOT / name).is_file()}
    texts = {name: found.decode() for name, found in data.items() if b"\0" not in found}
    assert len(texts) > 100 and len(data) - len(texts) < 10, "weights alone are no text"
    assert {name: found for name, text in texts.items() if (found := keys_in(text))} == {}


@pytest.mark.parametrize(
    "text",
    [
        "AKIA" + "A1" * 8,
        "hf_" + "a" * 34,
        "sk-" + "a1" * 20,
        "ghp_" + "a" * 36,
        "-----BEGIN RSA " + "PRIVATE KEY-----",
        'api_key = "' + "a" * 20 + '"',
    ],
)
def test_a_key_would_be_seen(text):
    assert keys_in(f"x = {text}\n")
