"""What the examples of Triton's client repository do, by its official clients; runs where those are.

    python examples_script.py HTTP_HOST:PORT GRPC_HOST:PORT NUMBER_OF_MODELS

One function for each example, called as the example is; it needs the models of
tests/fakes/triton_repository.py and a server that calls itself triton. What the examples only print
is checked too. Prints JSON: each example's name and what was wrong with it, or null.
"""

import asyncio
import functools
import json
import queue
import sys
import traceback

import grpc
import numpy as np
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
import tritonclient.http.aio
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

HTTP, GRPC, MODELS = sys.argv[1], sys.argv[2], int(sys.argv[3])
A, B = np.arange(16, dtype=np.int32)[None], np.ones((1, 16), np.int32)


def http():
    return tritonclient.http.InferenceServerClient(HTTP, concurrency=4)


def rpc(**options):
    return tritonclient.grpc.InferenceServerClient(GRPC, **options)


def pair(module, a=A, b=B, kind="INT32", **how):
    """INPUT0 and INPUT1 by `module`'s client; `how` for the second of them only, as in the examples."""
    inputs = [
        module.InferInput("INPUT0", list(a.shape), kind),
        module.InferInput("INPUT1", list(b.shape), kind),
    ]
    inputs[0].set_data_from_numpy(a)
    inputs[1].set_data_from_numpy(b, **how)
    return inputs


def outputs(module, **how):
    return [module.InferRequestedOutput("OUTPUT0", **how), module.InferRequestedOutput("OUTPUT1", **how)]


def check_sums(result):
    np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), A + B)
    np.testing.assert_array_equal(result.as_numpy("OUTPUT1"), A - B)


def refusal(call, *arguments, **options):
    try:
        call(*arguments, **options)
    except InferenceServerException as error:
        return error
    raise AssertionError("it was answered")


# ---- core -----------------------------------------------------------------------------------------


def simple_http_infer_client():
    client, module = http(), tritonclient.http
    for coding in (None, "gzip", "deflate"):
        result = client.infer(
            "simple",
            pair(module, binary_data=False),
            outputs=[
                module.InferRequestedOutput("OUTPUT0", binary_data=True),
                module.InferRequestedOutput("OUTPUT1", binary_data=False),
            ],
            query_params={"test_1": 1, "test_2": 2},
            headers={"x-example": "1"},
            request_compression_algorithm=coding,
            response_compression_algorithm=coding,
        )
        check_sums(result)
    check_sums(client.infer("simple", pair(module), outputs=None))
    statistics = client.get_inference_statistics(model_name="simple")
    assert len(statistics["model_stats"]) == 1, statistics


def simple_http_async_infer_client():
    client, module = http(), tritonclient.http
    waiting = [client.async_infer("simple", pair(module), outputs=outputs(module)) for _ in range(5)]
    for one in waiting:
        check_sums(one.get_result())


async def simple_http_aio_infer_client():
    module = tritonclient.http.aio
    client = module.InferenceServerClient(HTTP)
    try:
        given = pair(module, binary_data=False)
        check_sums(await client.infer("simple", given, outputs=outputs(module)))
        check_sums(await client.infer("simple", given, outputs=None))
        statistics = await client.get_inference_statistics(model_name="simple")
        assert len(statistics["model_stats"]) == 1, statistics
    finally:
        await client.close()


def simple_grpc_infer_client():
    client, module = rpc(), tritonclient.grpc
    result = client.infer(
        "simple",
        pair(module),
        outputs=outputs(module),
        client_timeout=30,
        headers={"test": "1"},
        compression_algorithm="gzip",
    )
    check_sums(result)
    statistics = client.get_inference_statistics(model_name="simple")
    assert len(statistics.model_stats) == 1, statistics
    error = refusal(client.infer, "wrong_model_name", pair(module), outputs=outputs(module))
    assert error.message().startswith("Request for unknown model"), error.message()


def simple_grpc_async_infer_client():
    client, module = rpc(), tritonclient.grpc
    told = queue.Queue()
    client.async_infer(
        "simple",
        pair(module),
        functools.partial(lambda heard, result, error: heard.put((result, error)), told),
        outputs=outputs(module),
        client_timeout=30,
    )
    result, error = told.get(timeout=30)
    assert error is None, error
    check_sums(result)


