"""The client of the admin API: what it sends, and what it makes of answers."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Generator
from pathlib import Path

import pytest

from gateway.cli.operator import Operator, OperatorError

TOKEN = "0123456789abcdef"


class Page(http.server.BaseHTTPRequestHandler):
    """Answers as the path says: /status/kind."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        _, status, kind = self.path.removeprefix("/admin/v1").split("/")
        body = json.dumps({"error": "no good", "token": self.headers.get("authorization", "")}).encode()
        body = b"<html>" if kind == "html" else body
        self.send_response(int(status))
        self.send_header("Content-Type", "text/html" if kind == "html" else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if kind != "broken" else b"{" * len(body))

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def server() -> Generator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as page:
        thread = threading.Thread(target=page.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{page.server_address[1]}"
        page.shutdown()
        thread.join()


def test_answers_and_refusals(server: str) -> None:
    with Operator(server, None) as operator:
        assert operator.ask("GET", "/200/json").body["error"] == "no good"
        assert operator.ask("GET", "/409/json").status == 409
        assert operator.ask("GET", "/200/html").body is None
        for path, words, is_lost in (
            ("/404/json", "no good", False),
            ("/503/json", "no good", True),
            ("/502/html", "status 502", True),
            ("/200/broken", "is no JSON", False),
        ):
            with pytest.raises(OperatorError, match=words) as caught:
                operator.ask("GET", path)
            assert caught.value.is_lost == is_lost


def test_the_token_comes_from_a_file_or_the_environment(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    with Operator(server, tmp_path / "token") as operator:
        assert operator.ask("GET", "/200/json").body["token"] == f"Bearer {TOKEN}"
    monkeypatch.setenv("GATEWAY_ADMIN_TOKEN", "another token of it")
    with Operator(server, None) as operator:
        assert operator.ask("GET", "/200/json").body["token"] == "Bearer another token of it"
    with pytest.raises(OperatorError, match="cannot be read"):
        Operator(server, tmp_path / "none")


@pytest.mark.parametrize("server", ["x", "http://", "http://u@h:1", "http://h/path", "unix:///x"])
def test_servers_that_are_none(server: str) -> None:
    with pytest.raises(OperatorError, match="must be like"):
        Operator(server, None)


def test_who_is_not_there_is_lost() -> None:
    with Operator("http://127.0.0.1:1", None) as operator, pytest.raises(OperatorError) as caught:
        operator.ask("GET", "/models")
    assert caught.value.is_lost
