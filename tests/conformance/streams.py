"""Rows and doors of streams: any number of answers to one request, and how each protocol tells them."""

from __future__ import annotations

import http.client
import json
from typing import Any, NamedTuple, Protocol

import grpc
import numpy as np

from gateway.generated import open_inference_pb2 as pb
from tests.conformance.cases import Case, Failure, Given, fp32, int32, numbers
from tests.conformance.doors import TIMEOUT_S, grpc_message

_TYPES = {"INT32": "<i4", "UINT32": "<u4", "FP32": "<f4"}


class StreamCase(NamedTuple):
    """One row. `answers` are what comes, by name and elements; then the end, or `failure`."""

    id: str
    model: str
    inputs: tuple[Given, ...] = ()
    answers: tuple[dict[str, list[object]], ...] = ()
    failure: Failure | None = None
    version: str = ""
    timeout_us: int = 0

    @property
    def asked(self) -> Case:
        """The same request where one answer is expected."""
        return Case(self.id, self.model, self.inputs, version=self.version, timeout_us=self.timeout_us)


class Stream(NamedTuple):
    """What came: the answers, and how it ended; `reason` in the protocol's own words, "" where well."""

    answers: tuple[dict[str, list[object]], ...]
    reason: str = ""
    text: str = ""


class StreamDoor(Protocol):
    """A way to ask for a stream."""

    def ask(self, case: StreamCase) -> Stream:
        """Sends what `case` says and reads to the end."""


class Events:
    """generate_stream: plain values in, server-sent events out."""

    def __init__(self, base: str) -> None:
        self._host = base.removeprefix("http://")

    def ask(self, case: StreamCase) -> Stream:
        document: dict[str, Any] = {one.name: _nested(one) for one in case.inputs}
        document["id"] = case.id
        if case.timeout_us:
            document["timeout"] = case.timeout_us
        version = f"/versions/{case.version}" if case.version else ""
        connection = http.client.HTTPConnection(self._host, timeout=TIMEOUT_S)
        try:
            path = f"/v2/models/{case.model}{version}/generate_stream"
            connection.request("POST", path, json.dumps(document))
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            told = json.loads(body)
            return Stream((), f"{answer.status} {told['code']}", told["error"])
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        events = [json.loads(one.removeprefix(b"data: ")) for one in body.split(b"\n\n")[:-1]]
        reason = text = ""
        if events and "error" in events[-1]:  # too late for a status
            last = events.pop()
            reason, text = last["code"], last["error"]
        for event in events:
            assert (event.pop("model_name"), event.pop("id")) == (case.model, case.id)
            assert event.pop("model_version") == "1"
        answers = tuple(
            {name: value if isinstance(value, list) else [value] for name, value in event.items()}
            for event in events
        )
        return Stream(answers, reason, text)


class Rpc:
    """ModelStreamInfer; with `ends_at_error` a failure is the call's status, else it is told inside."""

    def __init__(self, channel: grpc.Channel, *, ends_at_error: bool) -> None:
        self._stream = channel.stream_stream(
            "/inference.GRPCInferenceService/ModelStreamInfer",
            pb.ModelInferRequest.SerializeToString,
            pb.ModelStreamInferResponse.FromString,
        )
        self._metadata = (("triton_grpc_error", "true"),) if ends_at_error else ()

    def ask(self, case: StreamCase) -> Stream:
        request = grpc_message(case.asked)
        request.parameters["triton_enable_empty_final_response"].bool_param = True
        answers: list[dict[str, list[object]]] = []
        finals: list[bool] = []
        try:
            for told in self._stream(iter([request]), timeout=TIMEOUT_S, metadata=self._metadata):
                response = told.infer_response
                assert response.id == case.id
                if told.error_message:
                    return Stream(tuple(answers), "", told.error_message)
                assert (response.model_name, response.model_version) == (case.model, "1")
                finals.append(response.parameters["triton_final_response"].bool_param)
                if response.outputs:
                    answers.append(_elements(response))
        except grpc.RpcError as error:
            return Stream(tuple(answers), error.code().name, error.details())
        assert finals == [False] * (len(finals) - 1) + [True], "the last message, and only that, says so"
        return Stream(tuple(answers))


def _nested(given: Given) -> Any:
    """The elements as deep as the shape."""
    return np.array(given.elements, object).reshape(given.shape).tolist()