async def simple_grpc_aio_infer_client():
    module = tritonclient.grpc.aio
    async with module.InferenceServerClient(GRPC) as client:
        check_sums(await client.infer("simple", pair(module), outputs=outputs(module)))
        check_sums(await client.infer("simple", pair(module), outputs=None))
        statistics = await client.get_inference_statistics(model_name="simple")
        assert len(statistics.model_stats) == 1, statistics


def simple_grpc_keepalive_client():
    options = tritonclient.grpc.KeepAliveOptions(
        keepalive_time_ms=2**31 - 1,
        keepalive_timeout_ms=20_000,
        keepalive_permit_without_calls=False,
        http2_max_pings_without_data=2,
    )
    client = rpc(keepalive_options=options)
    check_sums(client.infer("simple", pair(tritonclient.grpc), outputs=outputs(tritonclient.grpc)))


def simple_grpc_custom_args_client():
    client = rpc(
        channel_args=[("grpc.primary_user_agent", "example"), ("grpc.max_receive_message_length", -1)]
    )
    check_sums(client.infer("simple", pair(tritonclient.grpc), outputs=outputs(tritonclient.grpc)))


def raw_request(model, kind, a=None, b=None):
    """A ModelInferRequest as the generated code makes it; without arrays its contents are to be filled in."""
    request = service_pb2.ModelInferRequest(model_name=model, model_version="", id="my request id")
    for name in ("INPUT0", "INPUT1"):
        request.inputs.add(name=name, datatype=kind, shape=[1, 16])
    for name in ("OUTPUT0", "OUTPUT1"):
        request.outputs.add(name=name)
    if a is not None:
        request.raw_input_contents.extend([a.tobytes(), b.tobytes()])
    return request


def raw_sums(response, dtype):
    assert len(response.raw_output_contents) == 2
    found = [np.frombuffer(raw, dtype) for raw in response.raw_output_contents]
    np.testing.assert_array_equal(found, [(A + B)[0], (A - B)[0]])


def stub(channel):
    return service_pb2_grpc.GRPCInferenceServiceStub(channel)


def grpc_client():
    with grpc.insecure_channel(GRPC) as channel:
        service = stub(channel)
        assert service.ServerLive(service_pb2.ServerLiveRequest()).live
        assert service.ServerReady(service_pb2.ServerReadyRequest()).ready
        assert service.ModelReady(service_pb2.ModelReadyRequest(name="simple", version="")).ready
        assert service.ServerMetadata(service_pb2.ServerMetadataRequest()).name == "triton"
        metadata = service.ModelMetadata(service_pb2.ModelMetadataRequest(name="simple", version=""))
        assert (metadata.name, len(metadata.inputs)) == ("simple", 2)
        config = service.ModelConfig(service_pb2.ModelConfigRequest(name="simple", version=""))
        assert (config.config.name, config.config.max_batch_size) == ("simple", 8)
        raw_sums(service.ModelInfer(raw_request("simple", "INT32", A, B)), np.int32)


def grpc_explicit_int_content_client():
    request = raw_request("simple", "INT32")
    for given, array in zip(request.inputs, (A, B), strict=True):
        given.contents.int_contents[:] = array[0].tolist()
    with grpc.insecure_channel(GRPC) as channel:
        raw_sums(stub(channel).ModelInfer(request), np.int32)


def grpc_explicit_int8_content_client():
    request = raw_request("simple_int8", "INT8")
    for given, array in zip(request.inputs, (A, B), strict=True):
        given.contents.int_contents[:] = array[0].tolist()
    with grpc.insecure_channel(GRPC) as channel:
        raw_sums(stub(channel).ModelInfer(request), np.int8)


def grpc_explicit_byte_content_client():
    request = raw_request("simple_string", "BYTES")
    for given, array in zip(request.inputs, (A, B), strict=True):
        given.contents.bytes_contents[:] = [str(value).encode() for value in array[0]]
    with grpc.insecure_channel(GRPC) as channel:
        response = stub(channel).ModelInfer(request)
    found = [
        [int(text) for text in tritonclient.utils.deserialize_bytes_tensor(raw)]
        for raw in response.raw_output_contents
    ]
    assert found == [(A + B)[0].tolist(), (A - B)[0].tolist()]


# ---- BYTES ----------------------------------------------------------------------------------------


def texts_of(values):
    return np.array([str(value).encode() for value in values.ravel()], np.object_).reshape(values.shape)


