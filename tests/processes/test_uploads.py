"""A gateway that versions are sent to: served when they are whole, gone when they are removed."""

from __future__ import annotations

import http.client
import os
import signal
import socket
from pathlib import Path

from tests.bench.serverless import models
from tests.fakes.gateway_process import Gateway, gateway
from tests.fakes.waiting import until_blocking
from tests.repository.test_archives import packed

REQUEST = {"inputs": [{"name": "X", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}


def admin_port(served: Gateway) -> int:
    line = next(one for one in served.out.read_text().splitlines() if one.startswith("  admin"))
    return int(line.split("/admin")[0].rpartition(":")[2])


def asked(port: int, method: str, version: int, body: bytes = b"", **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    path = f"/admin/v1/models/m0/versions/{version}"
    connection.request(method, path, body, {name.replace("_", "-"): text for name, text in headers.items()})
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status, response.headers.get("etag", "")


def environment(root: Path) -> dict[str, str]:
    return {
        "GATEWAY_ADMIN__UPLOADS": str(root),
        "GATEWAY_ADMIN__PORT": "0",
        "GATEWAY_REPOSITORY__POLL_S": "0.1",
    }


def versions(served: Gateway) -> set[tuple[str, str]]:
    _, index, _ = served.ask("/v2/repository/index", {})
    return {(one["name"], one.get("version", "")) for one in index}


def weights(root: Path) -> bytes:
    models.many(root, 1)
    return (root / "m0/1/model.onnx").read_bytes()


def half_sent(port: int) -> socket.socket:
    """A connection on which a body has begun that does not end."""
    connection = socket.create_connection(("127.0.0.1", port))
    head = b"PUT /admin/v1/models/m0/versions/3 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n"
    connection.sendall(head + b"PK\x03\x04" + bytes(50_000))
    return connection


def test_what_is_sent_is_served_and_survives_hostile_and_broken_uploads(tmp_path: Path) -> None:
    content, root = weights(tmp_path / "source"), tmp_path / "models"
    root.mkdir()
    with gateway(root, "--insecure-dev", environment=environment(root)) as served:
        port = admin_port(served)
        archive = packed("tar.gz", {"model.onnx": content})
        assert asked(port, "PUT", 1, archive)[0] == 201
        until_blocking(lambda: ("m0", "1") in versions(served))
        assert served.infer("m0", REQUEST)[0] == 200
        for hostile in (packed("tar", {"../../m1/1/model.onnx": content}), b"noise" * 1000):
            assert asked(port, "PUT", 2, hostile)[0] == 400
        assert asked(port, "PUT", 1, packed("zip", {"model.onnx": b"x"}))[0] == 409
        half_sent(port).close()
        until_blocking(lambda: os.listdir(root / ".uploads") == [])
        assert sorted(os.listdir(root)) == [".uploads", "m0"]
        assert asked(port, "PUT", 2, archive)[0] == 201
        until_blocking(lambda: ("m0", "2") in versions(served))
        tag = asked(port, "GET", 2)[1]
        assert asked(port, "DELETE", 2, If_Match=tag)[0] == 204
        until_blocking(lambda: ("m0", "2") not in versions(served))
        assert served.infer("m0", REQUEST)[0] == 200


def test_killed_in_the_middle_nothing_half_is_served_and_the_next_one_takes_it_whole(tmp_path: Path) -> None:
    archive = packed("zip", {"model.onnx": weights(tmp_path / "source")})
    root = tmp_path / "models"
    root.mkdir()
    with (
        gateway(root, "--insecure-dev", environment=environment(root)) as served,
        half_sent(admin_port(served)),
    ):
        until_blocking(lambda: (root / ".uploads").exists() and bool(os.listdir(root / ".uploads")))
        os.kill(served.process.pid, signal.SIGKILL)
        served.process.wait()
    assert os.listdir(root) == [".uploads"]
    with gateway(root, "--insecure-dev", environment=environment(root)) as served:
        assert os.listdir(root) == []
        assert asked(admin_port(served), "PUT", 1, archive)[0] == 201
        until_blocking(lambda: ("m0", "1") in versions(served))
        assert served.infer("m0", REQUEST)[0] == 200
