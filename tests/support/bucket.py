"""An S3 server of the tests' own, moto's, in a process of its own."""

import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import boto3
from waiting import free_port, wait_until

KEYS: Final = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
_START_S: Final = 120.0  # on a loaded machine


class Bucket:
    """A bucket on a running server."""

    def __init__(self, endpoint: str, name: str) -> None:
        self.endpoint, self.name = endpoint, name
        self._client: Any = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        )
        self._client.create_bucket(Bucket=name)

    def names(self, prefix: str = "") -> list[str]:
        """Return the names of all that lies below."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def write(self, name: str, content: bytes) -> None:
        """Store bytes."""
        self._client.put_object(Bucket=self.name, Key=name, Body=content)

    def read(self, name: str) -> bytes:
        """Return what is stored."""
        content: bytes = self._client.get_object(Bucket=self.name, Key=name)["Body"].read()
        return content

    def fetch(self, prefix: str, folder: Path) -> None:
        """Copy what lies below into a folder, by the same names."""
        for name in self.names(prefix):
            path = folder / name.removeprefix(prefix)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.read(name))


@contextmanager
def s3_server() -> Iterator[str]:
    """Run a server; give its endpoint, and the keys to it in the environment."""
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    command = [str(Path(sys.executable).with_name("moto_server")), "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    before = {name: os.environ.get(name) for name in KEYS}
    os.environ.update(KEYS)
    try:
        wait_until(lambda: server.poll() is not None or _answers(endpoint), _START_S, "moto_server starts", look_s=0.1)
        assert server.poll() is None, "moto_server does not start"
        yield endpoint
    finally:
        server.kill()
        server.wait()
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def _answers(endpoint: str) -> bool:
    try:
        with urllib.request.urlopen(f"{endpoint}/moto-api/", timeout=5):
            return True
    except OSError:
        return False
