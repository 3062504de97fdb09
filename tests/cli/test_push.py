"""gateway push against a real gateway, through a line that breaks, and against what is no gateway."""

from __future__ import annotations

import http.server
import os
import socket
import threading
from collections.abc import Generator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.cli.app import app
from tests.bench.serverless import models
from tests.fakes.gateway_process import Gateway, gateway
from tests.fakes.waiting import until_blocking
from tests.processes.test_uploads import REQUEST, admin_port, environment

CONFIG = "max_batch_size: 8\nversion_policy { all { } }\n"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def served(root: Path) -> Generator[Gateway]:
    with gateway(root, "--insecure-dev", environment=environment(root)) as running:
        yield running


@pytest.fixture
def version(tmp_path: Path) -> Path:
    models.many(tmp_path / "source", 1)
    return tmp_path / "source" / "m0" / "1"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def push(port: int, folder: Path, name: str, number: int, *more: str) -> Result:
    server = f"http://127.0.0.1:{port}"
    return run("push", str(folder), "--name", name, "--version", str(number), "--server", server, *more)


def test_a_version_is_sent_named_and_served(served: Gateway, version: Path, tmp_path: Path) -> None:
    (tmp_path / "config.pbtxt").write_text(CONFIG)
    more = ("--config", str(tmp_path / "config.pbtxt"), "--label", "stable")
    sent = push(admin_port(served), version, "sent", 1, *more)
    assert sent.exit_code == 0, sent.output
    assert "sent/1: sent" in sent.output
    until_blocking(lambda: served.infer("sent", REQUEST)[0] == 200)
    until_blocking(lambda: served.ask("/v2/models/sent/versions/stable/infer", REQUEST)[0] == 200)
    assert "is there already, the same" in push(admin_port(served), version, "sent", 1, *more).output
    (version / "model.onnx").write_bytes(b"other")
    assert "is there already, with other files" in push(admin_port(served), version, "sent", 1).output
    shown = run("models", "--server", f"http://127.0.0.1:{admin_port(served)}")
    assert shown.exit_code == 0
    assert "sent" in shown.output
    assert "ready" in shown.output


class Breaking:
    """A line to `port` on which every connection is cut after so many bytes, `times` times."""

    def __init__(self, port: int, after_bytes: int, times: int) -> None:
        self._port, self._after, self._left = port, after_bytes, times
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.cut = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                theirs, _ = self._listener.accept()
            except OSError:
                return
            ours = socket.create_connection(("127.0.0.1", self._port))
            threading.Thread(target=self._carry, args=(ours, theirs, False), daemon=True).start()
            threading.Thread(target=self._carry, args=(theirs, ours, True), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, is_cut: bool) -> None:
        came = 0
        while True:
            try:
                data = source.recv(65_536)
                target.sendall(data)
            except OSError:
                data = b""
            came += len(data)
            if is_cut and came > self._after and self._left:
                self._left -= 1
                self.cut += 1
                data = b""
            if not data:
                for one in (source, target):
                    one.close()
                return


def test_it_goes_on_when_the_line_breaks(
    served: Gateway, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.cli.push.PAUSE_S", 0.01)
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "model.onnx").write_bytes(os.urandom(3 << 20))
    line = Breaking(admin_port(served), 700_000, 3)
    sent = push(line.port, tmp_path / "v", "broken", 1)
    line.close()
    assert sent.exit_code == 0, sent.output
    assert line.cut == 3
    assert (root / "broken/1/model.onnx").read_bytes() == (tmp_path / "v" / "model.onnx").read_bytes()


def test_what_cannot_be_sent(served: Gateway, version: Path, tmp_path: Path) -> None:
    port = admin_port(served)
    (tmp_path / "empty").mkdir()
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "model.onnx").symlink_to(version / "model.onnx")
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "model.py").write_text("")
    for folder, words in (
        ("empty", "has no files"),
        ("linked", "is a link"),
        ("code", "carry code"),
        ("none", "is no folder"),
    ):
        refused = push(port, tmp_path / folder, "x", 1)
        assert (refused.exit_code, words in refused.output) == (2, True), refused.output
    for name in ("..", "a b"):
        assert push(port, version, name, 1).exit_code == 2
    (tmp_path / "bad.pbtxt").write_text("max_batch_size: many")
    refused = push(port, version, "x", 1, "--config", str(tmp_path / "bad.pbtxt"))
    assert (refused.exit_code, "config.pbtxt" in refused.output) == (2, True)


def test_servers_that_are_none(version: Path, tmp_path: Path) -> None:
    for server, words in (
        ("127.0.0.1:8080", "must be like"),
        ("ftp://x", "must be like"),
        ("http://127.0.0.1:1", "cannot be reached"),
    ):
        for command in (["push", str(version), "-n", "m", "-v", "1", "-s", server], ["models", "-s", server]):
            told = run(*command)
            assert (told.exit_code, words in told.output) == (2, True), told.output
    (tmp_path / "token").write_text("0123456789abcdef0")
    told = run("models", "-s", "http://example.com", "--token-file", str(tmp_path / "token"))
    assert "not sent in the clear" in told.output
    (tmp_path / "weak").write_text("x")
    assert run("models", "-s", "http://127.0.0.1:1", "--token-file", str(tmp_path / "weak")).exit_code == 2
    assert run("models", "--watch").exit_code == 2


def test_a_web_page_is_no_gateway(version: Path) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as page:
        threading.Thread(target=page.serve_forever, daemon=True).start()
        told = push(page.server_address[1], version, "m", 1)
        page.shutdown()
    assert (told.exit_code, "status 501" in told.output) == (2, True), told.output
