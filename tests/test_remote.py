"""A remote shared by two people: push, pull elsewhere, nothing runs again, on a real S3 server.

The pipeline is a small one of the same form (an output that is pushed, an index that is not, a
stage with parameters); what the whole flywheel does with a remote: docs/reliability.md.
"""

from pathlib import Path

import checkout
import pytest
import yaml
from checkout import stages_run

KEYS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_EC2_METADATA_DISABLED": "1",
}
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


def command(folder: Path, *words: str) -> str:
    return checkout.command(folder, *words, **KEYS)


@pytest.fixture(scope="module")
def bucket():
    """Address of an S3 server on loopback with an empty bucket."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    client = boto3.client(
        "s3",
        endpoint_url=address,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    client.create_bucket(Bucket="shared")
    yield address, client
    server.stop()


def with_remote(folder: Path, address: str) -> Path:
    command(folder, "dvc", "remote", "add", "--local", "--default", "shared", "s3://shared/dvc")
    command(folder, "dvc", "remote", "modify", "--local", "shared", "endpointurl", address)
    return folder


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
