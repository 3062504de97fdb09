from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from gateway.core.errors import InvalidInput, RequestTimeout, TooLarge
from gateway.wire.asgi import HIGH_BYTES, App, AsgiEndpoint, ClientDisconnect, Message, Receive, Scope, Send
from gateway.wire.exchange import Head
from tests.fakes.http1 import Http1, chunked, get, post
from tests.fakes.services import RoutingService, WholeEndpoint
from tests.fakes.waiting import until


def run(scenario: Callable[..., Awaitable[None]], app: App | None = None, **settings: Any) -> None:
    """Runs `scenario(http, endpoint)` on a loop; nothing may be left behind."""

    async def main() -> None:
        endpoint = AsgiEndpoint(app or starlette_app(), 1 << 20)
        http = Http1(RoutingService(endpoint), **settings)
        await scenario(http, endpoint)
        await endpoint.aclose()
        assert endpoint.in_flight == 0

    asyncio.run(main())


def starlette_app() -> App:
    async def echo(request: Request) -> JSONResponse:
        return JSONResponse({"path": request.url.path, "body": (await request.body()).decode()})

    async def stream(request: Request) -> StreamingResponse:
        async def parts():  # type: ignore[no-untyped-def]
            for number in range(3):
                yield f"part {number};"

        return StreamingResponse(parts())

    async def broken(request: Request) -> JSONResponse:
        raise ZeroDivisionError

    return Starlette(
        routes=[
            Route("/stream", stream),
            Route("/broken", broken),
            Route("/{rest:path}", echo, methods=["GET", "POST", "HEAD"]),
        ]
    )


async def settled(endpoint: AsgiEndpoint) -> None:
    await until(lambda: endpoint.in_flight == 0)


class TestWithStarlette:
    @pytest.mark.parametrize("raw", [post("/a", b"hello"), chunked("/a", b"hel", b"lo")])
    def test_a_request_and_its_answer(self, raw: bytes) -> None:
        async def scenario(http: Http1, endpoint: AsgiEndpoint) -> None:
            for _ in range(2):
                http.send(raw)
                await settled(endpoint)
                answer = http.answer()
                assert answer.body == b'{"path":"/a","body":"hello"}'
                assert answer.headers["content-length"] == "28"
            assert http.connection.is_idle

        run(scenario)

    @pytest.mark.parametrize(
        ("target", "path"), [("/%ff", "/\ufffd"), ("/caf%C3%A9", "/caf\u00e9"), ("/%zz", "/%zz")]
    )
    def test_any_path_is_answered(self, target: str, path: str) -> None:
        async def scenario(http: Http1, endpoint: AsgiEndpoint) -> None:
            http.send(get(target))
            await settled(endpoint)
            assert http.answer().status == 200

        run(scenario)

    def test_streams(self) -> None:
        async def scenario(http: Http1, endpoint: AsgiEndpoint) -> None:
            http.send(get("/stream"))
            await settled(endpoint)
            answer = http.answer()
            assert answer.headers["transfer-encoding"] == "chunked"
            assert answer.body == b"part 0;part 1;part 2;"

        run(scenario)

    def test_head_keeps_the_length(self) -> None:
        async def scenario(http: Http1, endpoint: AsgiEndpoint) -> None:
            http.send(get("/a", method="HEAD"))
            await settled(endpoint)
            answer = http.answer(to_head=True)
            assert answer.headers["content-length"] == str(len(b'{"path":"/a","body":""}'))
            assert http.connection.is_idle

        run(scenario)

    def test_an_exception_is_500(self, caplog: pytest.LogCaptureFixture) -> None:
        async def scenario(http: Http1, endpoint: AsgiEndpoint) -> None:
            http.send(get("/broken"))
            await settled(endpoint)
            assert http.answer().status == 500

        with caplog.at_level(logging.ERROR):
            run(scenario)


class TestScope:
    def test_in_full(self) -> None:
        scopes: list[Scope] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            scopes.append(scope)
            await send({"type": "http.response.start", "status": 204})
            await send({"type": "http.response.body"})

        async def scenario(http: Http1, endpoint: AsgiEndpoint) -> None:
            http.send(get("/a%2Fb%C3%A9?q=%20", "X: 1", "x: 2"))
            await settled(endpoint)
            assert http.answer().status == 204

        run(scenario, app)
        assert scopes == [
            {
                "type": "http",
                "asgi": {"version": "3.0", "spec_version": "2.4"},
                "http_version": "1.1",
                "method": "GET",
                "scheme": "http",
                "path": "/a/b\u00e9",
                "raw_path": b"/a%2Fb%C3%A9",
                "query_string": b"q=%20",
                "root_path": "",
                "headers": [(b"host", b"x"), (b"x", b"1"), (b"x", b"2")],
                "client": ("192.0.2.1", 4711),
                "server": None,
                "extensions": {},
            }
        ]

    def test_nobody_says_who_he_is_by_a_header(self) -> None:
        scopes: list[Scope] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            scopes.append(scope)
            await send({"type": "http.response.start", "status": 204})
            await send({"type": "http.response.body"})

        async def scenario(http: Http1, endpoint: AsgiEndpoint) -> None:
            forged = ("X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https", "Forwarded: for=1.2.3.4")
            http.send(get("/", *forged))
            await settled(endpoint)

        run(scenario, app)
        assert (scopes[0]["client"], scopes[0]["scheme"]) == (("192.0.2.1", 4711), "http")

    def test_http2_has_its_authority_as_host(self) -> None:
        from gateway.wire.asgi import _scope

        endpoint = WholeEndpoint()
        http = Http1(RoutingService(endpoint))
        http.send(get("/"))
        exchange = endpoint.calls[0][0]
        exchange.head = Head(b"GET", b"/", (), http_version="2", scheme=b"https", authority=b"a.example")
        scope = _scope(exchange)
        assert scope["headers"] == [(b"host", b"a.example")]
        assert (scope["http_version"], scope["scheme"]) == ("2", "https")


