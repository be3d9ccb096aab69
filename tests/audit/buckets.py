"""An S3 server of somebody else's, moto (Apache-2.0), in a process of its own; and buckets in it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import botocore.session

from ambit.config.runtime.network import free_port

REGION = "eu-central-1"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
START_S = 60
# Apart from what our processes load; `make test` fills it.
PACKAGES = Path(sys.prefix) / "s3"


@dataclass(frozen=True)
class Server:
    """Where the server is, and a client of it."""

    url: str
    client: Any

    def bucket(self, *, locked: bool = True) -> str:
        """Make a bucket and return its name."""
        name = f"b{uuid4().hex}"
        self.client.create_bucket(
            Bucket=name,
            ObjectLockEnabledForBucket=locked,
            CreateBucketConfiguration={"LocationConstraint": REGION},
        )
        return name

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        """Return the names of a bucket's objects, in order."""
        found = self.client.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
        return sorted(one["Key"] for one in found)

    def read(self, bucket: str, key: str) -> str:
        """Return an object."""
        return str(self.client.get_object(Bucket=bucket, Key=key)["Body"].read().decode())

    def download(self, bucket: str, prefix: str, folder: Path) -> Path:
        """Copy a tenant's objects into a folder, as `aws s3 cp --recursive` does."""
        folder.mkdir()
        for key in self.keys(bucket, prefix):
            (folder / key.rpartition("/")[2]).write_text(self.read(bucket, key))
        return folder


@contextmanager
def s3_server() -> Iterator[Server]:
    """Run the server until the block ends."""
    assert PACKAGES.is_dir(), f"no S3 server in {PACKAGES}: `make test` installs it"
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        env={**os.environ, **CREDENTIALS, "PYTHONPATH": str(PACKAGES)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(port, process)
        yield Server(f"http://127.0.0.1:{port}", _client(f"http://127.0.0.1:{port}"))
    finally:
        process.kill()
        process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError("the S3 server did not start")


def _client(url: str) -> Any:
    return botocore.session.get_session().create_client(
        "s3",
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    )
