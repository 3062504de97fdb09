"""A bridge to an ASGI 3 application, for everything that is not a hot path.

DESIGN: three servers were looked at before this was written (pyvoy, uvicorn with zttp, hypercorn). What
broke in them is what is promised here: `receive` truly waits for the client to go; `send` waits until
the client takes bytes, and raises a fresh error for each call when it is gone (a shared one collects
tracebacks, with all their locals, for ever); an application that raises, or returns without answering,
is answered for; a path that is not UTF-8 is served.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import unquote_to_bytes

from gateway.core.errors import GatewayError, Reason
from gateway.core.messages import Lease
from gateway.core.tensor import Buffer
from gateway.wire.exchange import Exchange, Head, Headers, Receiver
from gateway.wire.http1.encoding import JSON, error_body

LOG = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# Bytes of a request's body that may wait for the application before its client must.
HIGH_BYTES = 256 << 10

_STATUS = {Reason.TOO_LARGE: 413, Reason.REQUEST_TIMEOUT: 408}
# The connection's business, in either protocol; an application has no say in it.
_HOP_BY_HOP = frozenset((b"connection", b"keep-alive", b"transfer-encoding", b"upgrade", b"proxy-connection"))


class ClientDisconnect(OSError):
    """`send` was called though the client has gone."""


class AsgiEndpoint:
    """Serves `app`; every request runs in a task that belongs to this endpoint until `aclose`."""

    whole = False

    def __init__(self, app: App, max_body_bytes: int) -> None:
        self.max_body_bytes = max_body_bytes
        self._app = app
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self, exchange: Exchange) -> Receiver:
        """Starts the application on a request; must be called with the loop running."""
        cycle = _Cycle(exchange)
        name = f"asgi {exchange.head.method.decode()}"
        task = asyncio.get_running_loop().create_task(cycle.run(self._app), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return cycle

    def handle(self, exchange: Exchange, body: Buffer, lease: Lease | None) -> None:
        """Never called: the body is streamed."""
        raise NotImplementedError

    def refuse(self, exchange: Exchange, error: GatewayError) -> None:
        exchange.respond(_STATUS.get(error.reason, 400), JSON, error_body(error.text))

    def body_size(self, head: Head, first: Buffer) -> int | None:
        return None

    def payload_offset(self, head: Head) -> int:
        return 0

    @property
    def in_flight(self) -> int:
        """Requests the application is working on."""
        return len(self._tasks)

    async def aclose(self) -> None:
        """Cancels what is still running and waits for its end; call it after the listener's drain."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Cycle:
    """One request between an exchange and an application: a Receiver on one side, ASGI on the other."""

    __slots__ = (
        "_exchange",
        "_has_begun",
        "_is_complete",
        "_is_paused",
        "_is_told",
        "_moved",
        "_pieces",
        "_start",
    )

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        # Set when anything may have changed that `receive` or `send` waits for.
        self._moved = asyncio.Event()
        exchange.on_gone = self._moved.set
        exchange.on_writable = self._moved.set
        self._pieces = bytearray()  # of the body, not yet received by the application
        self._is_paused = False
        self._is_complete = False  # the body has come to its end
        self._is_told = False  # and the application knows
        self._start: tuple[int, Headers] | None = None  # said by the application, not yet sent
        self._has_begun = False  # something was sent

    # ---- from the wire ----

    def on_data(self, data: bytes) -> None:
        self._pieces += data
        if len(self._pieces) > HIGH_BYTES and not self._is_paused:
            self._is_paused = True
            self._exchange.pause_reading()
        self._moved.set()

    def on_end(self) -> None:
        self._is_complete = True
        self._moved.set()

    # ---- the application's side ----

    async def run(self, app: App) -> None:
        """Runs the application and sees to it that the client gets an answer."""
        exchange = self._exchange
        try:
            await app(_scope(exchange), self.receive, self.send)
            if exchange.is_open:
                LOG.error("the application returned without a whole answer")
                self._fail()
        except ClientDisconnect:
            LOG.debug("the client went before its answer was complete")
        except asyncio.CancelledError:
            exchange.abort()
            raise
        except Exception:
            LOG.exception("the application failed")
            self._fail()

    async def receive(self) -> Message:
        """The next of the body; after it, waits until the client has gone or has its answer."""
        while self._exchange.is_open:
            if self._pieces or (self._is_complete and not self._is_told):
                return self._next_request()
            self._moved.clear()
            await self._moved.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Sends a piece of the answer and waits until there is room for more."""
        if not self._exchange.is_open:
            raise ClientDisconnect("the client has gone")
        kind = message["type"]
        if kind == "http.response.start" and self._start is None and not self._has_begun:
            self._start = (message["status"], _sendable(message.get("headers", ())))
        elif kind == "http.response.body" and (self._start is not None or self._has_begun):
            await self._send_body(message.get("body", b""), more=message.get("more_body", False))
        else:
            raise RuntimeError(f"unexpected ASGI message {kind!r}")

    async def _send_body(self, body: Buffer, *, more: bool) -> None:
        exchange, start = self._exchange, self._start
        if start is not None:
            status, headers = start
            if not more and exchange.head.method != b"HEAD":
                exchange.respond(status, _without_length(headers), body)
                self._moved.set()
                return
            exchange.start(status, headers)
            self._start, self._has_begun = None, True
        exchange.write(body)
        if not more:
            exchange.finish()
            self._moved.set()
            return
        while not exchange.is_writable:
            self._moved.clear()
            await self._moved.wait()
        if not exchange.is_open:
            raise ClientDisconnect("the client has gone")

    def _next_request(self) -> Message:
        body = bytes(self._pieces)
        self._pieces.clear()
        self._is_told = self._is_complete
        if self._is_paused:
            self._is_paused = False
            self._exchange.resume_reading()
        return {"type": "http.request", "body": body, "more_body": not self._is_told}

    def _fail(self) -> None:
        if self._has_begun:
            self._exchange.abort()
        else:
            self._exchange.respond(500, JSON, error_body("internal error"))


def _scope(exchange: Exchange) -> Scope:
    head = exchange.head
    headers = [(name, value) for name, value in head.headers]
    if head.http_version == "2" and head.get(b"host") is None:
        headers.insert(0, (b"host", head.authority))
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": head.http_version,
        "method": head.method.decode("ascii"),
        "scheme": head.scheme.decode("ascii"),
        "path": unquote_to_bytes(head.path).decode("utf-8", "replace"),
        "raw_path": head.path,
        "query_string": head.query,
        "root_path": "",
        "headers": headers,
        "client": exchange.peer.address,
        "server": None,
        "extensions": {},
    }


def _sendable(headers: Iterable[Iterable[bytes]]) -> Headers:
    pairs = [tuple(pair) for pair in headers]
    return tuple(
        (bytes(name).lower(), bytes(value)) for name, value in pairs if name.lower() not in _HOP_BY_HOP
    )


def _without_length(headers: Headers) -> Headers:
    return tuple(pair for pair in headers if pair[0] != b"content-length")
