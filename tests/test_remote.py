"""A remote shared by two people: push, pull elsewhere, nothing runs again, on a real S3 server.

The pipeline is a small one of the same form (an output that is pushed, an index that is not, a
stage with parameters); tests/remote_round_trip.py does it with the whole flywheel.
"""

import pytest
import yaml
from checkout import stages_run
from s3_remote import command, s3_server, with_remote

pytest.importorskip("boto3", reason="the list for GPUs has no S3 server to test with")

PIPELINE = {
    "stages": {
        "corpus": {"cmd": "python -c \"print('passages')\" > corpus.txt", "outs": ["corpus.txt"]},
        "index": {
            "cmd": "cat corpus.txt corpus.txt > index.txt",
            "deps": ["corpus.txt"],
            "outs": [{"index.txt": {"push": False}}],
        },
        "retriever": {
            "cmd": "cat index.txt params.yaml > retriever.txt",
            "deps": ["index.txt"],
            "params": ["temperature"],
            "outs": ["retriever.txt"],
        },
    }
}


@pytest.fixture(scope="module")
def bucket():
    with s3_server() as server:
        yield server


@pytest.fixture(scope="module")
def pushed(tmp_path_factory, bucket):
    """A repository whose run was pushed, and its output."""
    folder = tmp_path_factory.mktemp("first")
    command(folder, "git", "init", "-q")
    command(folder, "dvc", "init", "-q")
    (folder / "dvc.yaml").write_text(yaml.safe_dump(PIPELINE))
    (folder / "params.yaml").write_text("temperature: 0.01\n")
    with_remote(folder, bucket[0])
    command(folder, "dvc", "repro")
    command(folder, "git", "add", "-A")
    command(folder, "git", "commit", "-qm", "run")
    command(folder, "dvc", "push", "--run-cache")
    return folder


@pytest.fixture
def clone(pushed, bucket, tmp_path):
    """A fresh clone elsewhere, with the remote and an empty cache."""
    command(tmp_path, "git", "clone", "-q", str(pushed), "clone")
    return with_remote(tmp_path / "clone", bucket[0])


def test_the_index_is_not_pushed(pushed, bucket):
    stored = bucket[1].list_objects_v2(Bucket="shared")["Contents"]
    lock = yaml.safe_load((pushed / "dvc.lock").read_text())["stages"]
    digests = {name: entry["outs"][0]["md5"] for name, entry in lock.items()}
    there = {o["Key"].removeprefix("dvc/files/md5/").replace("/", "") for o in stored}
    assert digests["corpus"] in there and digests["retriever"] in there
    assert digests["index"] not in there


def test_a_clone_pulls_and_runs_nothing(clone, pushed):
    command(clone, "dvc", "pull", "--allow-missing")
    assert (clone / "retriever.txt").read_bytes() == (pushed / "retriever.txt").read_bytes()
    assert stages_run(command(clone, "dvc", "repro", "--allow-missing")) == []
    assert stages_run(command(clone, "dvc", "repro")) == ["index"]  # only what was not pushed
    lock = (clone / "dvc.lock").read_text()
    assert lock == (pushed / "dvc.lock").read_text()


def test_one_artifact_is_pulled_alone(clone):
    command(clone, "dvc", "pull", "retriever.txt")
    assert (clone / "retriever.txt").exists() and not (clone / "corpus.txt").exists()


def test_what_a_colleague_ran_comes_from_the_run_cache(clone, pushed):
    (pushed / "params.yaml").write_text("temperature: 0.05\n")
    command(pushed, "dvc", "repro")
    command(pushed, "dvc", "push", "--run-cache")
    command(clone, "dvc", "pull", "--run-cache", "--allow-missing")
    (clone / "params.yaml").write_text("temperature: 0.05\n")
    output = command(clone, "dvc", "repro", "--pull")
    assert "Stage 'retriever' is cached - skipping run" in output
    assert (clone / "retriever.txt").read_bytes() == (pushed / "retriever.txt").read_bytes()


def test_credentials_stay_out_of_git(clone):
    tracked = command(clone, "git", "ls-files").split()
    assert ".dvc/config.local" not in tracked
    assert "shared" not in (clone / ".dvc/config").read_text()
