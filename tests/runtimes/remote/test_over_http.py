"""The HTTP client before a server of aiohttp's own, in this process."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import numpy as np
import pytest

from gateway.core.dtypes import DType
from gateway.core.tensor_spec import TensorSpec
from gateway.runtimes.contract import LoadError
from gateway.runtimes.remote.credentials import Tls
from gateway.runtimes.remote.faults import Fault, Kind
from gateway.runtimes.remote.over_http import HttpTransport
from gateway.runtimes.remote.target import parse
from gateway.runtimes.remote.tensors import Sent
from tests.fakes.upstream import HttpUpstream

X = TensorSpec("X", DType.FP32, (2,))
Y = TensorSpec("Y", DType.FP32, (2,))
SENT = Sent([(X, np.array([1, 2], np.float32))], [Y])
INFER = "/v2/models/m/infer"
TENSORS = {
    "inputs": [{"name": "X", "datatype": "FP32", "shape": [2]}],
    "outputs": [{"name": "Y", "datatype": "FP32", "shape": [2]}],
}
ANSWER = {"outputs": [{"name": "Y", "datatype": "FP32", "shape": [2], "data": [3, 4]}]}


@asynccontextmanager
async def client(url: str, **options: str) -> AsyncGenerator[HttpTransport, None]:
    transport = HttpTransport(parse({"url": url, **options}), "m", None)
    await transport.open()
    try:
        yield transport
    finally:
        await transport.close()


def run(live: Callable[[HttpUpstream, HttpTransport], Awaitable[None]], **options: str) -> None:
    async def both() -> None:
        async with HttpUpstream().running() as upstream, client(upstream.url, **options) as transport:
            await live(upstream, transport)

    asyncio.run(both())


async def fault_of(transport: HttpTransport, timeout_s: float = 5.0) -> Fault:
    with pytest.raises(Fault) as caught:
        await transport.send(transport.encode(SENT), [Y], timeout_s)
    assert "127.0.0.1" not in caught.value.text
    return caught.value


def test_a_server_with_the_binary_extension_gets_binary_tensors() -> None:
    async def live(upstream: HttpUpstream, transport: HttpTransport) -> None:
        upstream.say("/v2", {"extensions": ["binary_tensor_data"]})
        upstream.say("/v2/models/m", TENSORS)
        upstream.say("/v2/models/m/config", {"max_batch_size": 4})
        described = await transport.describe(5.0)
        assert (described.max_batch_size, described.has_binary) == (4, True)
        head = json.dumps({
            "outputs": [
                {"name": "Y", "datatype": "FP32", "shape": [2], "parameters": {"binary_data_size": 8}}
            ]
        }).encode()
        body = head + np.array([3, 4], "<f4").tobytes()
        upstream.say(INFER, body, headers={"Inference-Header-Content-Length": str(len(head))})
        (found,) = await transport.send(transport.encode(SENT), [Y], 5.0)
        assert found.tolist() == [3, 4]
        asked = upstream.asked[-1]
        length = int(asked.headers["Inference-Header-Content-Length"])
        assert json.loads(asked.body[:length])["inputs"][0]["parameters"] == {"binary_data_size": 8}
        assert asked.body[length:] == np.array([1, 2], "<f4").tobytes()
        assert "Authorization" not in asked.headers

    run(live)


def test_a_server_without_extensions_gets_json() -> None:
    async def live(upstream: HttpUpstream, transport: HttpTransport) -> None:
        upstream.say("/v2", {"name": "mlserver", "extensions": []})
        upstream.say("/v2/models/m/versions/2", TENSORS)
        described = await transport.describe(5.0)
        assert (described.max_batch_size, described.has_binary) == (None, False)
        upstream.say("/v2/models/m/versions/2/infer", ANSWER)
        transport.use_token("s3cr3t")
        (found,) = await transport.send(transport.encode(SENT), [Y], 5.0)
        assert found.tolist() == [3, 4]
        asked = upstream.asked[-1]
        assert json.loads(asked.body)["inputs"][0]["data"] == [1, 2]
        assert asked.headers["Authorization"] == "Bearer s3cr3t"

    run(live, model_version="2")


def test_ready_is_server_and_model() -> None:
    async def live(upstream: HttpUpstream, transport: HttpTransport) -> None:
        upstream.say("/v2/health/ready", b"")
        with pytest.raises(Fault, match="no such thing"):
            await transport.check_ready(5.0)
        upstream.say("/v2/models/m/ready", b"")
        await transport.check_ready(5.0)
        upstream.say("/v2/health/ready", b"", status=503)
        with pytest.raises(Fault):
            await transport.check_ready(5.0)

    run(live)


def test_statuses_keep_their_meaning_and_the_time_to_wait() -> None:
    async def live(upstream: HttpUpstream, transport: HttpTransport) -> None:
        upstream.say(INFER, {"error": "bad  shape"}, status=400)
        fault = await fault_of(transport)
        assert (fault.kind, fault.text) == (Kind.REJECTED, "bad shape")
        upstream.say(INFER, {"error": "busy"}, status=503, headers={"Retry-After": "7"})
        fault = await fault_of(transport)
        assert (fault.kind, fault.text, fault.retry_after_s) == (Kind.SHED, "busy", 7.0)
        upstream.say(INFER, b"", status=302, headers={"Location": upstream.url})
        assert (await fault_of(transport)).kind is Kind.UNSOUND
        assert upstream.asked[-1].path == INFER  # nobody followed it

    run(live)


@pytest.mark.parametrize(
    ("body", "headers", "words"),
    [
        (b"x" * 1025, {}, "more than 1024 bytes"),
        (b"{}", {"Content-Encoding": "gzip"}, "compressed"),
        (b"{}", {"Inference-Header-Content-Length": "9" * 12}, "is no number"),
        (b"{}", {"Inference-Header-Content-Length": "3"}, "beyond its end"),
        (b"no JSON", {}, "no JSON"),
    ],
)
def test_hostile_answers(body: bytes, headers: dict[str, str], words: str) -> None:
    async def live(upstream: HttpUpstream, transport: HttpTransport) -> None:
        upstream.say(INFER, body, headers=headers)
        fault = await fault_of(transport)
        assert fault.kind is Kind.UNSOUND
        assert words in fault.text

    run(live, max_response_bytes="1024")


def test_time_and_cancel_reach_the_server() -> None:
    async def live(upstream: HttpUpstream, transport: HttpTransport) -> None:
        gone = upstream.hang(INFER)
        assert (await fault_of(transport, 0.05)).kind is Kind.TIMED_OUT
        await asyncio.wait_for(gone.wait(), 5.0)
        gone = upstream.hang(INFER)
        count = len(upstream.asked)
        task = asyncio.ensure_future(transport.send(transport.encode(SENT), [Y], 60.0))
        while len(upstream.asked) == count:  # ruff: ignore[async-busy-wait] - the server sets no event
            await asyncio.sleep(0.002)
        task.cancel()
        await asyncio.wait([task])
        await asyncio.wait_for(gone.wait(), 5.0)

    run(live)


async def _raw(answer: bytes) -> tuple[asyncio.Server, str]:
    """A server that reads a little, writes `answer` and hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"", Kind.BROKEN),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", Kind.BROKEN),
        (b"SSH-2.0-OpenSSH\r\n", Kind.UNSOUND),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1000 + b"C: " + b"d" * 100_000 + b"\r\n\r\n", Kind.UNSOUND),
    ],
)
def test_connections_that_break_and_servers_that_are_none(answer: bytes, kind: Kind) -> None:
    async def live() -> None:
        server, url = await _raw(answer)
        async with server, client(url) as transport:
            assert (await fault_of(transport)).kind is kind

    asyncio.run(live())


def test_nobody_there_is_no_connection() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused
        port = taken.getsockname()[1]

        async def live() -> None:
            async with client(f"http://127.0.0.1:{port}") as transport:
                fault = await fault_of(transport)
                assert (fault.kind, fault.text) == (Kind.UNREACHED, "no connection")
            async with client(f"https://127.0.0.1:{port}") as transport:
                assert (await fault_of(transport)).kind is Kind.UNREACHED

        asyncio.run(live())


@pytest.mark.parametrize(
    "tls", [Tls(b"no PEM", None, None), Tls(b"\xff", None, None), Tls(None, b"none", b"none")]
)
def test_certificates_that_are_none_are_a_failed_load(tls: Tls) -> None:
    transport = HttpTransport(parse({"url": "https://a"}), "m", tls)
    with pytest.raises(LoadError, match="PEM"):
        asyncio.run(transport.open())
