"""tritonclient's four clients against a gateway; run in an environment of their own.

    python client_script.py http|http-aio|grpc|grpc-aio HOST:PORT MODEL_FILE

MODEL_FILE is an echo of FP32, for a model that is loaded from what the client sends.
Prints one JSON object: the name of each check to "" or to what went wrong. Imports nothing of ours.
"""

import asyncio
import functools
import inspect
import json
import pathlib
import sys
import threading
import traceback

import ml_dtypes
import numpy as np
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
import tritonclient.http.aio
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

MODULES = {
    "http": tritonclient.http,
    "http-aio": tritonclient.http.aio,
    "grpc": tritonclient.grpc,
    "grpc-aio": tritonclient.grpc.aio,
}

SAMPLES = {
    "BOOL": np.array([[True, False, True], [False, False, True]]),
    "UINT8": np.array([[0, 1, 255], [7, 8, 9]], np.uint8),
    "UINT16": np.array([[0, 1, 65535], [7, 8, 9]], np.uint16),
    "UINT32": np.array([[0, 1, 2**32 - 1], [7, 8, 9]], np.uint32),
    "UINT64": np.array([[0, 2**53 + 1, 2**64 - 1], [7, 8, 9]], np.uint64),
    "INT8": np.array([[-128, 0, 127], [7, -8, 9]], np.int8),
    "INT16": np.array([[-32768, 0, 32767], [7, -8, 9]], np.int16),
    "INT32": np.array([[-(2**31), 0, 2**31 - 1], [7, -8, 9]], np.int32),
    "INT64": np.array([[-(2**63), -(2**53) - 1, 2**63 - 1], [7, -8, 9]], np.int64),
    "FP16": np.array([[0.0, -1.5, 65504.0], [6e-8, 1 / 3, 2.0]], np.float16),
    "FP32": np.array([[0.0, -1.5, 3.4e38], [1e-45, 1 / 3, 0.1]], np.float32),
    "FP64": np.array([[0.0, -1.5, 1.7e308], [5e-324, 1 / 3, 0.1]], np.float64),
    "BYTES": np.array([["", "plain", "naïve 猫 🐈"], ["\x00\n", '"quoted\\"', "x" * 3000]], np.object_),
    "BF16": np.array([[0.0, -1.5, 3.0], [0.5, 256.0, 1e30]], ml_dtypes.bfloat16),
}
# The clients themselves send and read these in binary only.
BINARY_ONLY = {"FP16", "BF16"}


MODEL = pathlib.Path(sys.argv[3]).read_bytes()


class Client:
    """One of the four under one face: every call may be awaited."""

    def __init__(self, flavour, address):
        self.flavour = flavour
        self.module = MODULES[flavour]
        self.is_http = flavour.startswith("http")
        self.raw = self.module.InferenceServerClient(address)

    async def call(self, method, *arguments, **options):
        answer = getattr(self.raw, method)(*arguments, **options)
        return await answer if inspect.isawaitable(answer) else answer

    async def infer(self, model, arrays, wanted=None, **options):
        inputs = [self.input(name, array) for name, array in arrays.items()]
        outputs = None if wanted is None else [self.output(name) for name in wanted]
        return await self.call("infer", model, inputs, outputs=outputs, **options)

    def input(self, name, array, datatype=None, *, binary=True):
        made = self.module.InferInput(name, list(array.shape), datatype or np_to_triton_dtype(array.dtype))
        made.set_data_from_numpy(array, **({"binary_data": binary} if self.is_http else {}))
        return made

    def output(self, name, *, binary=True, classes=0):
        options = {"binary_data": binary} if self.is_http else {}
        return self.module.InferRequestedOutput(name, class_count=classes, **options)

    async def refusal(self, method, *arguments, **options):
        """The exception of a call that must fail."""
        call = (
            self.infer(*arguments, **options)
            if method == "infer"
            else self.call(method, *arguments, **options)
        )
        try:
            await call
        except InferenceServerException as error:
            return error
        raise AssertionError("it was answered")

    def expect(self, error, http, grpc):
        """That an error has its protocol's status."""
        status = error.status()
        assert status == (http if self.is_http else f"StatusCode.{grpc}"), f"{status}: {error.message()}"


