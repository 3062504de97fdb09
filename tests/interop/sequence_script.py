"""Sequences by the official clients; runs where tritonclient is installed.

    python sequence_script.py HTTP_HOST:PORT GRPC_HOST:PORT

Expects what the examples simple_grpc_sequence_stream, simple_grpc_sequence_sync and
simple_http_sequence_sync of triton.md expect: simple_sequence answers INPUT + START, simple_dyna_sequence
adds the id of the sequence to its last answer, simple_string_dyna_sequence the number that its id ends in.
Prints JSON: each check's name and what was wrong with it, or null.
"""

import json
import queue
import sys
import traceback

import numpy as np
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

VALUES = [11, 7, 5, 3, 2, 0, 1]
# By model: the ids of two sequences that run side by side, and what the last answer of each has added.
MODELS = {
    "simple_sequence": ((1007, 1008), (0, 0)),
    "simple_dyna_sequence": ((1009, 1010), (1009, 1010)),
    "simple_string_dyna_sequence": (("sequence-7", "sequence-8"), (7, 8)),
}


def given(client, value):
    made = client.InferInput("INPUT", [1, 1], "INT32")
    made.set_data_from_numpy(np.array([[value]], np.int32))
    return [made]


def expected(value, index, last, added):
    return value + (1 if index == 0 else 0) + (added if index == last else 0)


def flags(sequence, index, last):
    return {"sequence_id": sequence, "sequence_start": index == 0, "sequence_end": index == last}


def values_of(sign):
    return [0 if sign > 0 else 100, *(sign * value for value in VALUES)]


def sync(module, address, model):
    """Two sequences, step by step in turn."""
    sequences, added = MODELS[model]
    with module.InferenceServerClient(address) as client:
        last = len(VALUES)
        for index in range(last + 1):
            for which, sign in ((0, 1), (1, -1)):
                value = values_of(sign)[index]
                result = client.infer(model, given(module, value), **flags(sequences[which], index, last))
                told = int(result.as_numpy("OUTPUT")[0][0])
                assert told == expected(value, index, last, added[which]), (index, which, told)


def streamed(address, model):
    """Two sequences, all of the one behind all of the other, on one stream."""
    sequences, added = MODELS[model]
    heard = queue.Queue()
    with tritonclient.grpc.InferenceServerClient(address) as client:
        client.start_stream(callback=lambda result, error: heard.put((result, error)))
        last = len(VALUES)
        for which, sign in ((0, 1), (1, -1)):
            for index, value in enumerate(values_of(sign)):
                name = f"{sequences[which]}_{index}"
                client.async_stream_infer(
                    model,
                    given(tritonclient.grpc, value),
                    request_id=name,
                    **flags(sequences[which], index, last),
                )
        told = {}
        for _ in range(2 * (last + 1)):
            result, error = heard.get(timeout=20)
            assert error is None, error
            told[result.get_response().id] = int(result.as_numpy("OUTPUT")[0][0])
        client.stop_stream()
    for which, sign in ((0, 1), (1, -1)):
        for index, value in enumerate(values_of(sign)):
            wanted = expected(value, index, last, added[which])
            assert told[f"{sequences[which]}_{index}"] == wanted, (index, which, told)


def refused(module, address):
    """A sequence that nobody has started."""
    words = None
    with module.InferenceServerClient(address) as client:
        try:
            client.infer("simple_sequence", given(module, 1), sequence_id=4711)
        except InferenceServerException as error:
            words = error.message()
    assert words is not None, "it was answered"
    assert "must specify the START flag" in words, words


def main():
    http, grpc = sys.argv[1:]
    checks = {}
    for model in MODELS:
        checks[f"http sync {model}"] = lambda model=model: sync(tritonclient.http, http, model)
        checks[f"grpc sync {model}"] = lambda model=model: sync(tritonclient.grpc, grpc, model)
        checks[f"grpc stream {model}"] = lambda model=model: streamed(grpc, model)
    checks["http refused"] = lambda: refused(tritonclient.http, http)
    checks["grpc refused"] = lambda: refused(tritonclient.grpc, grpc)
    found = {}
    for name, check in checks.items():
        try:
            check()
            found[name] = None
        except Exception:  # ruff: ignore[blind-except] - whatever it is, it is told
            found[name] = traceback.format_exc()
    print(json.dumps(found))


main()
