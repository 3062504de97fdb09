"""Responses a second of one decoupled model with one reader, over SSE and over gRPC."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

import grpc
import numpy as np

from gateway.generated import open_inference_pb2 as pb
from tests.bench.calls import WrongAnswer
from tests.bench.figures import Measure
from tests.bench.report import Row, at_least
from tests.bench.servers import Server
from tests.fakes.python_files import SHORT_COUNTER_CONFIG, add_model

RESPONSES = 10_000
ROUNDS = 5
TARGET = at_least(20_000, "responses/s")

_MODEL = "ticker"
_FILE = """
    import numpy as np
    from gateway.model import Model

    class Ticker(Model):
        def infer(self, inputs):
            for i in range(int(inputs["N"].item())):
                yield {"I": np.array([i], np.int32)}
"""


def write_repository(folder: Path) -> None:
    """One model that answers N times with a number."""
    add_model(folder, _MODEL, _FILE, SHORT_COUNTER_CONFIG)


def over_sse(server: Server, cpus: frozenset[int]) -> Row:
    """generate_stream, read by a bare socket."""
    return _row("stream-rest", "10,000 responses of one model, SSE", cpus, lambda n: _read_events(server, n))


def over_grpc(server: Server, cpus: frozenset[int]) -> Row:
    """ModelStreamInfer, read by the official client, which leaves the messages as they are."""
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        call = channel.stream_stream(
            "/inference.GRPCInferenceService/ModelStreamInfer", pb.ModelInferRequest.SerializeToString, bytes
        )

        def read(count: int) -> int:
            return sum(1 for _ in call(iter([_request(count)])))

        return _row("stream-grpc", "10,000 responses of one model, gRPC", cpus, read)


def _row(name: str, title: str, cpus: Iterable[int], read: Callable[[int], int]) -> Row:
    rates = []
    with _on(cpus):
        for count in (10, *[RESPONSES] * ROUNDS):
            begun = time.perf_counter()
            if (got := read(count)) != count:
                raise WrongAnswer(f"{name}: {got} answers where {count} were asked for")
            rates.append(count / (time.perf_counter() - begun))
    measure = Measure(tuple(rates[1:]))
    return Row(name, title, TARGET, measure.median, measure, "responses/s", requests=ROUNDS)


@contextmanager
def _on(cpus: Iterable[int]) -> Generator[None]:
    """This thread, and those it starts, on `cpus`."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _request(count: int) -> pb.ModelInferRequest:
    made = pb.ModelInferRequest(model_name=_MODEL)
    made.inputs.add(name="N", datatype="INT32", shape=[1])
    made.raw_input_contents.append(np.array([count], "<i4").tobytes())
    return made


def _read_events(server: Server, count: int) -> int:
    body = json.dumps({"N": count}).encode()
    head = f"POST /v2/models/{_MODEL}/generate_stream HTTP/1.1\r\nhost: a\r\ncontent-length: {len(body)}"
    with socket.create_connection(("127.0.0.1", server.http_port), 60) as sock:
        sock.sendall(f"{head}\r\n\r\n".encode() + body)
        told = bytearray()
        while not told.endswith(b"\r\n0\r\n\r\n"):
            piece = sock.recv(1 << 18)
            if not piece:
                break
            told += piece
    return told.count(b"data: ")