def equal(got, expected):
    if expected.dtype == np.object_:
        texts = [value.decode() if isinstance(value, bytes) else value for value in got.ravel()]
        assert texts == expected.ravel().tolist(), texts
    else:
        assert got.dtype == expected.dtype, (got.dtype, expected.dtype)
        assert got.tobytes() == np.ascontiguousarray(expected).tobytes(), (got, expected)
    assert got.shape == expected.shape, (got.shape, expected.shape)


def pair(rows=1):
    first = np.arange(16 * rows, dtype=np.int32).reshape(rows, 16)
    return {"INPUT0": first, "INPUT1": first * 3 + 1}


def check_sums(result, rows=1):
    arrays = pair(rows)
    equal(result.as_numpy("OUTPUT0"), arrays["INPUT0"] + arrays["INPUT1"])
    equal(result.as_numpy("OUTPUT1"), arrays["INPUT0"] - arrays["INPUT1"])


async def health(client):
    assert await client.call("is_server_live") is True
    assert await client.call("is_server_ready") is True
    assert await client.call("is_model_ready", "simple") is True
    assert await client.call("is_model_ready", "simple", "1") is True


async def unknown_model_is_not_ready(client):
    assert await client.call("is_model_ready", "absent") is False


async def server_metadata(client):
    answer = await client.call("get_server_metadata", **({} if client.is_http else {"as_json": True}))
    assert answer["name"], answer
    assert answer["version"], answer
    if client.is_http:
        assert "binary_tensor_data" in answer["extensions"], answer
    assert "model_repository(unload_dependents)" in answer["extensions"], answer
    assert {"statistics", "trace", "logging"} <= set(answer["extensions"]), answer


async def model_metadata(client):
    options = {} if client.is_http else {"as_json": True}
    answer = await client.call("get_model_metadata", "simple", **options)
    assert answer["name"] == "simple", answer
    assert answer["versions"] == ["1"], answer
    assert answer["platform"] == "onnxruntime_onnx", answer
    found = [(one["name"], one["datatype"], [int(d) for d in one["shape"]]) for one in answer["inputs"]]
    assert sorted(found) == [("INPUT0", "INT32", [-1, 16]), ("INPUT1", "INT32", [-1, 16])], answer
    assert {one["name"] for one in answer["outputs"]} == {"OUTPUT0", "OUTPUT1"}, answer


async def model_config(client):
    answer = await client.call("get_model_config", "simple", **({} if client.is_http else {"as_json": True}))
    config = answer if client.is_http else answer["config"]
    assert (config["name"], config["platform"], config["max_batch_size"]) == ("simple", "onnxruntime_onnx", 8)
    assert [(one["name"], one["data_type"]) for one in config["input"]] == [
        ("INPUT0", "TYPE_INT32"),
        ("INPUT1", "TYPE_INT32"),
    ], config
    # Over REST the dimensions are numbers, as Triton's; over gRPC the client makes the JSON itself.
    assert config["input"][0]["dims"] == ([16] if client.is_http else ["16"]), config
    error = await client.refusal("get_model_config", "absent")
    client.expect(error, "404", "NOT_FOUND")


async def statistics_of(client, model="", version=""):
    """The entries as this client gives them; of gRPC the JSON that it makes has texts for 64 bits."""
    answer = await client.call(
        "get_inference_statistics", model, version, **({} if client.is_http else {"as_json": True})
    )
    return answer["model_stats"]


