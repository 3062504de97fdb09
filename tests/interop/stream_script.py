"""Streams of answers by the official gRPC clients; runs where tritonclient is installed.

    python stream_script.py HOST:PORT

Needs the models repeat_int32 and own of tests/interop/test_streaming.py. Prints JSON: each check's name
and what was wrong with it, or null.
"""

import asyncio
import json
import queue
import sys
import traceback

import numpy as np
import tritonclient.grpc
import tritonclient.grpc.aio
from tritonclient.utils import InferenceServerException


def inputs(client, values, delay_ms=1, wait_ms=5):
    """What the example simple_grpc_custom_repeat sends."""
    arrays = {
        "IN": np.array(values, np.int32),
        "DELAY": np.array([delay_ms] * len(values), np.uint32),
        "WAIT": np.array([wait_ms], np.uint32),
    }
    made = []
    for name, array in arrays.items():
        kind = "INT32" if name == "IN" else "UINT32"
        made.append(client.InferInput(name, list(array.shape), kind))
        made[-1].set_data_from_numpy(array)
    return made


def doubled(client, value):
    made = client.InferInput("X", [1, 1], "FP32")
    made.set_data_from_numpy(np.array([[value]], np.float32))
    return [made]


class Heard:
    """Results and errors of a stream, in order, as the callback gets them."""

    def __init__(self):
        self.items = queue.Queue()

    def __call__(self, result, error):
        self.items.put((result, error))

    def take(self, count):
        return [self.items.get(timeout=10) for _ in range(count)]


def streaming(check):
    """`check` with a client whose stream is open and what that has heard."""

    def run(address):
        with tritonclient.grpc.InferenceServerClient(address) as client:
            heard = Heard()
            client.start_stream(callback=heard)
            check(client, heard)
            client.stop_stream()
            assert heard.items.empty(), heard.items.get()

    run.__name__ = check.__name__
    return run


@streaming
def custom_repeat(client, heard):
    values = [100 + index for index in range(10)]
    client.async_stream_infer("repeat_int32", inputs(tritonclient.grpc, values), request_id="0")
    for index, (result, error) in enumerate(heard.take(len(values))):
        assert error is None, error
        assert result.as_numpy("OUT")[0] == values[index]
        assert result.as_numpy("IDX")[0] == index
        assert result.get_response().id == "0"


@streaming
def several_repeats_on_one_stream(client, heard):
    for request in range(5):
        values = [request * 10 + index for index in range(4)]
        client.async_stream_infer(
            "repeat_int32", inputs(tritonclient.grpc, values, wait_ms=0), request_id=str(request)
        )
    got = {}
    for result, error in heard.take(20):
        assert error is None, error
        got.setdefault(result.get_response().id, []).append(int(result.as_numpy("OUT")[0]))
    assert got == {str(one): [one * 10 + index for index in range(4)] for one in range(5)}


@streaming
def the_empty_final_response(client, heard):
    client.async_stream_infer(
        "repeat_int32",
        inputs(tritonclient.grpc, [7]),
        request_id="e",
        enable_empty_final_response=True,
    )
    (first, _), (last, _) = heard.take(2)
    assert not first.get_response().parameters["triton_final_response"].bool_param
    assert last.get_response().parameters["triton_final_response"].bool_param
    assert last.as_numpy("OUT") is None


@streaming
def single_answers_in_order_and_errors_among_them(client, heard):
    for value in range(10, 16):
        client.async_stream_infer("own", doubled(tritonclient.grpc, value), request_id=str(value))
    told = heard.take(6)
    assert [error is not None for _, error in told] == [value in (13, 14) for value in range(10, 16)]
    good = [result for result, error in told if error is None]
    assert [result.get_response().id for result in good] == ["10", "11", "12", "15"]
    assert [float(result.as_numpy("Y")[0, 0]) for result in good] == [20.0, 22.0, 24.0, 30.0]


def a_stream_that_is_cancelled(address):
    with tritonclient.grpc.InferenceServerClient(address) as client:
        heard = Heard()
        client.start_stream(callback=heard)
        slow = inputs(tritonclient.grpc, list(range(1000)), delay_ms=50)
        client.async_stream_infer("repeat_int32", slow)
        heard.take(1)
        client.stop_stream(cancel_requests=True)
        errors = []
        while not heard.items.empty():
            errors.append(heard.items.get()[1])
        assert errors[-1] is not None
        assert "CANCELLED" in errors[-1].status()


async def by_asyncio(address):
    async with tritonclient.grpc.aio.InferenceServerClient(address) as client:

        async def asked():
            for request in range(2):
                yield {
                    "model_name": "repeat_int32",
                    "inputs": inputs(tritonclient.grpc.aio, [request, request]),
                    "request_id": str(request),
                }

        got = []
        async for result, error in client.stream_infer(asked()):
            assert error is None, error
            got.append((result.get_response().id, int(result.as_numpy("OUT")[0])))
        assert sorted(got) == [("0", 0), ("0", 0), ("1", 1), ("1", 1)]


def a_single_answer_is_refused(address):
    with tritonclient.grpc.InferenceServerClient(address) as client:
        error = None
        try:
            client.infer("repeat_int32", inputs(tritonclient.grpc, [1]))
        except InferenceServerException as raised:
            error = raised
        assert error is not None, "it was answered"
        assert error.status() == "StatusCode.UNIMPLEMENTED"
        assert "doesn't support models with decoupled transaction policy" in error.message()


CHECKS = [
    custom_repeat,
    several_repeats_on_one_stream,
    the_empty_final_response,
    single_answers_in_order_and_errors_among_them,
    a_stream_that_is_cancelled,
    by_asyncio,
    a_single_answer_is_refused,
]


def outcome(check, address):
    try:
        done = check(address)
        if asyncio.iscoroutine(done):
            asyncio.run(done)
    except Exception:  # ruff: ignore[blind-except] - it is told
        return traceback.format_exc()
    return None


if __name__ == "__main__":
    print(json.dumps({check.__name__: outcome(check, sys.argv[1]) for check in CHECKS}))
