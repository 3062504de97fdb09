"""Well-behaved clients that go on calling while others misbehave."""

from __future__ import annotations

import threading
import time

import grpc

from gateway.generated import open_inference_pb2 as pb
from tests.fakes.gateway_process import Gateway
from tests.fakes.waiting import until_blocking
from tests.soak.oracle import Oracle
from tests.soak.speaking import INFER, RestClient, arrays_of_message, message


class Bystander:
    """Calls by REST and gRPC in turns until left; a context manager that accepts no failed request.

    `slowest_s` is the longest that a REST request took.
    """

    def __init__(self, served: Gateway, pause_s: float = 0.005) -> None:
        self.done = 0
        self.slowest_s = 0.0
        self.faults: list[str] = []
        self._served = served
        self._pause_s = pause_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Bystander:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        goal = self.done + 4  # afterwards all must be well too
        until_blocking(lambda: self.done >= goal)
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive(), "a request without an outcome"
        assert not self.faults, self.faults[:5]

    def _run(self) -> None:
        oracle, rest = Oracle(7), RestClient(self._served.http, 20)
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(self._served.grpc, options) as channel:
            infer = channel.unary_unary(
                INFER,
                request_serializer=pb.ModelInferRequest.SerializeToString,
                response_deserializer=pb.ModelInferResponse.FromString,
            )
            while not self._stop.wait(self._pause_s):
                case = oracle.any(largest=200)
                began = time.perf_counter()
                self._note(rest.fault(case, binary=bool(self.done & 4)))
                self.slowest_s = max(self.slowest_s, time.perf_counter() - began)
                try:
                    self._note(case.fault(arrays_of_message(infer(message(case), timeout=20))))
                except grpc.RpcError as error:
                    self._note(f"{case.model}: {error.code()} {error.details()}")
        rest.close()

    def _note(self, fault: str) -> None:
        self.done += 1
        if fault:
            self.faults.append(fault)