async def statistics_tell_what_was_answered_before(client):
    (before,) = await statistics_of(client, "simple")
    for rows in (1, 2, 3):
        check_sums(await client.infer("simple", pair(rows)), rows)
    await client.refusal("infer", "simple", pair(9))
    (after,) = await statistics_of(client, "simple", "1")
    assert (after["name"], after["version"]) == ("simple", "1"), after

    def grown(key, of=lambda entry, key: entry.get(key, 0)):
        return int(of(after, key)) - int(of(before, key))

    def counted(entry, kind):
        return entry["inference_stats"].get(kind, {}).get("count", 0)

    def spent(entry, kind):
        return entry["inference_stats"].get(kind, {}).get("ns", 0)

    assert (grown("inference_count"), grown("execution_count")) == (6, 3), (before, after)
    assert (grown("success", counted), grown("fail", counted)) == (3, 1), (before, after)
    parts = ("queue", "compute_input", "compute_infer", "compute_output")
    assert [grown(part, counted) for part in parts] == [3] * 4, (before, after)
    assert 0 < sum(grown(part, spent) for part in parts) <= grown("success", spent), (before, after)
    assert int(after["last_inference"]) > int(before.get("last_inference", 0)), after


async def statistics_have_an_entry_for_each_version(client):
    assert {"simple", "fraud", "cold_0"} <= {one["name"] for one in await statistics_of(client)}
    error = await client.refusal("get_inference_statistics", "absent")
    client.expect(error, "404", "NOT_FOUND")
    assert error.message() == "Request for unknown model: 'absent' is not found", error.message()


async def metadata_of_an_unknown_model_is_refused(client):
    error = await client.refusal("get_model_metadata", "absent")
    client.expect(error, "404", "NOT_FOUND")
    assert error.message().startswith("Request for unknown model"), error.message()


async def sum_and_difference(client):
    result = await client.infer("simple", pair(), request_id="seven", model_version="1")
    check_sums(result)
    response = result.get_response()
    if client.is_http:
        assert (response["id"], response["model_name"], response["model_version"]) == ("seven", "simple", "1")
    else:
        assert (response.id, response.model_name, response.model_version) == ("seven", "simple", "1")


async def batches_of_every_size(client):
    for rows in range(1, 9):
        check_sums(await client.infer("simple", pair(rows)), rows)


async def requested_outputs_and_no_others(client):
    result = await client.infer("simple", pair(), ["OUTPUT1"])
    equal(result.as_numpy("OUTPUT1"), pair()["INPUT0"] - pair()["INPUT1"])
    assert result.as_numpy("OUTPUT0") is None
    check_sums(await client.infer("simple", pair(), ["OUTPUT1", "OUTPUT0"]))


async def the_highest_classes(client):
    arrays = pair(2)
    inputs = [client.input(name, array) for name, array in arrays.items()]
    outputs = [client.output("OUTPUT0", classes=2), client.output("OUTPUT1")]
    result = await client.call("infer", "simple", inputs, outputs=outputs)
    equal(result.as_numpy("OUTPUT1"), arrays["INPUT0"] - arrays["INPUT1"])
    expected = [[f"{row[15]}:15", f"{row[14]}:14"] for row in (arrays["INPUT0"] + arrays["INPUT1"]).tolist()]
    equal(result.as_numpy("OUTPUT0"), np.array(expected, np.object_))


async def what_is_off_says_so(client):
    options = {} if client.is_http else {"as_json": True}
    regions = await client.call("get_system_shared_memory_status", **options)
    assert not (regions if client.is_http else regions.get("regions")), regions
    for method, arguments in (
        ("register_system_shared_memory", ("region", "/region", 16)),
        ("unregister_cuda_shared_memory", ()),
    ):
        client.expect(await client.refusal(method, *arguments), "501", "UNIMPLEMENTED")


def texts(client, answer, name):
    """A trace setting as a list of texts."""
    if not client.is_http:
        return answer["settings"][name].get("value", [])
    return answer[name] if isinstance(answer[name], list) else [answer[name]]


