"""The gRPC client before a server of grpcio's own, in this process."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import grpc
import numpy as np
import pytest

from gateway.core.dtypes import DType
from gateway.core.tensor_spec import TensorSpec
from gateway.generated import open_inference_pb2 as pb
from gateway.runtimes.remote.faults import Fault, Kind
from gateway.runtimes.remote.over_grpc import GrpcTransport
from gateway.runtimes.remote.target import parse
from gateway.runtimes.remote.tensors import Sent
from tests.fakes.upstream import GrpcUpstream

X = TensorSpec("X", DType.FP32, (2,))
Y = TensorSpec("Y", DType.FP32, (2,))
SENT = Sent([(X, np.array([1, 2], np.float32))], [Y])
METADATA = pb.ModelMetadataResponse()
METADATA.inputs.add(name="X", datatype="FP32", shape=[2])
METADATA.outputs.add(name="Y", datatype="FP32", shape=[2])
ANSWER = pb.ModelInferResponse(raw_output_contents=[np.array([3, 4], "<f4").tobytes()])
ANSWER.outputs.add(name="Y", datatype="FP32", shape=[2])


@asynccontextmanager
async def client(url: str, **options: str) -> AsyncGenerator[GrpcTransport, None]:
    transport = GrpcTransport(parse({"url": url, **options}), "m", None)
    await transport.open()
    try:
        yield transport
    finally:
        await transport.close()


def run(live: Callable[[GrpcUpstream, GrpcTransport], Awaitable[None]], **options: str) -> None:
    async def both() -> None:
        async with GrpcUpstream().running() as upstream, client(upstream.target, **options) as transport:
            await live(upstream, transport)

    asyncio.run(both())


async def fault_of(transport: GrpcTransport, timeout_s: float = 5.0) -> Fault:
    with pytest.raises(Fault) as caught:
        await transport.send(transport.encode(SENT), [Y], timeout_s)
    assert "127.0.0.1" not in caught.value.text
    return caught.value


def test_a_model_is_described_with_and_without_its_configuration() -> None:
    async def live(upstream: GrpcUpstream, transport: GrpcTransport) -> None:
        upstream.answers["ModelMetadata"] = METADATA.SerializeToString()
        assert (await transport.describe(5.0)).max_batch_size is None
        config = pb.ModelConfigResponse()
        config.config.max_batch_size = 4
        upstream.answers["ModelConfig"] = config.SerializeToString()
        assert (await transport.describe(5.0)).max_batch_size == 4
        upstream.answers["ModelConfig"] = (grpc.StatusCode.UNAVAILABLE, "later", ())
        with pytest.raises(Fault, match="later"):
            await transport.describe(5.0)

    run(live)


def test_requests_and_answers_with_a_token_and_a_version() -> None:
    async def live(upstream: GrpcUpstream, transport: GrpcTransport) -> None:
        upstream.answers["ModelInfer"] = ANSWER.SerializeToString()
        transport.use_token("s3cr3t")
        (found,) = await transport.send(transport.encode(SENT), [Y], 5.0)
        assert found.tolist() == [3, 4]
        asked = upstream.asked[-1]
        assert asked.headers["authorization"] == "Bearer s3cr3t"
        message = pb.ModelInferRequest.FromString(asked.body)
        assert (message.model_name, message.model_version) == ("m", "2")

    run(live, model_version="2")


def test_ready_is_server_and_model() -> None:
    async def live(upstream: GrpcUpstream, transport: GrpcTransport) -> None:
        upstream.answers["ServerReady"] = pb.ServerReadyResponse(ready=True).SerializeToString()
        upstream.answers["ModelReady"] = b""
        with pytest.raises(Fault, match="the model is not ready"):
            await transport.check_ready(5.0)
        upstream.answers["ModelReady"] = pb.ModelReadyResponse(ready=True).SerializeToString()
        await transport.check_ready(5.0)
        upstream.answers["ServerReady"] = b""
        with pytest.raises(Fault, match="is not ready"):
            await transport.check_ready(5.0)

    run(live)


@pytest.mark.parametrize(
    ("code", "text", "trailers", "expected"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, "bad  shape", (), (Kind.REJECTED, "bad shape", 0.0)),
        (grpc.StatusCode.NOT_FOUND, "no model", (), (Kind.MISSING, "no model", 0.0)),
        (grpc.StatusCode.INTERNAL, "", (), (Kind.FAILED, "INTERNAL", 0.0)),
        (grpc.StatusCode.UNAVAILABLE, "busy", (), (Kind.SHED, "busy", 0.0)),
        (
            grpc.StatusCode.UNAVAILABLE,
            "busy",
            (("grpc-retry-pushback-ms", "2500"),),
            (Kind.SHED, "busy", 2.5),
        ),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "quota", (), (Kind.LIMITED, "quota", 0.0)),
        (grpc.StatusCode.UNAUTHENTICATED, "who?", (), (Kind.DENIED, "who?", 0.0)),
    ],
)
def test_statuses_keep_their_meaning_and_the_time_to_wait(
    code: grpc.StatusCode, text: str, trailers: tuple[tuple[str, str], ...], expected: tuple[Kind, str, float]
) -> None:
    async def live(upstream: GrpcUpstream, transport: GrpcTransport) -> None:
        upstream.answers["ModelInfer"] = (code, text, trailers)
        fault = await fault_of(transport)
        assert (fault.kind, fault.text, fault.retry_after_s) == expected

    run(live)


def test_hostile_answers() -> None:
    async def live(upstream: GrpcUpstream, transport: GrpcTransport) -> None:
        for answer, words in ((b"\xff\xff", "no message"), (b"", "lacks output"), (bytes(4096), "larger")):
            upstream.answers["ModelInfer"] = answer
            fault = await fault_of(transport)
            assert fault.kind is Kind.UNSOUND
            assert words in fault.text

    run(live, max_response_bytes="1024")


def test_time_and_cancel_reach_the_server() -> None:
    async def live(upstream: GrpcUpstream, transport: GrpcTransport) -> None:
        upstream.hanging.add("ModelInfer")
        assert (await fault_of(transport, 0.1)).kind is Kind.TIMED_OUT
        await asyncio.wait_for(upstream.gone.wait(), 5.0)
        upstream.gone.clear()
        count = len(upstream.asked)
        task = asyncio.ensure_future(transport.send(transport.encode(SENT), [Y], 60.0))
        while len(upstream.asked) == count:  # ruff: ignore[async-busy-wait] - the server sets no event
            await asyncio.sleep(0.002)
        task.cancel()
        await asyncio.wait([task])
        await asyncio.wait_for(upstream.gone.wait(), 5.0)

    run(live)


def test_a_connection_that_breaks_may_have_run_and_one_that_never_was_has_not() -> None:
    async def live(upstream: GrpcUpstream, transport: GrpcTransport) -> None:
        upstream.hanging.add("ModelInfer")
        task = asyncio.ensure_future(fault_of(transport, 10.0))
        while not upstream.asked:  # ruff: ignore[async-busy-wait] - the server sets no event
            await asyncio.sleep(0.002)
        await upstream.server.stop(None)
        assert (await task).kind is Kind.BROKEN

    run(live)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]

        async def nobody() -> None:
            async with client(f"grpc://127.0.0.1:{port}") as transport:
                fault = await fault_of(transport)
                assert (fault.kind, fault.text) == (Kind.UNREACHED, "no connection")

        asyncio.run(nobody())
