"""A small V2 server in this process, over HTTP and gRPC: it says what the test has written down.

`answers` maps a path (HTTP) or a method's name (gRPC) to what is answered there.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple

import grpc.aio
from aiohttp import web


class Asked(NamedTuple):
    """A request as it came."""

    path: str
    body: bytes
    headers: dict[str, str]


class HttpUpstream:
    """Unwritten paths are 404. `asked` are all requests so far."""

    def __init__(self) -> None:
        self.answers: dict[str, Callable[[], Awaitable[web.StreamResponse]]] = {}
        self.asked: list[Asked] = []
        self.url = ""
        self._let_go = asyncio.Event()

    def say(
        self, path: str, document: Any = None, *, status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        """Answers `document` as JSON, or as it is where it is bytes."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()

        async def answer() -> web.StreamResponse:
            return web.Response(body=body, status=status, headers=headers)

        self.answers[path] = answer

    def hang(self, path: str) -> asyncio.Event:
        """Answers 500 after `let_go` alone; the event is set once its caller has gone, or then."""
        gone, self._let_go = asyncio.Event(), asyncio.Event()
        let_go = self._let_go

        async def answer() -> web.StreamResponse:
            try:
                await let_go.wait()
            finally:
                gone.set()
            return web.Response(status=500)

        self.answers[path] = answer
        return gone

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[HttpUpstream, None]:
        """It listens on a port of loopback meanwhile."""
        app = web.Application(client_max_size=1 << 24)
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(Asked(request.path, await request.read(), dict(request.headers)))
        answer = self.answers.get(request.path)
        return (
            web.Response(status=404, body=b'{"error": "no such thing"}') if answer is None else await answer()
        )


class Served(HttpUpstream):
    """One on a loop in another thread, with a model `m` of FP32 [2] to FP32 [2] that answers 3 and 4."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._stack = AsyncExitStack()
        tensor = {"datatype": "FP32", "shape": [2]}
        self.say("/v2", {"extensions": []})
        self.say("/v2/models/m", {"inputs": [{"name": "X", **tensor}], "outputs": [{"name": "Y", **tensor}]})
        self.say("/v2/models/m/infer", {"outputs": [{"name": "Y", **tensor, "data": [3, 4]}]})
        self.say("/v2/health/ready", b"")
        self.say("/v2/models/m/ready", b"")

    def __enter__(self) -> Served:
        self._thread.start()
        self.settle(self._stack.enter_async_context(self.running()))
        return self

    def __exit__(self, *_: object) -> None:
        self.settle(self._stack.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def settle(self, work: Coroutine[Any, Any, Any]) -> Any:
        """What it comes to on that loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def hang_now(self, path: str) -> asyncio.Event:
        """As `hang`, from another thread."""

        async def hang() -> asyncio.Event:
            return self.hang(path)

        gone: asyncio.Event = self.settle(hang())
        return gone

    def let_go(self) -> None:
        """What hangs is answered with 500."""
        self._loop.call_soon_threadsafe(self._let_go.set)


class GrpcUpstream:
    """Unwritten methods are UNIMPLEMENTED. `answers` are bytes, or a status with its text and trailers."""

    def __init__(self) -> None:
        self.answers: dict[str, bytes | tuple[grpc.StatusCode, str, tuple[tuple[str, str], ...]]] = {}
        self.asked: list[Asked] = []
        self.hanging: set[str] = set()
        self.gone = asyncio.Event()
        self.target = ""
        self.server: Any = None

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[GrpcUpstream, None]:
        """It listens on a port of loopback meanwhile."""
        self.server = grpc.aio.server()
        self.server.add_generic_rpc_handlers((_Handlers(self),))
        port = self.server.add_insecure_port("127.0.0.1:0")
        await self.server.start()
        self.target = f"grpc://127.0.0.1:{port}"
        try:
            yield self
        finally:
            await self.server.stop(None)

    async def answer(self, method: str, message: bytes, context: Any) -> bytes:
        """What a call of `method` gets."""
        metadata = {str(key): str(value) for key, value in context.invocation_metadata()}
        self.asked.append(Asked(method, message, metadata))
        if method in self.hanging:
            try:
                await asyncio.Event().wait()
            finally:
                self.gone.set()
        answer = self.answers.get(method, (grpc.StatusCode.UNIMPLEMENTED, "no such method", ()))
        if isinstance(answer, bytes):
            return answer
        context.set_trailing_metadata(answer[2])
        await context.abort(answer[0], answer[1])
        raise AssertionError("abort raises")


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, upstream: GrpcUpstream) -> None:
        self._upstream = upstream

    def service(self, details: Any) -> Any:
        method = details.method.rpartition("/")[2]

        async def answer(message: bytes, context: Any) -> bytes:
            return await self._upstream.answer(method, message, context)

        return grpc.unary_unary_rpc_method_handler(answer)