async def trace_settings_are_changed_and_taken_back(client):
    options = {} if client.is_http else {"as_json": True}
    for model in ("simple", None):
        before = await client.call("get_trace_settings", model, **options)
        assert texts(client, before, "trace_level") == ["OFF"], before
        changes = {"trace_level": ["TIMESTAMPS", "TENSORS"], "trace_rate": "1000000", "trace_count": "7"}
        after = await client.call("update_trace_settings", model, changes, **options)
        assert after == await client.call("get_trace_settings", model, **options), after
        assert texts(client, after, "trace_level") == ["TIMESTAMPS", "TENSORS"], after
        assert texts(client, after, "trace_count") == ["7"], after
        back = await client.call("update_trace_settings", model, dict.fromkeys(changes), **options)
        assert back == before, back
    refused = await client.refusal("update_trace_settings", None, {"trace_file": "/tmp/traces"})
    client.expect(refused, "400", "INVALID_ARGUMENT")
    assert "'trace_file'" in refused.message(), refused


async def log_settings_are_changed_and_taken_back(client):
    options = {} if client.is_http else {"as_json": True}
    before = await client.call("get_log_settings", **options)
    changes = {"log_verbose_level": 1, "log_format": "ISO8601", "log_info": False}
    after = await client.call("update_log_settings", changes, **options)
    assert after == await client.call("get_log_settings", **options), after
    assert after != before, after
    back = await client.call("update_log_settings", dict.fromkeys(changes), **options)
    assert back == before, back
    refused = await client.refusal("update_log_settings", {"log_file": "/tmp/log"})
    client.expect(refused, "400", "INVALID_ARGUMENT")


async def every_datatype_in_binary(client):
    for datatype, array in SAMPLES.items():
        model = f"echo_{datatype.lower()}"
        sent = np.char.encode(array.astype(str)).astype(np.object_) if datatype == "BYTES" else array
        inputs = [client.input("X", sent, datatype)]
        for outputs in (None, [client.output("Y")]):
            result = await client.call("infer", model, inputs, outputs=outputs)
            equal(result.as_numpy("Y"), array)


async def every_datatype_in_json(client):
    for datatype, array in SAMPLES.items():
        if datatype in BINARY_ONLY:
            continue
        inputs = [client.input("X", array, datatype, binary=False)]
        result = await client.call(
            "infer", f"echo_{datatype.lower()}", inputs, outputs=[client.output("Y", binary=False)]
        )
        equal(result.as_numpy("Y"), array)


async def json_one_way_and_binary_the_other(client):
    for datatype, array in SAMPLES.items():
        if datatype in BINARY_ONLY:
            continue
        for inward in (True, False):
            inputs = [client.input("X", array, datatype, binary=inward)]
            outputs = [client.output("Y", binary=not inward)]
            result = await client.call("infer", f"echo_{datatype.lower()}", inputs, outputs=outputs)
            equal(result.as_numpy("Y"), array)


async def half_floats_are_answered_in_json(client):
    inputs = [client.input("X", SAMPLES["FP16"])]
    result = await client.call("infer", "echo_fp16", inputs, outputs=[client.output("Y", binary=False)])
    equal(result.as_numpy("Y"), SAMPLES["FP16"])


async def empty_rows_come_back(client):
    for columns in (0, 1):
        array = np.ones((2, columns), np.float32)
        equal((await client.infer("echo_fp32", {"X": array})).as_numpy("Y"), array)


async def sixteen_mebibytes_come_back(client):
    array = np.random.default_rng(1).random((1, 4 << 20), np.float32)
    equal((await client.infer("echo_fp32", {"X": array})).as_numpy("Y"), array)


async def compressed_both_ways(client):
    array = np.zeros((1, 50_000), np.float32)
    for coding in ("gzip", "deflate"):
        if client.is_http:
            options = {"request_compression_algorithm": coding, "response_compression_algorithm": coding}
        else:
            options = {"compression_algorithm": coding}
        equal((await client.infer("echo_fp32", {"X": array}, **options)).as_numpy("Y"), array)
        check_sums(await client.infer("simple", pair(), **options))


async def an_unknown_model_is_told(client):
    error = await client.refusal("infer", "absent", pair())
    client.expect(error, "404", "NOT_FOUND")
    assert error.message().startswith("Request for unknown model: 'absent'"), error.message()


async def an_unknown_version_is_told(client):
    error = await client.refusal("infer", "simple", pair(), model_version="99")
    client.expect(error, "404", "NOT_FOUND")
    assert error.message().startswith("Request for unknown model: 'simple' version 99"), error.message()