START: Message = {"type": "http.response.start", "status": 200, "headers": [(b"Content-Type", b"text/plain")]}


class TestReceive:
    def test_pieces_then_a_true_wait_for_the_disconnect(self) -> None:
        seen: list[Message] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            while not seen or seen[-1]["type"] != "http.disconnect":
                seen.append(await receive())

        async def scenario(http: Http1, endpoint: AsgiEndpoint) -> None:
            raw = post("/", b"abcdef")
            http.send(raw[:-3])
            await until(lambda: len(seen) == 1)
            http.send(raw[-3:])
            await until(lambda: len(seen) == 2)
            for _ in range(20):
                await asyncio.sleep(0)
            assert len(seen) == 2
            http.transport.lose()
            await settled(endpoint)

        run(scenario, app)
        assert seen == [
            {"type": "http.request", "body": b"abc", "more_body": True},
            {"type": "http.request", "body": b"def", "more_body": False},
            {"type": "http.disconnect"},
        ]

    def test_a_request_without_a_body(self) -> None:
        seen: list[Message] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            seen.append(await receive())
            seen.append(await receive())

        async def scenario(http: Http1, endpoint: AsgiEndpoint) -> None:
            http.send(get("/"))
            await until(lambda: seen)
            http.transport.lose()
            await settled(endpoint)

        run(scenario, app)
        assert [message["type"] for message in seen] == ["http.request", "http.disconnect"]
        assert seen[0] == {"type": "http.request", "body": b"", "more_body": False}

    def test_several_may_wait_and_the_answers_end_is_a_disconnect_too(self) -> None:
        seen: list[Message] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()

            async def listen() -> None:
                seen.append(await receive())

            async with asyncio.TaskGroup() as group:
                group.create_task(listen())
                group.create_task(listen())
                await asyncio.sleep(0)
                await send(START)
                await send({"type": "http.response.body", "body": b"x"})

        async def scenario(http: Http1, endpoint: AsgiEndpoint) -> None:
            http.send(get("/"))
            await settled(endpoint)
            assert http.answer().body == b"x"

        run(scenario, app)
        assert seen == [{"type": "http.disconnect"}] * 2

    def test_an_application_that_does_not_read_holds_its_client_back(self) -> None:
        go = asyncio.Event()
        total: list[int] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await go.wait()
            size, more = 0, True
            while more:
                message = await receive()
                size += len(message["body"])
                more = message["more_body"]
            total.append(size)
            await send(START)
            await send({"type": "http.response.body"})

        async def scenario(http: Http1, endpoint: AsgiEndpoint) -> None:
            raw = post("/", b"x" * 900_000)
            sent = 0
            while http.transport.reading:
                http.send(raw[sent : sent + 10_000])
                sent += 10_000
            assert HIGH_BYTES < sent < 2 * HIGH_BYTES
            go.set()
            await until(lambda: http.transport.reading)
            http.send(raw[sent:])
            await settled(endpoint)
            assert http.answer().status == 200

        run(scenario, app)
        assert total == [900_000]


