"""A client of the admin API, for the commands of operators: one connection, one token, one line per fault."""

from __future__ import annotations

import http.client
import json
import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Protocol
from urllib.parse import urlsplit

import typer

from gateway.admin.doorkeeper import read_token
from gateway.admin.operations import BASE

Server = Annotated[
    str,
    typer.Option(
        "--server", "-s", help="The admin API: http(s)://host:port, of a gateway with [admin] uploads."
    ),
]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--token-file", help="File with the operator's token; else the variable GATEWAY_ADMIN_TOKEN."
    ),
]
TIMEOUT_S = 300.0
_VARIABLE = "GATEWAY_ADMIN_TOKEN"


class OperatorError(Exception):
    """What the command says before it ends; `is_lost`: the connection failed, and may do better next time."""

    def __init__(self, text: str, *, is_lost: bool = False) -> None:
        super().__init__(text)
        self.is_lost = is_lost


class Readable(Protocol):
    """A body that is read as it is sent."""

    def read(self, size: int = -1, /) -> bytes: ...


class Reply(NamedTuple):
    """What was answered."""

    status: int
    body: Any
    headers: Mapping[str, str]


class Operator:
    """Asks one gateway; its methods raise OperatorError. Use it as a context manager."""

    def __init__(self, server: str, token_file: Path | None) -> None:
        told = urlsplit(server)
        if told.scheme not in {"http", "https"} or not told.hostname or told.path.strip("/") or told.username:
            raise OperatorError("--server must be like http://127.0.0.1:8080")
        self._token = _token(token_file)
        if self._token and told.scheme == "http" and told.hostname not in {"127.0.0.1", "localhost", "::1"}:
            raise OperatorError("a token is not sent in the clear beyond this machine: use https")
        self._where = (told.scheme, told.hostname, told.port)
        self._open: http.client.HTTPConnection | None = None

    def __enter__(self) -> Operator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | Readable | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """One request; raises OperatorError for whatever is not answered 2xx or 409."""
        told = {"authorization": f"Bearer {self._token}"} if self._token else {}
        try:
            if self._open is None:
                self._open = _connection(*self._where)
            self._open.request(method, BASE + path, body, {**told, **(headers or {})})
            answer = self._open.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            text = f"the gateway cannot be reached: {str(error) or type(error).__name__}"
            raise OperatorError(text, is_lost=True) from None
        kinds = {name.lower(): value for name, value in answer.getheaders()}
        found = _decoded(data, kinds.get("content-type", ""))
        if answer.status >= 300 and answer.status != 409:
            raise OperatorError(_fault(found, answer.status), is_lost=answer.status in {502, 503, 504})
        return Reply(answer.status, found, kinds)

    def close(self) -> None:
        """Lets the connection go; the next question makes another."""
        if self._open is not None:
            self._open.close()
            self._open = None


def _connection(scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
    if scheme == "https":
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=context)
    return http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)


def _token(file: Path | None) -> str:
    if file is None:
        return os.environ.get(_VARIABLE, "")
    try:
        return read_token(file)
    except OSError as error:
        raise OperatorError(f"--token-file cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise OperatorError(str(error)) from None


def _decoded(data: bytes, kind: str) -> Any:
    if not kind.startswith("application/json"):
        return None
    try:
        return json.loads(data)
    except ValueError:
        raise OperatorError("the answer is no JSON: is this the admin API of a gateway?") from None


def _fault(body: Any, status: int) -> str:
    text = body.get("error") if isinstance(body, dict) else None
    return str(text) if text else f"the gateway answers with status {status}"