async def bad_inputs_are_refused_by_name(client):
    good = pair()
    wide = np.zeros((1, 17), np.int32)
    faults = {
        "INPUT1": {"INPUT0": good["INPUT0"]},
        "INPUT0": {**good, "INPUT0": good["INPUT0"].astype(np.float32)},
        "INPUT2": {**good, "INPUT2": good["INPUT0"]},
    }
    for name, arrays in faults.items():
        error = await client.refusal("infer", "simple", arrays)
        client.expect(error, "400", "INVALID_ARGUMENT")
        assert name in error.message(), error.message()
    error = await client.refusal("infer", "simple", {"INPUT0": wide, "INPUT1": wide})
    client.expect(error, "400", "INVALID_ARGUMENT")
    error = await client.refusal("infer", "simple", pair(9))
    client.expect(error, "400", "INVALID_ARGUMENT")
    error = await client.refusal("infer", "simple", good, ["OUTPUT7"])
    client.expect(error, "400", "INVALID_ARGUMENT")
    check_sums(await client.infer("simple", good))


async def a_broken_model_is_unavailable_and_others_serve(client):
    error = await client.refusal("infer", "broken", {"X": np.zeros((1, 1), np.float32)})
    client.expect(error, "503", "FAILED_PRECONDITION")
    check_sums(await client.infer("simple", pair()))


async def index_of(client):
    """Name to state, each model once."""
    answer = await client.call("get_model_repository_index", **({} if client.is_http else {"as_json": True}))
    models = answer if client.is_http else answer["models"]
    names = [one["name"] for one in models]
    assert len(set(names)) == len(names), names
    return {one["name"]: one["state"] for one in models}


async def the_index_has_every_model_and_its_state(client):
    states = await index_of(client)
    assert len(states) == 19, states
    assert states["simple"] == states["echo_bytes"] == "READY", states
    error = await client.refusal("load_model", "broken")
    client.expect(error, "400", "INVALID_ARGUMENT")
    assert error.message().startswith("load failed for model 'broken'"), error.message()
    assert (await index_of(client))["broken"] == "UNAVAILABLE"


async def a_model_is_loaded_reconfigured_and_unloaded(client):
    await client.call("load_model", "simple")
    assert await client.call("is_model_ready", "simple") is True
    error = await client.refusal("infer", "simple", pair(9))
    client.expect(error, "400", "INVALID_ARGUMENT")
    malformed = '"parameters": {"config": {{"max_batch_size": "16"}}}'
    error = await client.refusal("load_model", "simple", config=malformed)
    assert "failed to load" in error.message(), error.message()
    await client.call("load_model", "simple", config='{"max_batch_size":"16"}')
    check_sums(await client.infer("simple", pair(16)), 16)
    answer = await client.call("get_model_config", "simple", **({} if client.is_http else {"as_json": True}))
    config = answer if client.is_http else answer["config"]
    assert config["max_batch_size"] == 16, config
    await client.call("unload_model", "simple")
    assert await client.call("is_model_ready", "simple") is False
    error = await client.refusal("infer", "simple", pair())
    client.expect(error, "404", "NOT_FOUND")
    assert error.message() == "Request for unknown model: 'simple' has no available versions"
    assert (await index_of(client))["simple"] == "UNAVAILABLE"
    await client.call("unload_model", "simple", unload_dependents=True)
    await client.call("load_model", "simple")
    assert await client.call("is_model_ready", "simple") is True
    error = await client.refusal("infer", "simple", pair(9))
    client.expect(error, "400", "INVALID_ARGUMENT")
    check_sums(await client.infer("simple", pair()))


async def an_unknown_model_cannot_be_loaded_and_need_not_be_unloaded(client):
    error = await client.refusal("load_model", "wrong_model_name")
    client.expect(error, "400", "INVALID_ARGUMENT")
    assert error.message() == ("failed to load 'wrong_model_name', failed to poll from model repository"), (
        error.message()
    )
    await client.call("unload_model", "wrong_model_name")