def strings(client, module, is_http):
    """simple_string in its four forms, then texts with a NUL among them through simple_identity."""
    for how in [{"binary_data": True}, {"binary_data": False}] if is_http else [{}]:
        given = pair(module, texts_of(A), texts_of(B), "BYTES", **how)
        result = client.infer("simple_string", given, outputs=outputs(module, **how))
        for name, expected in (("OUTPUT0", A + B), ("OUTPUT1", A - B)):
            assert [int(text) for text in result.as_numpy(name)[0]] == expected[0].tolist(), name
    nul = np.array([[f"he\x00llo {number}".encode() for number in range(16)]], np.object_)
    given = module.InferInput("INPUT0", [1, 16], "BYTES")
    given.set_data_from_numpy(nul)
    result = client.infer("simple_identity", [given])
    np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), nul)


def simple_http_string_infer_client():
    strings(http(), tritonclient.http, is_http=True)


def simple_grpc_string_infer_client():
    strings(rpc(), tritonclient.grpc, is_http=False)


# ---- metadata, statistics, index ------------------------------------------------------------------


def health_metadata(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("simple")
    metadata, server = client.get_model_metadata("simple"), client.get_server_metadata()
    is_http = isinstance(server, dict)
    assert (server["name"] if is_http else server.name) == "triton", server
    assert (metadata["name"] if is_http else metadata.name) == "simple", metadata
    error = refusal(client.get_model_metadata, "wrong_model_name")
    assert error.message().startswith("Request for unknown model"), error.message()


def simple_http_health_metadata():
    client = http()
    assert client.is_server_live(query_params={"test_1": 1, "test_2": 2})
    health_metadata(client)


def simple_grpc_health_metadata():
    health_metadata(rpc())
    config = rpc().get_model_config("simple")
    assert config.config.name == "simple", config
    assert refusal(rpc().get_model_config, "wrong_model_name").message().startswith("Request for unknown")


def model_control(client, models):
    """`models` are those of an index."""
    assert len(models(client.get_model_repository_index())) == MODELS
    client.load_model("simple")
    assert client.is_model_ready("simple")
    malformed = '"parameters": {"config": {{"max_batch_size": "16"}}}'
    assert "failed to load" in refusal(client.load_model, "simple", config=malformed).message()
    client.load_model("simple", config='{"max_batch_size":"16"}')
    assert client.is_model_ready("simple")
    config = client.get_model_config("simple")
    assert (config["max_batch_size"] if isinstance(config, dict) else config.config.max_batch_size) == 16
    client.unload_model("simple")
    assert not client.is_model_ready("simple"), "it says so as soon as the unloading was answered"
    assert "failed to load" in refusal(client.load_model, "wrong_model_name").message()
    client.load_model("simple")
    assert client.is_model_ready("simple")


def simple_http_model_control():
    model_control(http(), lambda index: index)


def simple_grpc_model_control():
    client = rpc()
    model_control(client, lambda index: index.models)
    long_name = {"file:" + "A" * 256: b"a"}
    error = refusal(client.load_model, "simple", config="{}", files=long_name)
    # Triton's INTERNAL would be wrong here, as the example itself says.
    assert error.status() == "StatusCode.INVALID_ARGUMENT", error.status()
    assert "failed to poll from model repository" in error.message(), error.message()
    assert client.is_server_live()


# ---- classification -------------------------------------------------------------------------------


def parsed(metadata, config):
    """What image_client demands of a model: one image in, one row of classes out."""
    assert (len(metadata.inputs), len(metadata.outputs)) == (1, 1)
    given, told = metadata.inputs[0], metadata.outputs[0]
    assert told.datatype == "FP32"
    assert sum(dim > 1 for dim in told.shape) == 1, "a row of classes"
    assert len(given.shape) == 3 + (config.max_batch_size > 0)
    assert config.input[0].format == 2, "FORMAT_NCHW"
    channels, height, width = given.shape
    return given, told, (channels, height, width)


def check_classes(rows):
    assert len(rows) == 3
    scores = []
    for row in rows:
        score, index, label = row.decode().split(":")
        assert label == ("cat", "dog", "fish", "owl", "yak")[int(index)], row
        scores.append(float(score))
    assert scores == sorted(scores, reverse=True)


def image_client():
    """By both protocols, at once, later, and as a stream: the example's -i and -a and --streaming."""
    described = rpc()
    metadata = described.get_model_metadata("image_classes")
    given, told, shape = parsed(metadata, described.get_model_config("image_classes").config)
    image = np.random.default_rng(3).random(shape, np.float32)
    heard = queue.Queue()
    for client, module in ((http(), tritonclient.http), (described, tritonclient.grpc)):
        one = module.InferInput(given.name, list(shape), given.datatype)
        one.set_data_from_numpy(image)
        wanted = [module.InferRequestedOutput(told.name, class_count=3)]
        check_classes(client.infer("image_classes", [one], outputs=wanted).as_numpy(told.name))
        if module is tritonclient.http:
            check_classes(
                client.async_infer("image_classes", [one], outputs=wanted).get_result().as_numpy(told.name)
            )
            continue
        client.start_stream(callback=lambda result, error: heard.put((result, error)))
        client.async_stream_infer("image_classes", [one], outputs=wanted, request_id="1")
        result, error = heard.get(timeout=30)
        client.stop_stream()
        assert error is None, error
        check_classes(result.as_numpy(told.name))


def grpc_image_client():
    with grpc.insecure_channel(GRPC) as channel:
        service = stub(channel)
        metadata = service.ModelMetadata(service_pb2.ModelMetadataRequest(name="image_classes"))
        config = service.ModelConfig(service_pb2.ModelConfigRequest(name="image_classes")).config
        given, told, shape = parsed(metadata, config)
        request = service_pb2.ModelInferRequest(model_name="image_classes")
        request.inputs.add(name=given.name, datatype=given.datatype, shape=shape)
        request.raw_input_contents.append(np.random.default_rng(3).random(shape, np.float32).tobytes())
        request.outputs.add(name=told.name).parameters["classification"].int64_param = 3
        requests = iter([request, request])
        responses = [service.ModelInfer(request)]
        responses += [one.infer_response for one in service.ModelStreamInfer(requests)]
    assert len(responses) == 3
    for response in responses:
        (output,) = response.outputs
        assert (output.datatype, list(output.shape)) == ("BYTES", [3])
        check_classes(tritonclient.utils.deserialize_bytes_tensor(response.raw_output_contents[0]))


# ---- decoupled ------------------------------------------------------------------------------------


def simple_grpc_custom_repeat():
    values = np.arange(100, 110, dtype=np.int32)
    columns = {
        "IN": values,
        "DELAY": np.arange(1, 11, dtype=np.uint32),
        "WAIT": np.array([5], np.uint32),
    }
    given = []
    for name, array in columns.items():
        given.append(
            tritonclient.grpc.InferInput(name, list(array.shape), "INT32" if name == "IN" else "UINT32")
        )
        given[-1].set_data_from_numpy(array)
    wanted = [tritonclient.grpc.InferRequestedOutput(name) for name in ("OUT", "IDX")]
    heard = queue.Queue()
    with rpc() as client:
        client.start_stream(callback=lambda result, error: heard.put((result, error)))
        client.async_stream_infer("repeat_int32", given, request_id="0", outputs=wanted)
        for index, value in enumerate(values):
            result, error = heard.get(timeout=30)
            assert error is None, error
            assert result.get_response().id == "0"
            assert (result.as_numpy("OUT")[0], result.as_numpy("IDX")[0]) == (value, index)


EXAMPLES = [
    simple_http_infer_client,
    simple_http_async_infer_client,
    simple_http_aio_infer_client,
    simple_grpc_infer_client,
    simple_grpc_async_infer_client,
    simple_grpc_aio_infer_client,
    simple_grpc_keepalive_client,
    simple_grpc_custom_args_client,
    grpc_client,
    grpc_explicit_int_content_client,
    grpc_explicit_int8_content_client,
    grpc_explicit_byte_content_client,
    simple_http_string_infer_client,
    simple_grpc_string_infer_client,
    simple_http_health_metadata,
    simple_grpc_health_metadata,
    simple_http_model_control,
    simple_grpc_model_control,
    image_client,
    grpc_image_client,
    simple_grpc_custom_repeat,
]


def outcome(example):
    try:
        done = example()
        if asyncio.iscoroutine(done):
            asyncio.run(done)
    except Exception:  # ruff: ignore[blind-except] - it is told, and the others are run too
        return traceback.format_exc()
    return None


if __name__ == "__main__":
    print(json.dumps({example.__name__: outcome(example) for example in EXAMPLES}))
