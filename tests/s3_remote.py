"""A DVC remote for tests: a real S3 server on loopback, and commands that use it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import checkout

KEYS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_EC2_METADATA_DISABLED": "1",
}


def command(folder: Path, *words: str) -> str:
    """What a command prints, which may use the remote and must succeed."""
    return checkout.command(folder, *words, **KEYS)


@contextmanager
def s3_server() -> Iterator[tuple[str, object]]:
    """Address of an S3 server on loopback with an empty bucket `shared`, and a client of it."""
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
    """The repository `folder`, now with the bucket as its remote."""
    command(folder, "dvc", "remote", "add", "--local", "--default", "shared", "s3://shared/dvc")
    command(folder, "dvc", "remote", "modify", "--local", "shared", "endpointurl", address)
    return folder