async def a_model_is_served_from_the_files_that_are_sent(client):
    files = {"file:3/model.onnx": MODEL}
    error = await client.refusal("load_model", "sent", files=files)
    assert "failed to poll from model repository" in error.message(), error.message()
    long_name = {"file:" + "A" * 256: b"a"}
    error = await client.refusal("load_model", "simple", config="{}", files=long_name)
    client.expect(error, "400", "INVALID_ARGUMENT")
    for words in ("failed to poll from model repository", "Invalid file path"):
        assert words in error.message(), error.message()
    assert await client.call("is_server_live") is True
    await client.call("load_model", "sent", config="{}", files=files)
    equal((await client.infer("sent", {"X": SAMPLES["FP32"]})).as_numpy("Y"), SAMPLES["FP32"])
    await client.call("unload_model", "sent")
    assert await client.call("is_model_ready", "sent") is False


async def many_at_once(client):
    """Fifty under way together, each with numbers of its own."""
    arrays = [np.full((1 + number % 3, 5), number, np.float32) for number in range(50)]
    if client.flavour.endswith("aio"):
        results = await asyncio.gather(*(client.infer("echo_fp32", {"X": array}) for array in arrays))
    elif client.is_http:
        pool = client.module.InferenceServerClient(sys.argv[2], concurrency=8)
        waiting = [pool.async_infer("echo_fp32", [client.input("X", array)]) for array in arrays]
        results = [one.get_result() for one in waiting]
        pool.close()
    else:
        results = _all_by_callback(client, arrays)
    for array, result in zip(arrays, results, strict=True):
        equal(result.as_numpy("Y"), array)


def _all_by_callback(client, arrays):
    results, done = [None] * len(arrays), threading.Semaphore(0)

    def keep(place, result, error):
        results[place] = result if error is None else error
        done.release()

    for place, array in enumerate(arrays):
        client.raw.async_infer("echo_fp32", [client.input("X", array)], functools.partial(keep, place))
    for _ in arrays:
        assert done.acquire(timeout=30), "an answer is missing"
    return results


async def five_hundred_in_a_row(client):
    inputs = [client.input(name, array) for name, array in pair().items()]
    for _ in range(500):
        check_sums(await client.call("infer", "simple", inputs))


CHECKS = [
    health,
    unknown_model_is_not_ready,
    server_metadata,
    model_metadata,
    model_config,
    statistics_tell_what_was_answered_before,
    statistics_have_an_entry_for_each_version,
    metadata_of_an_unknown_model_is_refused,
    sum_and_difference,
    batches_of_every_size,
    requested_outputs_and_no_others,
    the_highest_classes,
    what_is_off_says_so,
    trace_settings_are_changed_and_taken_back,
    log_settings_are_changed_and_taken_back,
    every_datatype_in_binary,
    empty_rows_come_back,
    sixteen_mebibytes_come_back,
    compressed_both_ways,
    an_unknown_model_is_told,
    an_unknown_version_is_told,
    bad_inputs_are_refused_by_name,
    a_broken_model_is_unavailable_and_others_serve,
    the_index_has_every_model_and_its_state,
    a_model_is_loaded_reconfigured_and_unloaded,
    an_unknown_model_cannot_be_loaded_and_need_not_be_unloaded,
    a_model_is_served_from_the_files_that_are_sent,
    many_at_once,
    five_hundred_in_a_row,
]
HTTP_CHECKS = [
    every_datatype_in_json,
    json_one_way_and_binary_the_other,
    half_floats_are_answered_in_json,
]


async def main(flavour, address, _, only=""):
    client = Client(flavour, address)
    found = {}
    checks = CHECKS + (HTTP_CHECKS if client.is_http else [])
    for check in [check for check in checks if only in check.__name__]:
        try:
            await check(client)
            found[check.__name__] = ""
        except Exception:  # ruff: ignore[blind-except] - whatever it is, it is told, and the others are checked too
            found[check.__name__] = traceback.format_exc(limit=-3)
    await client.call("close")
    print(json.dumps(found))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
