"""A real S3 API on loopback (moto's server, in an environment of its own), and what is put there."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import obstore
import obstore.store

from tests.bench.environments import environment

# What the provider's own chain is given: it is no secret here.
KEYS = {"AWS_ACCESS_KEY_ID": "somebody", "AWS_SECRET_ACCESS_KEY": "something", "AWS_REGION": "us-east-1"}


class S3:
    """A running server with one bucket."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.where = ("127.0.0.1", port)
        self.address = f"http://127.0.0.1:{port}"

    def put(self, key: str, data: bytes) -> None:
        kind = {"content-type": "application/octet-stream"}
        asked = urllib.request.Request(f"{self.address}/models/{key}", data, kind, method="PUT")
        with urllib.request.urlopen(asked, timeout=30) as answer:
            assert answer.status == 200

    def remove(self, key: str) -> None:
        asked = urllib.request.Request(f"{self.address}/models/{key}", method="DELETE")
        with urllib.request.urlopen(asked, timeout=30) as answer:
            assert answer.status == 204

    def put_folder(self, prefix: str, folder: Path) -> None:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.put(f"{prefix}/{path.relative_to(folder)}", path.read_bytes())

    def objects(self, prefix: str) -> dict[str, bytes]:
        """Whatever is there below `prefix`, read as whoever has the keys."""
        config = {
            "endpoint": self.address,
            "region": KEYS["AWS_REGION"],
            "access_key_id": KEYS["AWS_ACCESS_KEY_ID"],
            "secret_access_key": KEYS["AWS_SECRET_ACCESS_KEY"],
        }
        store = obstore.store.from_url("s3://models", config=config, client_options={"allow_http": True})
        names = [meta["path"] for part in obstore.list(store, prefix) for meta in part]
        return {name: bytes(obstore.get(store, name).bytes()) for name in names}

    def stop(self) -> None:
        self.process.kill()
        self.process.wait(30)


@contextmanager
def s3() -> Generator[S3]:
    """Raises environments.Missing where it cannot be installed."""
    server = environment("moto", "moto") / "bin" / "moto_server"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(server), "-H", "127.0.0.1", "-p", str(port)]
    with open(os.devnull, "wb") as nowhere:
        process = subprocess.Popen(command, stdout=nowhere, stderr=nowhere)
    found = S3(process, port)
    try:
        _wait_for(found)
        bucket = urllib.request.Request(f"{found.address}/models", method="PUT")
        urllib.request.urlopen(bucket, timeout=120).close()
        yield found
    finally:
        found.stop()


def _wait_for(server: S3) -> None:
    for _ in range(600):
        try:
            socket.create_connection(server.where, 5).close()
            return
        except OSError:
            assert server.process.poll() is None, "it has ended"
            time.sleep(0.1)
    raise AssertionError("it does not answer")
