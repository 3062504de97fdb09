"""Small V2 servers on loopback for the generator's tests: HTTP/1.1 on asyncio, gRPC on grpcio."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Generator
from concurrent import futures
from typing import NamedTuple, TypeVar

import grpc

METADATA = (
    b'{"name":"fraud","versions":["1"],"platform":"onnx","inputs":'
    b'[{"name":"x","datatype":"FP32","shape":[-1,30]}],"outputs":[]}'
)
ANSWER = b'{"model_name":"fraud","outputs":[{"name":"y","datatype":"FP32","shape":[1,1],"data":[0.5]}]}'
# ModelMetadataResponse: name fraud, inputs {x, FP32, [-1, 30]}; written out, so that no encoder vouches.
METADATA_PB = b"\x0a\x05fraud\x22\x16\x0a\x01x\x12\x04FP32\x1a\x0b" + b"\xff" * 9 + b"\x01\x1e"
ANSWER_PB = b"\x0a\x05fraud\x12\x011"


T = TypeVar("T")


class Request(NamedTuple):
    """What a fake server got."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


def http(body: bytes, status: str = "200 OK", *fields: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", *fields]
    return "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n" + body


def model_server(request: Request) -> bytes:
    """A server with one model, `fraud`."""
    if not request.path.startswith("/v2/models/fraud"):
        return http(b'{"error":"unknown model"}', "404 Not Found")
    return http(METADATA if request.method == "GET" else ANSWER)


class RestServer:
    """Serves in a thread; `answer` gets each request and returns raw bytes, or None to say nothing."""

    def __init__(self, answer: Callable[[Request], bytes | None]) -> None:
        self.answer = answer
        self.requests: list[Request] = []
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> RestServer:
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.url = self._call(self._listen())
        return self

    def __exit__(self, *error: object) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, work: Coroutine[object, object, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    async def _listen(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        return f"{host}:{port}"

    async def _close(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while True:
                request = await _read(reader)
                self.requests.append(request)
                answer = self.answer(request)
                if answer is None:
                    continue
                writer.write(answer)
                await writer.drain()
                if b"connection: close" in answer:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            self._tasks.discard(task)
            writer.close()


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.rstrip("\r\n").split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name: value for name, _, value in (line.partition(": ") for line in lines)}
    return Request(method, path, headers, await reader.readexactly(int(headers.get("content-length", 0))))


class GrpcModel(grpc.GenericRpcHandler):
    """ModelMetadata and ModelInfer of `fraud`; keeps what it got."""

    def __init__(self, infer: Callable[[bytes, grpc.ServicerContext], bytes]) -> None:
        self.infer = infer
        self.messages: list[bytes] = []
        self.metadata: list[dict[str, str]] = []
        self.remaining_s: list[float] = []

    def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        if call.method == "/inference.GRPCInferenceService/ModelMetadata":
            return grpc.unary_unary_rpc_method_handler(self._describe)
        if call.method == "/inference.GRPCInferenceService/ModelInfer":
            return grpc.unary_unary_rpc_method_handler(self._infer)
        return None

    def _describe(self, message: bytes, context: grpc.ServicerContext) -> bytes:
        if b"fraud" not in message:
            context.abort(grpc.StatusCode.NOT_FOUND, "no model 'x' — unknown")
        return METADATA_PB

    def _infer(self, message: bytes, context: grpc.ServicerContext) -> bytes:
        self.messages.append(message)
        self.metadata.append({key: str(value) for key, value in context.invocation_metadata()})
        self.remaining_s.append(context.time_remaining() or 0.0)
        return self.infer(message, context)


@contextlib.contextmanager
def grpc_server(model: GrpcModel, **options: int) -> Generator[str, None, None]:
    """Serves `model` with the official server; yields host:port."""
    settings = [(f"grpc.{name}", value) for name, value in options.items()]
    settings += [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    server = grpc.server(futures.ThreadPoolExecutor(4), options=settings)
    server.add_generic_rpc_handlers((model,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()