def _elements(response: pb.ModelInferResponse) -> dict[str, list[object]]:
    found: dict[str, list[object]] = {}
    for told, raw in zip(response.outputs, response.raw_output_contents, strict=True):
        if told.datatype == "BYTES":  # one element, with its length in front
            found[told.name] = [raw[4:].decode()]
        else:
            found[told.name] = np.frombuffer(raw, _TYPES[told.datatype]).tolist()
    return found


# ---- the rows -------------------------------------------------------------------------------------


def _counter(n: int, fail_at: int = -1) -> tuple[Given, ...]:
    values = {"N": n, "FAIL_AT": fail_at, "REST_MS": 0, "SIZE": 1}
    return tuple(int32(name, np.array([value])) for name, value in values.items())


def _counted(n: int) -> tuple[dict[str, list[object]], ...]:
    return tuple({"I": [i], "PAD": ["x"]} for i in range(n))


def _repeat(*values: int) -> tuple[Given, ...]:
    delays = numbers("DELAY", "UINT32", np.ones(len(values), "<u4"))
    return (int32("IN", np.array(values)), delays, numbers("WAIT", "UINT32", np.array([1], "<u4")))


_A = np.arange(16).reshape(1, 16)
_RAISED = "RuntimeError: no answer"
STREAMS = (
    # First, for its model goes on for a while, and a gateway that ends waits for that.
    StreamCase(
        "a stream whose deadline passes",
        "busy",
        (fp32(1_000_000),),
        timeout_us=100_000,
        failure=Failure("DEADLINE_EXCEEDED", "Request timeout expired"),
    ),
    StreamCase("many answers", "counter", _counter(200), _counted(200)),
    StreamCase("one answer", "counter", _counter(1), _counted(1)),
    StreamCase("no answer", "counter", _counter(0)),
    StreamCase("a coroutine that yields", "later", _counter(3)[:1], tuple({"I": [i]} for i in range(3))),
    StreamCase(
        "a response sender of Triton's",
        "repeat_int32",
        _repeat(4, 2, 8),
        ({"OUT": [4], "IDX": [0]}, {"OUT": [2], "IDX": [1]}, {"OUT": [8], "IDX": [2]}),
    ),
    StreamCase("a stream by version", "counter", _counter(2), _counted(2), version="1"),
    StreamCase("a model that answers once", "echo_fp32", (fp32(1, 2),), ({"Y": [1.0, 2.0]},)),
    StreamCase(
        "an ensemble answers once",
        "twice_of_each",
        (int32("A", _A), int32("B", _A)),
        ({"TWICE_A": (2 * _A[0]).tolist(), "TWICE_B": (2 * _A[0]).tolist()},),
    ),
    StreamCase(
        "a failure before the first answer",
        "counter",
        _counter(3, fail_at=0),
        failure=Failure("MODEL_FAILED", f"{_RAISED} 0"),
    ),
    StreamCase(
        "a failure after answers",
        "counter",
        _counter(3, fail_at=2),
        _counted(2),
        Failure("MODEL_FAILED", f"{_RAISED} 2"),
    ),
    StreamCase(
        "a value that the model refuses",
        "counter",
        _counter(-1),
        failure=Failure("INVALID_INPUT", "N must not be negative"),
    ),
    StreamCase(
        "a stream without an input",
        "counter",
        _counter(1)[:2],
        failure=Failure("INVALID_INPUT", "expected 4 inputs but got 2 inputs for model 'counter'"),
    ),
    StreamCase(
        "a stream of nobody", "absent", failure=Failure("NOT_FOUND", "unknown model: 'absent' is not found")
    ),
    StreamCase(
        "a stream of no version",
        "counter",
        _counter(1),
        version="9",
        failure=Failure("NOT_FOUND", "unknown model: 'counter' version 9 is not found"),
    ),
    StreamCase("a stream of a broken model", "broken", failure=Failure("MODEL_UNAVAILABLE", "'broken'")),
)

# What a decoupled model says to those who ask for one answer.
UNARY = tuple(
    Case(
        f"one answer of {model}",
        model,
        inputs,
        failure=Failure(
            "UNSUPPORTED", "doesn't support models with decoupled transaction policy", same_text=False
        ),
    )
    for model, inputs in (
        ("counter", _counter(1)),
        ("later", _counter(1)[:1]),
        ("repeat_int32", _repeat(1)),
        ("counting", _counter(1)[:1]),
    )
)