class TestSend:
    def test_waits_for_a_slow_reader(self) -> None:
        sent: list[int] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(START)
            for number in range(100):
                await send({"type": "http.response.body", "body": b"x" * 10_000, "more_body": True})
                sent.append(number)
            await send({"type": "http.response.body"})

        async def scenario(http: Http1, endpoint: AsgiEndpoint) -> None:
            http.transport.taking = False
            http.send(get("/"))
            await until(lambda: not http.connection.is_writable)
            for _ in range(20):
                await asyncio.sleep(0)
            assert len(sent) < 5
            taken = b""
            while endpoint.in_flight:
                taken += http.transport.take()
                await asyncio.sleep(0)
            assert http.answer().body == b"x" * 1_000_000
            assert len(taken) > 1_000_000

        run(scenario, app, write_buffer_bytes=1 << 14)

    def test_to_a_client_that_has_gone_raises_a_fresh_error(self) -> None:
        errors: list[BaseException] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await receive()
            for _ in range(3):
                try:
                    await send(START)
                except OSError as error:
                    errors.append(error)
            raise errors[0]

        async def scenario(http: Http1, endpoint: AsgiEndpoint) -> None:
            http.send(get("/"))
            await asyncio.sleep(0)
            http.transport.lose()
            await settled(endpoint)

        run(scenario, app)
        assert len(set(map(id, errors))) == 3
        assert all(isinstance(error, ClientDisconnect) for error in errors)

    def test_a_waiting_send_learns_of_it(self) -> None:
        errors: list[BaseException] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(START)
            try:
                while True:
                    await send({"type": "http.response.body", "body": b"x" * 10_000, "more_body": True})
            except ClientDisconnect as error:
                errors.append(error)
                raise

        async def scenario(http: Http1, endpoint: AsgiEndpoint) -> None:
            http.transport.taking = False
            http.send(get("/"))
            await until(lambda: not http.connection.is_writable)
            http.transport.lose()
            await settled(endpoint)

        run(scenario, app, write_buffer_bytes=1 << 14)
        assert len(errors) == 1

    def test_aborts_leave_nothing_behind(self) -> None:
        kept: list[weakref.ref[Any]] = []

        class Ballast:
            """Something a frame holds."""

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            ballast = Ballast()
            kept.append(weakref.ref(ballast))
            await send(START)
            while True:
                await send({"type": "http.response.body", "body": b"x" * 10_000, "more_body": True})

        async def scenario(http: Http1, endpoint: AsgiEndpoint) -> None:
            for _ in range(20):
                client = Http1(RoutingService(endpoint), write_buffer_bytes=1 << 14)
                client.transport.taking = False
                client.send(get("/"))
                await until(lambda client=client: not client.connection.is_writable)  # type: ignore[misc]
                client.transport.lose()
            await settled(endpoint)

        run(scenario, app)
        gc.collect()
        assert len(kept) == 20
        assert not any(reference() for reference in kept)

    def test_hop_by_hop_fields_are_ours(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            fields = [(b"Connection", b"close"), (b"Transfer-Encoding", b"chunked"), (b"X", b"1")]
            await send({"type": "http.response.start", "status": 200, "headers": fields})
            await send({"type": "http.response.body", "body": memoryview(b"ok")})

        async def scenario(http: Http1, endpoint: AsgiEndpoint) -> None:
            http.send(get("/"))
            await settled(endpoint)
            answer = http.answer()
            assert answer.headers == {"x": "1", "content-length": "2"}

        run(scenario, app)


BODY: Message = {"type": "http.response.body", "body": b"x"}
MORE: Message = {**BODY, "more_body": True}


class TestFaults:
    @pytest.mark.parametrize(
        ("messages", "status", "is_whole"),
        [
            ((), 500, True),
            ((START,), 500, True),
            ((START, MORE), 200, False),
            ((BODY,), 500, True),
            ((START, START), 500, True),
            (({"type": "http.response.trailers"},), 500, True),
            (
                ({"type": "http.response.start", "status": 200, "headers": [(b"a\r\nb", b"")]}, BODY),
                500,
                True,
            ),
        ],
    )
    @pytest.mark.parametrize("raises", [False, True])
    def test_every_request_is_answered_or_broken_off(
        self,
        messages: tuple[Message, ...],
        status: int,
        is_whole: bool,
        raises: bool,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            for message in messages:
                await send(message)
            if raises:
                raise ZeroDivisionError

        async def scenario(http: Http1, endpoint: AsgiEndpoint) -> None:
            http.send(get("/"))
            await settled(endpoint)
            assert http.transport.aborted is not is_whole
            raw = http.raw()
            assert raw.startswith(b"HTTP/1.1 %d" % status)
            assert raw.endswith(b"0\r\n\r\n") is False

        with caplog.at_level(logging.ERROR):
            run(scenario, app)
        assert len(caplog.records) == 1

    def test_a_bug_after_the_answer_is_logged_and_harmless(self, caplog: pytest.LogCaptureFixture) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(START)
            await send(BODY)
            raise ZeroDivisionError

        async def scenario(http: Http1, endpoint: AsgiEndpoint) -> None:
            http.send(get("/"), get("/"))
            await settled(endpoint)
            assert [answer.status for answer in http.answers()] == [200, 200]

        with caplog.at_level(logging.ERROR):
            run(scenario, app)

    def test_refusals(self) -> None:
        async def scenario(http: Http1, endpoint: AsgiEndpoint) -> None:
            http.send(post("/", b"x" * (2 << 20))[:300])
            assert http.answer().status == 413
            for error, status in (
                (TooLarge("big"), 413),
                (RequestTimeout("slow"), 408),
                (InvalidInput("bad"), 400),
            ):
                waiting = WholeEndpoint()
                other = Http1(RoutingService(waiting))
                other.send(get("/"))
                endpoint.refuse(waiting.calls[0][0], error)
                assert other.answer().status == status

        run(scenario)

    def test_aclose_ends_what_still_runs(self) -> None:
        ended: list[str] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("here")

        async def scenario(http: Http1, endpoint: AsgiEndpoint) -> None:
            http.send(get("/"))
            await asyncio.sleep(0)
            assert endpoint.in_flight == 1
            await endpoint.aclose()
            assert http.transport.aborted

        run(scenario, app)
        assert ended == ["here"]
